package engine

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// logged runs an engine with one driver for a while and returns what it logged.
func logged(t *testing.T, d *fakeDriver, run func(r *rig)) string {
	t.Helper()
	var text strings.Builder
	r := newRig(t, d)
	r.options.Logger = slog.New(slog.NewTextHandler(&text, nil))
	r.start()
	run(r)
	r.stop()
	return text.String()
}

// A device that comes and goes all the time writes a few lines an hour, and the log ends with how it is.
func TestFlappingDeviceDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m", "other")
		log := logged(t, d, func(r *rig) {
			for range int(6 * time.Hour / (8 * time.Second)) {
				d.kill(0, 100*time.Millisecond)
				r.after(4 * time.Second)
				d.revive(0)
				r.after(4 * time.Second)
			}
			r.after(time.Hour)
		})
		lines := strings.Split(strings.TrimSpace(log), "\n")
		if n := len(lines); n > 90 || n < 70 {
			t.Errorf("%d lines in six hours, want no more than 90", n)
		}
		if len(log) > 20<<10 {
			t.Errorf("%d bytes in six hours", len(log))
		}
		end := lines[len(lines)-1]
		if !strings.Contains(end, "left_out=") || !strings.Contains(end, "online") && !strings.Contains(end, "without errors again") {
			t.Errorf("the log ends with %s, want that the device is there and what was left out", end)
		}
	})
}

// A device that is dead for a week is told once.
func TestDeadDeviceIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		d.kill(0, 100*time.Millisecond)
		log := logged(t, d, func(r *rig) { r.after(7 * 24 * time.Hour) })
		if n := strings.Count(log, "\n"); n != 1 {
			t.Errorf("%d lines, want 1:\n%s", n, log)
		}
	})
}

// Of several requests that fail in one poll a line tells how many, and which points.
func TestFailedRequestsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		m := &d.devices[0]
		m.Points, m.Groups = nil, every(time.Second, 0, 1, 2, 3, 4, 5, 6, 7)
		for _, name := range strings.Split("a b c d e f g h", " ") {
			m.Points = append(m.Points, gateway.Point{Name: name, Kind: gateway.KindInt})
		}
		d.onPoll = func(_ context.Context, _, step int, readings []gateway.Reading) (bool, error) {
			switch step {
			case 0:
				setAll(readings, gateway.Reading{Reason: "exception 4", Time: time.Now()})
				readings[7] = good(gateway.Int(1))
				return true, errors.New("first is not there")
			case 1:
				return true, errors.New("second is not there")
			}
			readings[6] = gateway.Reading{Reason: gateway.ReasonSentinel, Time: time.Now()}
			return false, errors.New("third is not there")
		}
		log := logged(t, d, func(r *rig) { r.after(time.Minute) })
		if n := strings.Count(log, "poll failed"); n != 1 {
			t.Errorf("%d lines, want 1:\n%s", n, log)
		}
		for _, want := range []string{"third is not there", "other_requests_failed=2", `points="6 of 8: a, b, c, d, e, ..."`} {
			if !strings.Contains(log, want) {
				t.Errorf("%s is not in\n%s", want, log)
			}
		}
	})
}

// Each group has its own faults: the polls of one that is well do not make those of another news again.
func TestFaultsOfGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		d.devices[0].Groups = []Group{{time.Second, []int{0}}, {30 * time.Second, []int{1}}, {20 * time.Second, []int{2}}}
		var mended atomic.Bool
		d.onGroup = func(group int, readings []gateway.Reading) error {
			if readings[group] = good(gateway.Int(1)); group == 0 || mended.Load() {
				return nil
			}
			readings[group] = gateway.Reading{Reason: "exception 2", Time: time.Now()}
			return errors.New([]string{1: "slow one refused", 2: "slower one refused"}[group])
		}
		log := logged(t, d, func(r *rig) {
			r.after(time.Hour)
			mended.Store(true)
			r.after(time.Hour)
		})
		if n := strings.Count(log, "poll failed"); n != 2 {
			t.Errorf("%d lines of failure, want one for each group:\n%s", n, log)
		}
		if n := strings.Count(log, "without errors again"); n != 1 {
			t.Errorf("its end logged %d times, want once:\n%s", n, log)
		}
	})
}
