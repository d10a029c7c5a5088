package modbus

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus/bustest"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway"
)

// patience is how long the driver waits where a test lets an answer stay out or come late.
const patience = 250 * time.Millisecond

// site is a simulated unit 1 with ten registers at 0 and ten at 50, and the driver that reads two of each.
type site struct {
	t      testing.TB
	never  testing.TB // what must not happen, however busy the machine: a foreign value where answers tell what they are to
	unit   *sim.Unit
	driver *Driver
	rounds int
}

func newSite(t testing.TB, kind string, retries int) *site {
	t.Helper()
	s := &site{t: t, never: t, unit: sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}, {First: 50, Count: 10}}})}
	units := map[byte]*sim.Unit{1: s.unit}
	o := Options{Devices: []Device{{Name: "d", Points: holding(0, 1, 50, 51), Timeout: patience, Retries: retries}}}
	if kind == "TCP" {
		s.never = whole(t)
		o.Bus = tcpBus(simtest.TCP(t, units, sim.ServerOptions{}).Address)
	} else {
		o.Bus = rtuBus(simtest.RTU(t, units, sim.SlaveOptions{}).Port)
	}
	s.driver = newTestDriver(t, o)
	return s
}

// change gives all registers new values, so that an old answer can be told from a new one, and returns what a poll must read.
func (s *site) change() string {
	s.t.Helper()
	s.rounds++
	v := uint16(1000 * s.rounds)
	if err := errors.Join(s.unit.Set(sim.HoldingRegisters, 0, v, v+1), s.unit.Set(sim.HoldingRegisters, 50, v+50, v+51)); err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprint(v, v+1, v+50, v+51)
}

// recovers polls until the values are those of now; what comes in between must be marked bad, never be an old or a foreign value.
func (s *site) recovers() {
	s.t.Helper()
	for range 5 {
		want := strings.Fields(s.change())
		readings, errs := poll(s.t, s.driver, 0)
		good := 0
		for i, r := range readings {
			switch got := values(readings[i : i+1]); {
			case got == want[i]:
				good++
			case !strings.HasPrefix(got, "<") && got != "untouched":
				s.never.Errorf("point %d: reading %+v, want %s or bad (errors: %v)", i, r, want[i], errs)
				s.t.FailNow()
			}
		}
		if good == len(want) {
			return
		}
	}
	s.t.Fatal("no good poll in five")
}

// Each way of a device to misbehave: what it does to the poll that it hits, of which the first block is spoilt, and that all is well afterwards.
func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		name     string
		fault    sim.Fault
		tcp, rtu string // the first two readings; "" when the answer is good all the same
	}{
		{"NoAnswer", sim.NoAnswer(), "<timeout>", "<timeout>"},
		{"Late", sim.Late(patience * 5 / 4), "<timeout>", "<timeout>"},
		{"NoiseBefore", sim.GarbageBefore(0x00), "<frame>", ""},
		{"HeaderBefore", sim.GarbageBefore(1, 3, 4, 1, 3), "<frame>", ""},
		{"ForeignFrameBefore", sim.GarbageBefore(raw(t, "| 02 03 04 00 63 00 63 crc")...), "<frame>", ""},
		{"NoiseBehind", sim.GarbageAfter(0xFF, 0x00), "", ""},
		{"CopyBehind", sim.GarbageAfter(raw(t, "| 01 03 04 00 63 00 63 crc")...), "", ""},
		{"WrongUnit", sim.WrongUnit(9), "<frame>", "<frame>"},
		{"UnitZero", sim.WrongUnit(0), "", "<frame>"}, // as gateways do; the transaction id tells whose answer it is
		{"Unit255", sim.WrongUnit(255), "", "<frame>"},
		{"WrongFunction", sim.WrongFunction(4), "<frame>", "<frame>"},
		{"Short", sim.ShortAnswer(1), "<frame>", "<frame>"},
		{"Long", sim.LongAnswer(1), "<frame>", "<frame>"},
		{"CRC", sim.BadCRC(), "", "<crc>"},
		{"Exception", sim.ExceptionAnswer(6), "<exception 6>", "<exception 6>"},
		{"CutInTwo", sim.Split(3, 20*time.Millisecond), "", ""},
		{"CutInTheHeader", sim.Split(1, 20*time.Millisecond), "", ""},
		{"Reset", sim.Reset(), "<offline>", "<timeout>"},
		{"OldTransaction", sim.OldTransaction(1), "<timeout>", ""},
		{"StaleFirst", sim.StaleFirst(1), "", ""},
	} {
		for kind, bad := range map[string]string{"TCP": tc.tcp, "RTU": tc.rtu} {
			t.Run(tc.name+kind, steadily(func(t testing.TB) {
				s := newSite(t, kind, 0)
				s.recovers()
				want := strings.Fields(s.change())
				s.unit.Inject(tc.fault, 1)
				readings, errs := poll(t, s.driver, 0)
				wantFirst := strings.Join(want[:2], " ")
				if bad != "" {
					wantFirst = bad + " " + bad
				}
				if got := values(readings[:2]); got != wantFirst {
					t.Errorf("readings %s, want %s (errors: %v)", got, wantFirst, errs)
				}
				if got := len(errs) > 0 && errors.Is(errs[0], ErrNoAnswer); got != nobody(kind, bad, tc.name) {
					t.Errorf("errors %v, want ErrNoAnswer: %v", errs, !got)
				}
				s.recovers()
			}))
		}
	}
}

