package modbus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// The last addresses of a table are written like others, and the limits are those of the functions and of the bus.
func TestJointLimits(t *testing.T) {
	for _, tc := range []struct {
		name      string
		table     Table
		start     int
		points    int
		most      int
		readWrite bool
		want      string
	}{
		{"Coils", Coil, 0, 2000, 0, false, "1968 32"},
		{"LastCoils", Coil, 65536 - 1968, 1968, 0, false, "1968"},
		{"Registers", Holding, 0, 250, 0, false, "123 123 4"},
		{"LastRegisters", Holding, 65536 - 124, 124, 0, false, "123 1"},
		{"ReadWrite", Holding, 0, 250, 0, true, "121 121 8"},
		{"FewRegisters", Holding, 0, 25, 10, false, "10 10 5"},
		{"FewCoils", Coil, 0, 200, 10, false, "160 40"},
		{"One", Holding, 0, 3, 1, false, "1 1 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var points []Point
			var which []int
			for i := range tc.points {
				p := Point{Point: gateway.Point{Name: fmt.Sprintf("p%d", i), Writable: true}, Address: Address{tc.table, uint16(tc.start + i)}, Type: Uint16}
				if tc.table.bits() {
					p.Type = Bool
				}
				points, which = append(points, p), append(which, i)
			}
			d := newTestDriver(t, Options{Bus: tcpBus("127.0.0.1:1"), MaxRegisters: tc.most, Devices: []Device{{Name: "d", ReadWrite: tc.readWrite, Points: points}}})
			var got []string
			for len(which) > 0 {
				n := d.joint(d.devices[0], which)
				got, which = append(got, fmt.Sprint(n)), which[n:]
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("blocks of %s, want %s", s, tc.want)
			}
		})
	}
}

// Real devices take 100 coils and 100 registers at once, and one beyond the end is refused alone. A relay in between counts.
func TestJointWritesWithPeers(t *testing.T) {
	for name, command := range map[string]func(testing.TB) []string{"Pymodbus": pymodbus, "Libmodbus": libmodbus} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint, said := recorded(t, command(t))
			var points []Point
			var values []gateway.Value
			for i := range uint16(200) {
				p := Point{Point: gateway.Point{Name: fmt.Sprint(i), Writable: true}, Address: Address{Coil, i}, Type: Bool}
				v := gateway.Bool(i%5 == 0)
				if i >= 100 {
					p.Address, p.Type, v = Address{Holding, i - 100}, Uint16, gateway.Uint(uint64(7*i))
				}
				points, values = append(points, p), append(values, v)
			}
			beyond := Point{Point: gateway.Point{Name: "beyond", Writable: true}, Address: Address{Holding, 100}, Type: Uint16}
			d := newTestDriver(t, Options{Bus: tcpBus(endpoint), Devices: []Device{{Name: "peer", Interval: time.Hour, Points: append(points, beyond)}}})
			var which []int
			for i := range points {
				which = append(which, i)
			}
			var want []string
			for _, v := range values {
				want = append(want, v.String())
			}
			if got := writeBlocks(t, d, which, values); got != strings.Join(want, " ") {
				t.Errorf("got %s", got)
			}
			if n := len(said()); n != 4 {
				t.Errorf("%d requests, want 4: %v", n, said())
			}
			got := writeBlocks(t, d, []int{198, 199, 200}, uints(1, 2, 3))
			if !strings.HasPrefix(got, "1 2 error: write 3 to holding:100 (40101)") || !strings.Contains(got, "exception 2") {
				t.Errorf("got %s", got)
			}
			if n := len(said()); n != 4+1+2+2+1 {
				t.Errorf("%d requests, want one for all, and then one by one", n)
			}
		})
	}
}
