package sim

import (
	"math"
	"slices"
	"testing"
	"time"
)

// clock is a clock that stands still until it is moved.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{t: fuzzStart} }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) forward(d time.Duration) { c.t = c.t.Add(d) }

func get(t testing.TB, u *Unit, table Table, address uint16) uint16 {
	t.Helper()
	v, err := u.Get(table, address, 1)
	if err != nil {
		t.Fatal(err)
	}
	return v[0]
}

func float(t testing.TB, u *Unit, address uint16) float64 {
	t.Helper()
	return float64(math.Float32frombits(uint32(get(t, u, InputRegisters, address))<<16 | uint32(get(t, u, InputRegisters, address+1))))
}

func energy(t testing.TB, u *Unit) uint32 {
	t.Helper()
	return uint32(get(t, u, InputRegisters, 20))<<16 | uint32(get(t, u, InputRegisters, 21))
}

func TestMeter(t *testing.T) {
	c := newClock()
	u := NewMeter(c.now, HighWordFirst)
	begin, last := energy(t, u), energy(t, u)
	var wattSeconds float64
	for range 3600 {
		c.forward(time.Second)
		power := 0.0
		for phase := range uint16(3) {
			voltage, current := float(t, u, 2*phase), float(t, u, 6+2*phase)
			if math.Abs(voltage-230) > 5 || current < 1 || current > 15 {
				t.Fatalf("L%d: %v V, %v A", phase+1, voltage, current)
			}
			power += voltage * current
		}
		if got := float(t, u, 12); math.Abs(got-power) > 0.1 {
			t.Fatalf("power = %v, sum of the phases %v", got, power)
		}
		if now := energy(t, u); now < last {
			t.Fatalf("energy fell from %d to %d", last, now)
		} else {
			last = now
		}
		wattSeconds += power
	}
	if grown := float64(last - begin); math.Abs(grown-wattSeconds/3600) > 5 {
		t.Errorf("energy grew by %v Wh in an hour, summed power says %v", grown, wattSeconds/3600)
	}
	spare, err := u.Get(InputRegisters, 14, 6)
	if err != nil || !slices.Equal(spare, make([]uint16, 6)) {
		t.Errorf("input:14 = %v, %v; want six zeros", spare, err)
	}
	if _, err := u.Get(InputRegisters, 22, 1); err == nil {
		t.Error("input:22 exists")
	}
}

func TestMeterWordOrder(t *testing.T) {
	c := newClock()
	high, low := NewMeter(c.now, HighWordFirst), NewMeter(c.now, LowWordFirst)
	c.forward(time.Minute)
	for _, address := range []uint16{0, 2, 4, 6, 8, 10, 12, 20} {
		h, _ := high.Get(InputRegisters, address, 2)
		l, _ := low.Get(InputRegisters, address, 2)
		if h[0] != l[1] || h[1] != l[0] || h[0] == h[1] {
			t.Errorf("input:%d = %04X, swapped %04X", address, h, l)
		}
	}
}

func TestTank(t *testing.T) {
	c := newClock()
	u := NewTank(c.now)
	if got := get(t, u, InputRegisters, 0); got < 415 || got > 425 {
		t.Errorf("level at first = %d, want 420 and a ripple", got)
	}
	c.forward(5 * time.Minute)
	if got := get(t, u, InputRegisters, 0); got < 595 || got > 605 {
		t.Errorf("level after a while = %d, want 600 and a ripple", got)
	}
	if got := int16(get(t, u, InputRegisters, 1)); got < 180 || got > 250 {
		t.Errorf("temperature = %d", got)
	}

	write(t, u, "06 0000 03B6") // 95 %
	c.forward(5 * time.Minute)
	if got := get(t, u, InputRegisters, 0); got < 945 || got > 955 {
		t.Errorf("level = %d, want 950 and a ripple", got)
	}
	if high, low := get(t, u, DiscreteInputs, 0), get(t, u, DiscreteInputs, 1); high != 1 || low != 0 {
		t.Errorf("alarms at 95 %% = %d, %d", high, low)
	}

	write(t, u, "05 0000 0000") // valve shut
	c.forward(200 * time.Second)
	if got := get(t, u, InputRegisters, 0); got != 750 {
		t.Errorf("level = %d, want 750, 20 %% drained in 200 s", got)
	}
	c.forward(time.Hour)
	if got := get(t, u, InputRegisters, 0); got != 0 {
		t.Errorf("level = %d, want an empty tank", got)
	}
	if high, low := get(t, u, DiscreteInputs, 0), get(t, u, DiscreteInputs, 1); high != 0 || low != 1 {
		t.Errorf("alarms of an empty tank = %d, %d", high, low)
	}
	if got := u.handle(unhex(t, "06 0000 03E9")).pdu; !slices.Equal(got, []byte{0x86, 3}) {
		t.Errorf("setpoint of 100.1 %% answered with % X", got)
	}
}