// nobody reports whether a fault looks as if the device were not there. On a serial line an answer of another unit is just that; a TCP
// connection has one at its other end that answered.
func nobody(kind, bad, name string) bool {
	foreign := kind != "TCP" && (name == "WrongUnit" || name == "UnitZero" || name == "Unit255")
	return bad == "<timeout>" || bad == "<offline>" || foreign
}

// With a retry the same faults cost no value.
func TestRetry(t *testing.T) {
	for _, kind := range []string{"TCP", "RTU"} {
		for name, fault := range map[string]sim.Fault{
			"NoAnswer": sim.NoAnswer(), "CRC": sim.BadCRC(), "WrongUnit": sim.WrongUnit(9), "Short": sim.ShortAnswer(1), "Reset": sim.Reset(),
		} {
			t.Run(name+kind, steadily(func(t testing.TB) {
				s := newSite(t, kind, 1)
				s.recovers()
				s.unit.Inject(fault, 1)
				wantValues(t, s.driver, 0, s.change())
			}))
		}
	}
}

// The answer to the first attempt comes right after the second was sent. It is as good as an answer to the second, but then one answer is
// still under way, and must not be taken for that to the next block, which has the same shape.
func TestLateAnswerRightAfterTheRetry(t *testing.T) {
	for _, kind := range []string{"TCP", "RTU"} {
		t.Run(kind, steadily(func(t testing.TB) {
			s := newSite(t, kind, 1)
			for range 3 {
				s.unit.Inject(sim.Late(patience*5/4), 2)
				s.recovers()
			}
		}))
	}
}

// A device that is late each time gives no values, and above all no wrong ones.
func TestAlwaysLate(t *testing.T) {
	for _, kind := range []string{"TCP", "RTU"} {
		t.Run(kind, steadily(func(t testing.TB) {
			s := newSite(t, kind, 0)
			s.unit.Inject(sim.Late(patience*3/2), 6)
			for range 4 {
				s.change()
				readings, _ := poll(t, s.driver, 0)
				if got := values(readings); !strings.Contains(got, "<timeout> <timeout>") || strings.ContainsAny(got, "0123456789") {
					t.Fatalf("readings %s, want timeouts", got)
				}
			}
			s.unit.Heal()
			s.recovers()
		}))
	}
}

