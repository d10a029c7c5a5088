package bridge

import (
	"net/url"
	"slices"
	"time"
)

// servers is the list of an upstream's addresses, the first being the primary one. It stays with the one that works.
type servers struct {
	urls    []*url.URL
	failed  []time.Time // last failure; zero: never
	tried   []bool      // failed since the last round of the list ended
	current int
}

func newServers(urls []*url.URL) servers {
	return servers{urls: urls, failed: make([]time.Time, len(urls)), tried: make([]bool, len(urls))}
}

func (s *servers) url() *url.URL { return s.urls[s.current] }

// fail notes a failure of the current server and turns to another: the next in the list, and of those that failed the one whose failure is
// longest ago. It reports whether all have failed since the last round ended: then there is reason to wait longer.
func (s *servers) fail(now time.Time) (round bool) {
	s.failed[s.current], s.tried[s.current] = now, true
	if round = !slices.Contains(s.tried, false); round {
		clear(s.tried)
	}
	best := s.current
	for i := range s.urls {
		next := (s.current + 1 + i) % len(s.urls)
		if i == 0 || s.failed[next].Before(s.failed[best]) {
			best = next
		}
	}
	s.current = best
	return round
}

// worked notes that the current server could be used for a while: a new round begins with its next failure.
func (s *servers) worked() { clear(s.tried) }

// primary turns back to the first server.
func (s *servers) primary() { s.current, s.failed[0] = 0, time.Time{} }
