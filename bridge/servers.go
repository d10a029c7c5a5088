package bridge

import (
	"net/url"
	"time"
)

// servers is the list of an upstream's addresses, the first being the primary one. It stays with the one that works.
type servers struct {
	urls    []*url.URL
	failed  []time.Time // last failure; zero: never
	current int
}

func newServers(urls []*url.URL) servers {
	return servers{urls: urls, failed: make([]time.Time, len(urls))}
}

func (s *servers) url() *url.URL { return s.urls[s.current] }

// fail notes a failure of the current server and turns to another: the next in the list, and of those that failed the one whose failure is
// longest ago.
func (s *servers) fail(now time.Time) {
	s.failed[s.current] = now
	best := s.current
	for i := range s.urls {
		next := (s.current + 1 + i) % len(s.urls)
		if i == 0 || s.failed[next].Before(s.failed[best]) {
			best = next
		}
	}
	s.current = best
}

// primary turns back to the first server.
func (s *servers) primary() { s.current, s.failed[0] = 0, time.Time{} }