// One dead unit leaves the others of the bus alone.
func TestDeadUnitAmongOthers(t *testing.T) {
	for _, kind := range []string{"TCP", "RTU"} {
		t.Run(kind, steadily(func(t testing.TB) {
			layout := sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}}}
			units := map[byte]*sim.Unit{1: sim.NewUnit(layout), 2: sim.NewUnit(layout), 3: sim.NewUnit(layout)}
			units[2].Inject(sim.NoAnswer(), -1)
			var o Options
			for id := range byte(3) {
				o.Devices = append(o.Devices, Device{Name: fmt.Sprint(id + 1), Unit: id + 1, Points: holding(0), Timeout: patience})
			}
			if kind == "TCP" {
				o.Bus = tcpBus(simtest.TCP(t, units, sim.ServerOptions{}).Address)
			} else {
				o.Bus = rtuBus(simtest.RTU(t, units, sim.SlaveOptions{}).Port)
			}
			d := newTestDriver(t, o)
			for range 3 {
				wantValues(t, d, 0, "0")
				wantValues(t, d, 1, "<timeout>")
				wantValues(t, d, 2, "0")
			}
			if s := d.Stats(); s.Timeouts != 3 || s.Requests != 9 {
				t.Errorf("Stats() = %+v, want 3 timeouts in 9 requests", s)
			}
		}))
	}
}

func TestUnplug(t *testing.T) {
	unit := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}}})
	units := map[byte]*sim.Unit{1: unit}
	tcp, rtu := simtest.TCP(t, units, sim.ServerOptions{}), simtest.RTU(t, units, sim.SlaveOptions{})
	for _, tc := range []struct {
		kind         string
		o            Options
		unplug, plug func()
	}{
		{"TCP", Options{Bus: tcpBus(tcp.Address)}, tcp.Unplug, tcp.Plug},
		{"RTU", Options{Bus: rtuBus(rtu.Port)}, rtu.Unplug, rtu.Plug},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			tc.o.Devices = []Device{{Name: "d", Points: holding(0), Retries: 1}}
			d := newTestDriver(t, tc.o)
			for range 3 {
				wantValues(t, d, 0, "0")
				tc.unplug()
				for range 3 {
					readings, errs := poll(t, d, 0)
					if values(readings) != "<offline>" || len(errs) != 1 || !errors.Is(errs[0], ErrNoAnswer) {
						t.Fatalf("readings %s, errors %v, want offline and no answer", values(readings), errs)
					}
				}
				if d.Stats().Open {
					t.Error("the bus is open")
				}
				tc.plug()
				within(t, "a good poll", func() bool {
					readings, _ := poll(t, d, 0)
					return values(readings) == "0"
				})
			}
		})
	}
}

// within repeats until done or until it hangs; the polls that it repeats take their time.
func within(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(hangs)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s did not come", what)
		}
	}
}

// What was refused is remembered, until the bus was lost: what comes back may be another device.
func TestRefusalIsForgottenWithTheBus(t *testing.T) {
	unit := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 1}, {First: 2, Count: 1}}})
	line := simtest.RTU(t, map[byte]*sim.Unit{1: unit}, sim.SlaveOptions{})
	d := newTestDriver(t, Options{Bus: rtuBus(line.Port), Devices: []Device{{Name: "d", Points: holding(0, 2)}}})
	for _, requests := range []uint64{3, 2, 2} { // the block and its halves, then the halves
		before := unit.Stats().Requests
		wantValues(t, d, 0, "0 0")
		if got := unit.Stats().Requests - before; got != requests {
			t.Fatalf("%d requests, want %d", got, requests)
		}
	}
	line.Unplug()
	wantValues(t, d, 0, "<offline> untouched")
	line.Plug()
	before := unit.Stats().Requests
	within(t, "a good poll", func() bool {
		readings, _ := poll(t, d, 0)
		return values(readings) == "0 0"
	})
	if got := unit.Stats().Requests - before; got != 3 {
		t.Errorf("%d requests, want 3: the block again, and its halves", got)
	}
}