func TestDrive(t *testing.T) {
	c := newClock()
	u := NewDrive(c.now)
	speed := func() int16 { return int16(get(t, u, InputRegisters, 1)) }
	status := func() uint16 { return get(t, u, InputRegisters, 0) }
	if speed() != 0 || status() != statusReady|statusRunning {
		t.Errorf("at first %d rpm, status %03b", speed(), status())
	}
	c.forward(5 * time.Second)
	if speed() != 1000 || status() != statusReady|statusRunning {
		t.Errorf("after 5 s %d rpm, status %03b; want 1000 rpm", speed(), status())
	}
	c.forward(5 * time.Second)
	if speed() != 1450 || status() != statusReady|statusRunning|statusAtSetpoint {
		t.Errorf("after 10 s %d rpm, status %03b; want 1450 rpm", speed(), status())
	}

	write(t, u, "06 0000 FDA8") // -600 rpm
	c.forward(time.Second)
	if torque := int16(get(t, u, InputRegisters, 2)); speed() != 1250 || torque >= 0 {
		t.Errorf("braking: %d rpm, torque %d", speed(), torque)
	}
	c.forward(time.Minute)
	if speed() != -600 {
		t.Errorf("%d rpm, want -600", speed())
	}

	write(t, u, "05 0000 0000") // stop
	c.forward(time.Minute)
	if speed() != 0 || status() != statusReady || get(t, u, InputRegisters, 2) != 0 {
		t.Errorf("stopped: %d rpm, status %03b", speed(), status())
	}
	if got := u.handle(unhex(t, "06 0000 0BB9")).pdu; !slices.Equal(got, []byte{0x86, 3}) {
		t.Errorf("setpoint of 3001 rpm answered with % X", got)
	}
}

func write(t testing.TB, u *Unit, request string) {
	t.Helper()
	if got := u.handle(unhex(t, request)).pdu; !slices.Equal(got, unhex(t, request)) {
		t.Fatalf("%s answered with % X", request, got)
	}
}

// TestModelsDependOnTimeAlone reads one set of devices each 7 ms and another once; both must show the same.
func TestModelsDependOnTimeAlone(t *testing.T) {
	c := newClock()
	often, once := Units(c.now, 1, 2, 3), Units(c.now, 1, 2, 3)
	for range 1000 {
		c.forward(7 * time.Millisecond)
		for _, u := range often {
			u.handle([]byte{4, 0, 0, 0, 1})
		}
	}
	for id, size := range map[byte]int{1: 22, 2: 2, 3: 3} {
		a, errA := often[id].Get(InputRegisters, 0, size)
		b, errB := once[id].Get(InputRegisters, 0, size)
		if errA != nil || errB != nil || !slices.Equal(a, b) {
			t.Errorf("unit %d: %04X when read often, %04X when read once (%v, %v)", id, a, b, errA, errB)
		}
	}
}

// TestClockThatGoesBack keeps what has happened.
func TestClockThatGoesBack(t *testing.T) {
	c := newClock()
	meter, drive := NewMeter(c.now, HighWordFirst), NewDrive(c.now)
	c.forward(5 * time.Second)
	before := energy(t, meter)
	get(t, drive, InputRegisters, 1)
	c.forward(-time.Hour)
	if got := get(t, drive, InputRegisters, 1); got != 1000 {
		t.Errorf("speed = %d, want 1000", got)
	}
	if got := energy(t, meter); got != before {
		t.Errorf("energy went from %d to %d", before, got)
	}
}

func TestDemoMap(t *testing.T) {
	tcp, rtu := Demo(newClock().now)
	for name, tt := range map[string]struct {
		unit    *Unit
		request string
		want    int // bytes of answer
	}{
		"meter":           {tcp[1], "04 0000 0016", 46},
		"tank inputs":     {tcp[2], "04 0000 0002", 6},
		"tank setpoint":   {tcp[2], "03 0000 0001", 4},
		"tank valve":      {tcp[2], "01 0000 0001", 3},
		"tank alarms":     {tcp[2], "02 0000 0002", 3},
		"drive inputs":    {rtu[1], "04 0000 0003", 8},
		"drive setpoint":  {rtu[1], "03 0000 0001", 4},
		"drive run":       {rtu[1], "01 0000 0001", 3},
		"meter on serial": {rtu[2], "04 0000 0016", 46},
	} {
		if got := tt.unit.handle(unhex(t, tt.request)).pdu; len(got) != tt.want {
			t.Errorf("%s: % X, want %d bytes", name, got, tt.want)
		}
	}
	if len(tcp) != 2 || len(rtu) != 2 {
		t.Errorf("%d units on TCP, %d on the line", len(tcp), len(rtu))
	}
}

func TestUnitsCycle(t *testing.T) {
	units := Units(nil, 1, 2, 5, 9)
	for id, size := range map[byte]int{1: 22, 2: 2, 5: 3, 9: 22} {
		if _, err := units[id].Get(InputRegisters, 0, size); err != nil {
			t.Errorf("unit %d: %v", id, err)
		}
		if _, err := units[id].Get(InputRegisters, 0, size+1); err == nil {
			t.Errorf("unit %d has more than %d input registers", id, size)
		}
	}
}
