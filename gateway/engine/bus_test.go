package engine

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

func TestPanicStaysOnItsBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad, fine := meters("bad"), meters("fine")
		panics := 1
		bad.onPoll = func(_ context.Context, _, _ int, readings []gateway.Reading) (bool, error) {
			if time.Since(epoch) > time.Second && panics > 0 {
				panics--
				panic("index out of range [17]")
			}
			setAll(readings, good(gateway.Int(1)))
			return false, nil
		}
		r := newRig(t, bad, fine)
		r.start()
		r.after(10 * time.Second)
		r.stop()
		stats := r.engine.Stats()
		if stats[0].Panics != 1 || stats[1].Panics != 0 {
			t.Errorf("got %d and %d panics, want 1 and 0", stats[0].Panics, stats[1].Panics)
		}
		if bad.closes != 2 {
			t.Errorf("driver closed %d times, want at the panic and at the end", bad.closes)
		}
		ms := time.Millisecond
		want := []talk{{"poll 0.0", 0}, {"poll 0.0", 500 * ms}, {"poll 0.0", 1500 * ms}, {"poll 0.0", 2500 * ms}, {"poll 0.0", 3500 * ms}}
		if got := bad.taken("poll")[:5]; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if n := len(fine.taken("poll")); n != 11 {
			t.Errorf("the other bus polled %d times, want 11", n)
		}
	})
}

func TestPanicsPauseTheBusLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m0", "m1")
		d.onPoll = func(context.Context, int, int, []gateway.Reading) (bool, error) { panic("again") }
		r := newRig(t, d)
		r.start()
		r.after(10 * time.Minute)
		r.stop()
		talks := d.taken("poll")
		for i := 1; i < len(talks); i++ {
			pause := min(firstPause<<(i-1), longestPause)
			if got := talks[i].at - talks[i-1].at; got < pause {
				t.Errorf("pause %d was %v, want at least %v", i, got, pause)
			}
		}
		if len(talks) < 15 {
			t.Errorf("got %d polls in 10 minutes, want the bus to go on", len(talks))
		}
	})
}

type panicOnClose struct{ *fakeDriver }

func (panicOnClose) Close() error { panic("closing") }

func TestPanicWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		r := newRig(t, d)
		r.options.Buses[0].Driver = panicOnClose{d}
		r.start()
		r.after(time.Second)
		r.stop()
		if n := r.engine.Stats()[0].Panics; n != 1 {
			t.Errorf("got %d panics, want 1", n)
		}
	})
}

type countingDriver struct{ *fakeDriver }

func (countingDriver) Stats() gateway.BusStats {
	return gateway.BusStats{Name: "driver's", Open: true, Requests: 7, Timeouts: 3, Polls: 99, Panics: 2, Busy: time.Minute}
}

func TestStatsJoinTheDrivers(t *testing.T) {
	d := meters("m")
	o := newRig(t, d).options
	o.Buses[0].Driver = countingDriver{d}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	want := []gateway.BusStats{{
		Name: "bus0", Open: true, Requests: 7, Timeouts: 3, Panics: 2, Busy: time.Minute, Load: 1,
		Devices: []gateway.DeviceStats{{Name: "m", Wanted: 1}},
	}}
	if got := e.Stats(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestNewRefuses(t *testing.T) {
	idle := meters("m")
	idle.devices[0].Groups[0].Interval = 0
	for want, change := range map[string]func(*Options){
		"publisher is missing":                                    func(o *Options) { o.Publisher = nil },
		"journal is missing":                                      func(o *Options) { o.Journal = nil },
		"base topic is missing":                                   func(o *Options) { o.Topics.Base = "" },
		`bus "bus0" is there twice`:                               func(o *Options) { o.Buses[1].Name = "bus0" },
		`bus "bus1" has no driver`:                                func(o *Options) { o.Buses[1].Driver = nil },
		`set up bus bus1: device "m0" is there twice`:             func(o *Options) { o.Buses[1].Driver = meters("m0") },
		`set up bus bus0: device "m": interval is 0s, it must be`: func(o *Options) { o.Buses[0].Driver = idle },
	} {
		o := newRig(t, meters("m0"), meters("m1")).options
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := New(Options{Publisher: &fakePublisher{}, Journal: newJournal(), Topics: topics}); err != nil {
		t.Errorf("no buses, no logger: %v", err)
	}
}
