package modbus

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway"
)

// scattered makes points so far apart that each has a request of its own.
func scattered(n int) []Point {
	var offsets []uint16
	for i := range n {
		offsets = append(offsets, uint16(1000*i))
	}
	return holding(offsets...)
}

func scatteredUnit(t testing.TB, n int) *sim.Unit {
	t.Helper()
	var ranges []sim.Range
	for i := range n {
		ranges = append(ranges, sim.Range{First: uint16(1000 * i), Count: 1})
	}
	u := sim.NewUnit(sim.Layout{HoldingRegisters: ranges})
	for i := range n {
		if err := u.Set(sim.HoldingRegisters, uint16(1000*i), uint16(i)); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

// shuffler is a device that waits for so many requests before it answers any, in reverse: whoever waits for an answer first hangs.
func shuffler(t *testing.T, together int, seen *atomic.Int32) (endpoint string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return relayStreams(t, l, func() (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer ours.Close()
			for {
				var answers [][]byte
				for range together {
					b := make([]byte, 12)
					if _, err := io.ReadFull(ours, b); err != nil {
						return
					}
					seen.Add(1)
					answers = append(answers, append(bytes.Clone(b[:4]), 0, 5, b[6], b[7], 2, b[8], b[9])) // the address is the value
				}
				slices.Reverse(answers)
				if _, err := ours.Write(bytes.Join(answers, nil)); err != nil {
					return
				}
			}
		}()
		return theirs, nil
	})
}

func TestRequestsInFlight(t *testing.T) {
	var seen atomic.Int32
	d := newTestDriver(t, Options{
		Bus: tcpBus(shuffler(t, 4, &seen)), MaxInFlight: 4, Devices: []Device{{Name: "d", Points: scattered(8)}},
	})
	for range 3 {
		wantValues(t, d, 0, "0 1000 2000 3000 4000 5000 6000 7000")
	}
	if s := d.Stats(); s.Requests != 24 || s.Opens != 1 || seen.Load() != 24 {
		t.Errorf("Stats() = %+v after %d requests, want 24 on one connection", s, seen.Load())
	}
}

// Each fault hits one of several requests under way; the others' answers hold, and nothing is mixed up afterwards.
func TestFaultsInFlight(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault sim.Fault
		bad   string // the second reading
	}{
		{"NoAnswer", sim.NoAnswer(), "<timeout>"},
		{"Exception", sim.ExceptionAnswer(4), "<exception 4>"},
		{"Refused", sim.ExceptionAnswer(2), "<exception 2>"},
		{"WrongFunction", sim.WrongFunction(4), "<frame>"},
		{"OldTransaction", sim.OldTransaction(1), "<timeout>"},
		{"StaleFirst", sim.StaleFirst(5), ""},
		{"Late", sim.Late(patience / 4), ""},
	} {
		for _, retries := range []int{0, 1} {
			t.Run(fmt.Sprint(tc.name, retries), steadily(func(t testing.TB) {
				unit := scatteredUnit(t, 6)
				d := newTestDriver(t, Options{
					Bus: tcpBus(simtest.TCP(t, map[byte]*sim.Unit{1: unit}, sim.ServerOptions{}).Address), MaxInFlight: 3,
					Devices: []Device{{Name: "d", Points: scattered(6), Timeout: patience, Retries: retries}},
				})
				wantValues(t, d, 0, "0 1 2 3 4 5")
				unit.Inject(sim.Late(0), 1)
				unit.Inject(tc.fault, 1)
				readings, errs := poll(t, d, 0)
				want := []string{"0", tc.bad, "2", "3", "4", "5"}
				if tc.bad == "" || retries > 0 && (tc.bad == "<timeout>" || tc.bad == "<frame>") {
					want[1] = "1"
				}
				if got := values(readings); got != strings.Join(want, " ") {
					t.Errorf("readings %s, want %s (errors: %v)", got, strings.Join(want, " "), errs)
				}
				later := "0 1 2 3 4 5"
				if tc.name == "Refused" { // which is remembered, and asked for again after a minute at the earliest
					later = strings.Join(want, " ")
				}
				within(t, "a poll that is not disturbed", func() bool {
					readings, _ := poll(t, d, 0)
					return values(readings) == later
				})
			}))
		}
	}
}

// A value that was asked for before a write is not published behind it.
func TestWriteBetweenRequestsInFlight(t *testing.T) {
	unit := scatteredUnit(t, 3)
	d := newTestDriver(t, Options{
		Bus: tcpBus(simtest.TCP(t, map[byte]*sim.Unit{1: unit}, sim.ServerOptions{}).Address), MaxInFlight: 3,
		Devices: []Device{{Name: "d", Points: scattered(3)}},
	})
	readings := make([]gateway.Reading, 3)
	if more, err := d.Poll(t.Context(), 0, 0, 0, readings); !more || err != nil {
		t.Fatalf("Poll() = %v, %v, want more", more, err)
	}
	if _, err := d.Write(t.Context(), 0, 1, gateway.Uint(77)); err != nil {
		t.Fatal(err)
	}
	for step := 1; step < 3; step++ {
		if _, err := d.Poll(t.Context(), 0, 0, step, readings); err != nil {
			t.Fatal(err)
		}
	}
	if got := values(readings); got != "0 77 2" {
		t.Errorf("readings %s, want 0 77 2", got)
	}
}
