package bridge

import (
	"hash/maphash"
	"sync"
	"time"
)

// Bounds of what is remembered for recognising echoes.
const (
	echoWindow = 4096             // messages sent and not yet heard again; the oldest are forgotten
	echoTopics = 4096             // topics whose newest message is remembered; beyond, all are forgotten
	echoAge    = 10 * time.Minute // after that a message is somebody else's, though it is the same
)

// echoes recognises what we have published ourselves when the upstream sends it back, because a route inward covers the topic too: MQTT 3.1.1 has
// no word for "not mine". A message counts as an echo when it has topic and payload of one that was sent and not heard again yet, a retained
// one when it is the newest that was sent to its topic.
type echoes struct {
	in   []Route
	seed maphash.Seed
	now  func() time.Time

	mu      sync.Mutex
	ring    []uint64 // in the order of sending
	next    int
	waiting map[uint64]echo   // those in the ring, by the hash of topic and payload
	newest  map[uint64]uint64 // of a topic, by its hash
}

// echo is how often the same message is in the ring, how often it is yet to be heard, and until when that is believed. What is heard is always
// the oldest: so of its places in the ring, the last n are those yet to be heard.
type echo struct {
	held, n int
	until   time.Time
}

func newEchoes(in []Route, now func() time.Time) *echoes {
	return &echoes{
		in: in, seed: maphash.MakeSeed(), now: now, ring: make([]uint64, 0, 64), waiting: map[uint64]echo{}, newest: map[uint64]uint64{},
	}
}

func (s *echoes) hash(topic string, payload []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	_, _ = h.WriteString(topic) // never fails
	_ = h.WriteByte(0)          // is in no topic
	_, _ = h.Write(payload)
	return h.Sum64()
}

// sent notes a message that goes out, if it may come back.
func (s *echoes) sent(topic string, payload []byte) {
	if r, _ := firstInward(s.in, topic); r == nil {
		return
	}
	name, message := maphash.String(s.seed, topic), s.hash(topic, payload)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.newest) >= echoTopics {
		clear(s.newest)
	}
	s.newest[name] = message
	if len(s.ring) < echoWindow {
		s.ring = append(s.ring, message)
	} else {
		s.forgetOldest(s.ring[s.next])
		s.ring[s.next] = message
		s.next = (s.next + 1) % echoWindow
	}
	e := s.waiting[message]
	s.waiting[message] = echo{e.held + 1, e.n + 1, s.now().Add(echoAge)}
}

// forgetOldest gives up the first place of a message in the ring.
func (s *echoes) forgetOldest(message uint64) {
	e := s.waiting[message]
	if e.held--; e.held == 0 {
		delete(s.waiting, message)
		return
	}
	e.n = min(e.n, e.held)
	s.waiting[message] = e
}

// take removes one expected echo, and reports whether there was one.
func (s *echoes) take(message uint64) bool {
	e := s.waiting[message]
	if e.n == 0 {
		return false
	}
	e.n--
	s.waiting[message] = e
	return s.now().Before(e.until)
}

// heard reports whether a message that comes in is one of ours.
func (s *echoes) heard(topic string, payload []byte, retained bool) bool {
	message := s.hash(topic, payload)
	s.mu.Lock()
	defer s.mu.Unlock()
	if retained {
		newest, ok := s.newest[maphash.String(s.seed, topic)]
		return ok && newest == message
	}
	return s.take(message)
}

// forget gives up the echoes of a connection that ended: a new session does not get them.
func (s *echoes) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.waiting)
	s.ring, s.next = s.ring[:0], 0
}
