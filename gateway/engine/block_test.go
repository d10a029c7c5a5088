package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// blocky is a driver that writes up to two values at once. back changes what it reads back.
type blocky struct {
	*fakeDriver
	back func(readings []gateway.Reading) ([]gateway.Reading, error)
}

func (d blocky) WriteBlock(_ context.Context, device int, points []int, values []gateway.Value) ([]gateway.Reading, error) {
	n := min(2, len(points))
	d.note("block %d.%v=%v", device, points[:n], values[:n])
	var back []gateway.Reading
	for _, v := range values[:n] {
		back = append(back, good(v))
	}
	if d.back != nil {
		return d.back(back)
	}
	return back, nil
}

// A driver that can is given all values of a command, until they are written; a single one goes the usual way.
func TestCommandIsWrittenInBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := blocky{fakeDriver: meters("m")}
		r := newRig(t, d.fakeDriver)
		r.options.Buses[0].Driver = d
		r.start()
		r.after(100 * time.Millisecond)
		r.send("t/m/set", `{"values":{"b":true,"a":8}}`)
		r.after(100 * time.Millisecond)
		back, err := r.engine.Set(t.Context(), "m", append(append(set("b", gateway.Bool(true)), set("a", gateway.Int(7))...), set("b", gateway.Bool(false))...))
		if err != nil || len(back) != 3 || back[1].Value != gateway.Float64(7) || back[2].Value != gateway.Bool(false) {
			t.Errorf("got %v, %v", back, err)
		}
		r.after(100 * time.Millisecond) // else the next command may come before the poll
		r.send("t/m/a/set", "9")
		r.after(100 * time.Millisecond)
		r.stop()
		want(t, "conversations", d.words(), "poll 0.0",
			"block 0.[1 0]=[true 8]", "poll 0.0",
			"block 0.[1 0]=[true 7]", "block 0.[1]=[false]", "poll 0.0",
			"write 0.0=9", "poll 0.0")
		want(t, "writes", []uint64{r.engine.Stats()[0].Writes}, 6)
	})
}

// The first value that fails ends the command: what was done before it is told, what stands behind it is not, whatever the device has.
func TestBlockFails(t *testing.T) {
	for _, c := range []struct {
		name string
		back func([]gateway.Reading) ([]gateway.Reading, error)
		want string
	}{
		{"first", func([]gateway.Reading) ([]gateway.Reading, error) { return nil, errors.New("exception 4") }, "failed: write b: exception 4"},
		{"second", func(r []gateway.Reading) ([]gateway.Reading, error) { return r[:1], errors.New("exception 2") }, "failed b=true: write a: exception 2"},
		{"read back is bad", func(r []gateway.Reading) ([]gateway.Reading, error) {
			r[0] = gateway.Reading{Reason: gateway.ReasonSentinel}
			return r, nil
		}, "failed: read back b: sentinel"},
		{"panic", func([]gateway.Reading) ([]gateway.Reading, error) { panic("oops") }, "unknown: write b: driver panicked: oops"},
		{"nothing", func([]gateway.Reading) ([]gateway.Reading, error) { return nil, nil }, "failed: write b: driver has written nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := blocky{fakeDriver: meters("m"), back: c.back}
				r := newRig(t, d.fakeDriver)
				r.options.Buses[0].Driver = d
				r.start()
				r.send("t/m/set", `{"values":{"b":true,"a":7}}`)
				r.after(100 * time.Millisecond)
				r.stop()
				want(t, "results", r.results("t/m/result"), c.want)
				want(t, "blocks", d.taken("block"), d.taken("block")[0])
				want(t, "open entries", r.journal.open())
			})
		})
	}
}
