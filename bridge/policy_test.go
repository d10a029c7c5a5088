package bridge

import (
	"math"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestReturnIsSpread draws first waits after a calm connection and looks at their distribution: even, so that a fleet returns at a steady rate.
func TestReturnIsSpread(t *testing.T) {
	const draws, classes = 20000, 9
	var count [classes]int
	for range draws {
		d := (&backoff{}).next(backoffCalm, failNetwork)
		if d < time.Second || d > 10*time.Second {
			t.Fatalf("wait %v", d)
		}
		count[min(classes-1, int((d-time.Second)/time.Second))]++
	}
	for i, n := range count {
		if share := float64(n) / draws; math.Abs(share-1.0/classes) > 0.02 {
			t.Errorf("%.3f of the waits lie in second %d, want %.3f", share, i+1, 1.0/classes)
		}
	}
	wide := backoff{spread: time.Hour}
	longest := time.Duration(0)
	for range 100 {
		longest = max(longest, wide.next(backoffCalm, failNetwork))
	}
	if longest < 10*time.Minute {
		t.Errorf("spread over an hour, and the longest wait was %v", longest)
	}
}

func TestServersAreTriedInTurn(t *testing.T) {
	urls := []*url.URL{{Host: "a"}, {Host: "b"}, {Host: "c"}}
	s := newServers(urls)
	at := time.Unix(0, 0)
	var order []string
	for range 5 {
		order = append(order, s.url().Host)
		at = at.Add(time.Second)
		s.fail(at)
	}
	if want := []string{"a", "b", "c", "a", "b"}; !slices.Equal(order, want) {
		t.Errorf("tried %v, want %v", order, want)
	}
	s = newServers(urls)
	s.fail(at) // a, then b works and breaks: c has not failed lately
	s.fail(at.Add(time.Hour))
	if got := s.url().Host; got != "c" {
		t.Errorf("after a and b: %s", got)
	}
	s.current = 1
	s.fail(at.Add(2 * time.Hour)) // b again: c never failed, a did long ago
	if got := s.url().Host; got != "c" {
		t.Errorf("after b: %s", got)
	}
	s.primary()
	if got := s.url().Host; got != "a" {
		t.Errorf("primary is %s", got)
	}
}

// A server that works may be the next in the list, so the waits grow from round to round only.
func TestWaitsGrowFromRoundToRound(t *testing.T) {
	asked := 0
	b := &Bridge{
		servers: newServers([]*url.URL{{Host: "a"}, {Host: "b"}, {Host: "c"}}),
		backoff: func(time.Duration, failure) time.Duration { asked++; return time.Hour },
	}
	for i := range 9 {
		wait := b.nextWait(failNetwork, time.Second)
		if last := i%3 == 2; last != (wait == time.Hour) || !last && (wait < backoffMin || wait > 3*backoffMin) {
			t.Errorf("attempt %d waits %v", i, wait)
		}
	}
	if asked != 3 {
		t.Errorf("the waits grew %d times in 3 rounds", asked)
	}
	b.nextWait(failNetwork, time.Second)
	if wait := b.nextWait(failNetwork, backoffCalm); wait != time.Hour {
		t.Errorf("after a calm connection the wait is %v", wait)
	}
	if wait := b.nextWait(failAuth, 0); wait != time.Hour {
		t.Errorf("after refused credentials the wait is %v", wait)
	}
}

func TestRateOverTime(t *testing.T) {
	for name, tt := range map[string]struct {
		rate  Rate
		size  int
		sends float64 // expected in 100 seconds, the first burst included
	}{
		"messages":             {Rate{Messages: 90}, 100, 9090},
		"less than one":        {Rate{Messages: 0.5}, 100, 51},
		"bytes":                {Rate{Bytes: 1000}, 100, 1010},
		"both, bytes bind":     {Rate{Messages: 90, Bytes: 1000}, 100, 1010},
		"larger than a second": {Rate{Bytes: 1000}, 5000, 21},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLimiter(tt.rate)
			now := time.Unix(0, 0)
			end := now.Add(100 * time.Second)
			sends := 0.0
			for !now.After(end) {
				wait := l.take(now, tt.size)
				if wait == 0 {
					sends++
				}
				now = now.Add(wait)
			}
			if math.Abs(sends-tt.sends) > 1+tt.sends/100 {
				t.Errorf("%v sends in 100 s, want about %v", sends, tt.sends)
			}
		})
	}
	free := newLimiter(Rate{})
	for range 1000 {
		if wait := free.take(time.Unix(0, 0), 1<<20); wait != 0 {
			t.Fatalf("no rate, and a wait of %v", wait)
		}
	}
}

