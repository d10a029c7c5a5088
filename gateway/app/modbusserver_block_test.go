package app_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway/app"
)

// manyPoints is a device with so many coils and registers from 0 on, all of them shown by a server at the same places. It is polled once.
func manyPoints(coils, registers int) string {
	var b strings.Builder
	b.WriteString(`
[[bus]]
name = "plant"
transport = "tcp"
endpoint = "DEVICE"
timeout = "5s"
KEYS

[[device]]
name = "rack"
bus = "plant"
unit_id = 1
interval = "1h"
READ_WRITE

`)
	var shown strings.Builder
	shown.WriteString("[[modbus_server]]\nname = \"plc\"\nlisten = \"127.0.0.1:0\"\n\n")
	add := func(name, address, rest string) {
		fmt.Fprintf(&b, "[[device.point]]\nname = %q\naddress = %q\n%swritable = true\n\n", name, address, rest)
		fmt.Fprintf(&shown, "[[modbus_server.register]]\naddress = %q\nsource = \"rack/%s\"\nwritable = true\n\n", address, name)
	}
	for i := range coils {
		add(fmt.Sprintf("c%d", i), fmt.Sprintf("coil:%d", i), "")
	}
	for i := range registers {
		add(fmt.Sprintf("r%d", i), fmt.Sprintf("holding:%d", i), "type = \"uint16\"\n")
	}
	return b.String() + shown.String()
}

// rack is a gateway that shows such a device to masters.
type rack struct {
	*plcSite
	mu    sync.Mutex
	asked []string // of the device since the last look: function, address and quantity
}

func startRack(t *testing.T, coils, registers int, change ...string) *rack {
	t.Helper()
	s := &rack{plcSite: &plcSite{T: t}}
	s.unit = sim.NewUnit(sim.Layout{
		Coils: []sim.Range{{First: 0, Count: coils}}, HoldingRegisters: []sim.Range{{First: 0, Count: max(1, registers)}},
	})
	s.device = simtest.TCP(t, map[byte]*sim.Unit{1: s.unit}, sim.ServerOptions{})
	text := minimal + strings.NewReplacer(append(change, "DEVICE", s.device.Address, "KEYS", "", "READ_WRITE", "")...).Replace(manyPoints(coils, registers))
	var err error
	s.app, err = app.New(t.Context(), app.Options{Config: load(t, t.TempDir(), text), Logger: slog.New(slog.DiscardHandler), Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s.app)
	s.eventually("the first reading", func() bool { return s.ask("01 0000 0001") == "01 01 00" })
	s.unit.Observe(func(pdu []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, fmt.Sprintf("%02x", pdu[:min(5, len(pdu))]))
	})
	return s
}

// writing are the requests that the device has had since the last look, without polls: those that write, and what is read right behind one
// that does not read itself.
func (s *rack) writing() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := ""
	for _, q := range s.asked {
		if q[:2] > "04" || before != "" && before[:2] > "04" && before[:2] != "17" {
			list = append(list, q)
		}
		before = q
	}
	s.asked = nil
	return list
}

// wantRequests compares how a write went to the device.
func (s *rack) wantRequests(what string, want ...string) {
	s.Helper()
	if got := s.writing(); !slices.Equal(got, want) {
		s.Errorf("%s: %d requests to the device: %v\nwant %v", what, len(got), got[:min(len(got), 8)], want)
	}
}

// What a master writes at once goes to the device at once, and is read back so.
func TestModbusServerWritesBlocks(t *testing.T) {
	s := startRack(t, 1968, 123)
	s.expect("0f 0000 07b0 f6"+strings.Repeat("a5", 246), "0f 00 00 07 b0")
	s.wantRequests("1968 coils", "0f000007b0", "01000007b0")
	if got := s.get(sim.Coils, 1960, 8); got != "[0001 0000 0001 0000 0000 0001 0000 0001]" {
		t.Errorf("the last coils are %s", got)
	}
	s.expect("10 0000 007b f6"+strings.Repeat("1234", 123), "10 00 00 00 7b")
	s.wantRequests("123 registers", "100000007b", "030000007b")
	s.expect("17 0000 0002 0001 0079 f2"+strings.Repeat("0007", 121), "17 04 12 34 00 07")
	s.wantRequests("read and write", "1000010079", "0300010079")
	if got := s.get(sim.HoldingRegisters, 121, 2); got != "[0007 1234]" {
		t.Errorf("the last registers are %s", got)
	}
	s.expect("03 0079 0002", "03 04 00 07 12 34")
}

// The limits of the bus hold for writes too, and function 23 is used where the device knows it.
func TestModbusServerWritesWithinLimits(t *testing.T) {
	s := startRack(t, 40, 5, "KEYS", "max_registers = 2", "READ_WRITE", "read_write = true")
	s.expect("0f 0000 0028 05 ffffffffff", "0f 00 00 00 28")
	s.wantRequests("40 coils", "0f00000020", "0100000020", "0f00200008", "0100200008")
	s.expect("10 0000 0005 0a 0001 0002 0003 0004 0005", "10 00 00 00 05")
	s.wantRequests("5 registers", "1700000002", "1700020002", "1700040001")
	if got := s.get(sim.HoldingRegisters, 0, 5); got != "[0001 0002 0003 0004 0005]" {
		t.Errorf("the device has %s", got)
	}
}