// Some devices do not answer at all when asked for what they do not have. Such a block costs its own points only.
func TestSilentBlock(t *testing.T) {
	steady(t, func(t testing.TB) {
		d := newTestDriver(t, Options{
			Bus: rtuBus(bustest.PlayLine(t, speakRTU(t, []bustest.IO{
				{W: "03 0000 0001", R: ""},
				{W: "03 0032 0001", R: "03 02 0032"}, // the second poll begins with the other block
				{W: "03 0000 0001", R: ""},
				{W: "03 0032 0001", R: "03 02 0033"},
				{W: "03 0000 0001", R: "03 02 0001"},
			}))),
			Devices: []Device{{Name: "d", Unit: 17, Points: holding(0, 50), Timeout: patience}},
		})
		readings, errs := poll(t, d, 0)
		if values(readings) != "<timeout> untouched" || len(errs) != 1 || !errors.Is(errs[0], ErrNoAnswer) {
			t.Fatalf("readings %s, errors %v, want no answer", values(readings), errs)
		}
		readings, errs = poll(t, d, 0)
		if values(readings) != "<timeout> 50" || len(errs) != 1 || errors.Is(errs[0], ErrNoAnswer) {
			t.Fatalf("readings %s, errors %v, want the other block and a device that is there", values(readings), errs)
		}
		wantValues(t, d, 0, "1 51")
	})
}

// A write is sent once, and its error says whether the device may have taken it.
func TestWriteFaults(t *testing.T) {
	const doubtful = " (the device may have taken the value)"
	for _, tc := range []struct {
		name     string
		fault    sim.Fault
		kind     string
		doubtful bool
		taken    bool
	}{
		{"NoAnswer", sim.NoAnswer(), "RTU", true, false},
		{"Late", sim.Late(patience * 5 / 4), "RTU", true, true},
		{"CRC", sim.BadCRC(), "RTU", true, true},
		{"Exception", sim.ExceptionAnswer(4), "RTU", false, false},
		{"Late", sim.Late(patience * 5 / 4), "TCP", true, true},
		{"Reset", sim.Reset(), "TCP", true, false},
		{"Exception", sim.ExceptionAnswer(4), "TCP", false, false},
	} {
		t.Run(tc.name+tc.kind, steadily(func(t testing.TB) {
			s := newSite(t, tc.kind, 3)
			s.recovers()
			before := s.unit.Stats().Requests
			s.unit.Inject(tc.fault, 1)
			_, err := s.driver.Write(t.Context(), 0, 1, gateway.Int(7))
			if err == nil || strings.HasSuffix(err.Error(), doubtful) != tc.doubtful {
				t.Errorf("Write() error = %v, want doubt: %v", err, tc.doubtful)
			}
			if n := s.unit.Stats().Requests - before; n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
			if v, _ := s.unit.Get(sim.HoldingRegisters, 1, 1); (v[0] == 7) != tc.taken {
				t.Errorf("the register holds %d, want that the device took 7: %v", v[0], tc.taken)
			}
			s.recovers()
		}))
	}
	t.Run("Offline", func(t *testing.T) {
		d := newTestDriver(t, Options{Bus: rtuBus("/dev/does-not-exist"), Devices: []Device{{Name: "d", Points: holding(0)}}})
		_, err := d.Write(t.Context(), 0, 0, gateway.Int(1))
		if !errors.Is(err, ErrNoAnswer) || strings.HasSuffix(err.Error(), doubtful) {
			t.Errorf("Write() error = %v, want no answer and no doubt", err)
		}
	})
	t.Run("ReadBack", steadily(func(t testing.TB) {
		s := newSite(t, "TCP", 0)
		s.unit.Inject(sim.Split(5, 0), 1)
		s.unit.Inject(sim.ExceptionAnswer(2), 1)
		_, err := s.driver.Write(t.Context(), 0, 1, gateway.Int(7))
		if want := `read holding:1 (40002) of device "d" back after it took the value 7: device answered exception 2`; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Write() error = %v\nwant %s...", err, want)
		}
	}))
}