func TestSuspicion(t *testing.T) {
	at := func(lane int, pos uint64) *flight { return &flight{lane: &laneReader{index: lane}, pos: pos} }
	var s suspect
	for cut := 1; cut <= poisonCuts; cut++ {
		if s.guilty(1, 7) {
			t.Fatalf("guilty after %d cuts", cut-1)
		}
		if want := max(1, 16>>(cut-1)); s.window(16) != want {
			t.Errorf("window %d before cut %d, want %d", s.window(16), cut, want)
		}
		if want := []int{500, 125, 31, 7, 1}[cut-1]; s.records(500) != want {
			t.Errorf("%d records in a batch before cut %d, want %d", s.records(500), cut, want)
		}
		s = s.after(endCut, at(1, 7), false)
	}
	if !s.guilty(1, 7) || s.guilty(0, 7) || s.guilty(1, 8) {
		t.Errorf("verdict %+v", s)
	}
	if s.window(16) != 1 || s.records(500) != 1 {
		t.Errorf("window %d, records %d", s.window(16), s.records(500))
	}
	if s := s.after(endCut, at(1, 8), false); s.cuts != 1 {
		t.Errorf("another head: %+v", s)
	}
	if s := s.after(endCut, nil, false); s.cuts != poisonCuts {
		t.Errorf("cut before it was sent: %+v", s)
	}
	if s := s.after(endCut, nil, true); s.cuts != 0 {
		t.Errorf("acknowledged: %+v", s)
	}
}

// TestWindowStaysNarrowUnderSuspicion, or the record at its head would not be alone at the last connection before the verdict.
func TestWindowStaysNarrowUnderSuspicion(t *testing.T) {
	for cuts, want := range map[int]int64{0: 4, 1: 1} {
		w := newWindow(1, 4, 4)
		e := &epoch{b: &Bridge{}, suspect: suspect{cuts: cuts, pos: 99}}
		for range 4 {
			w.put(flight{lane: &laneReader{}})
		}
		close(w.flights)
		e.acknowledge(w)
		if got := w.limit.Load(); got < want || cuts > 0 && got > want {
			t.Errorf("after %d cuts the window has grown to %d", cuts, got)
		}
	}
}

// TestRenewalComesBeforeTheEnd of the credentials, with time left for the window.
func TestRenewalComesBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		e := &epoch{b: &Bridge{opts: Options{Now: time.Now}}, ctx: t.Context(), leave: make(chan string, 1), expires: began.Add(time.Hour)}
		e.renew()
		if took := time.Since(began); len(e.leave) != 1 || took < 30*time.Minute || took > 55*time.Minute {
			t.Errorf("asked after %v", took)
		}
	})
}

// TestSuspicionWithoutACut follows a record through connections that end in different ways.
func TestSuspicionWithoutACut(t *testing.T) {
	head := &flight{lane: &laneReader{}, pos: 7}
	for name, tt := range map[string]struct {
		ends   string // c: cut, p: passed by others, s: silence
		cuts   int
		window int // the next one, of 16
	}{
		"silence":                             {"ssssss", 0, 16},
		"passed":                              {"pppp", 4, 2},
		"passed often enough":                 {"ppppp", 5, 2},
		"cut, then silence":                   {"cccss", 3, 2},
		"cut, then passed":                    {"ccccp", 4 + 1, 2},
		"cut while another was in flight":     {"ccccsc", 4, 1},
		"cut once more, now alone":            {"ccccscc", 5, 1},
		"silence between cuts changes little": {"cscscscscc", 5, 1},
	} {
		var s suspect
		for _, end := range tt.ends {
			s = s.after(map[rune]ending{'c': endCut, 'p': endPassed, 's': endSilent}[end], head, false)
		}
		if s.cuts != tt.cuts || s.window(16) != tt.window {
			t.Errorf("%s: %+v, window %d; want %d cuts, window %d", name, s, s.window(16), tt.cuts, tt.window)
		}
	}
}

func TestWindowStartsSlowly(t *testing.T) {
	w := newWindow(16, 32, 40)
	limit := func(confirms int) int64 {
		for range confirms {
			w.put(flight{})
			<-w.flights
			w.leave(true)
		}
		return w.limit.Load()
	}
	if a, b, c := limit(15), limit(1), limit(31); a != 16 || b != 32 || c != 32 {
		t.Errorf("limits %d, %d, %d", a, b, c)
	}
	if a, b := limit(1), limit(33); a != 33 || b != 34 {
		t.Errorf("beyond the threshold: %d, %d", a, b)
	}
	if got := limit(1000); got != 40 {
		t.Errorf("at the end: %d", got)
	}
}
