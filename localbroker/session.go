package localbroker

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// session is what the broker knows of one client. A clean session lives as long as its connection, a persistent one (queue is not 0)
// outlives it: its QoS 1 and 2 deliveries are kept by the store, and only QoS 0 goes through memory while it is connected.
//
// mu is a leaf lock: publishers and the store's callbacks take it, so it is never held across a write or a call of the store.
type session struct {
	id    string
	user  string
	queue gateway.QueueID

	granted atomic.Pointer[grant] // what it may do, by the latest rules that were asked; see Broker.rights

	// inbound holds the ids of QoS 2 messages received and not yet released. Only the reader of the connection uses it; the client's turn hands
	// it to the next one.
	inbound map[uint16]receipt

	mu       sync.Mutex
	conn     *conn         // nil while offline
	expiry   time.Duration // how long the client wants the session to be kept after the connection; negative: for ever
	subs     subs
	subGen   uint64          // rises with every change of subs
	flying   map[uint64]item // what of shared subscriptions is in flight through memory, by position
	out      outqueue
	window   window
	sent     uint64              // highest position that was ever sent: what comes again up to here carries DUP
	crashDup int                 // so many more of before this start carry DUP, because nobody knows what was sent then
	left     time.Time           // when the last connection before this start ended: nothing that came later was sent in it
	received map[uint64]struct{} // positions whose PUBREC has come: only PUBREL is sent for them
	offline  time.Time           // when the connection ended; zero while connected

	progress uint64        // counts what the client takes: socket writes and acknowledgements
	stalled  bool          // nobody waits for this client until it makes progress
	room     chan struct{} // closed when the queue has drained; nil when nobody waits
}

// persistent reports whether the session outlives its connection.
func (s *session) persistent() bool { return s.queue != 0 }

// outcome is what a publisher has to do after it gave a message to a session.
type outcome struct {
	wake    *conn // its writer has something new to do
	pressed bool  // the queue is long: wait a moment if you can
	gone    bool  // there is no connection, and the message was not taken
	dropped int
}

// offer gives the session a message through memory. It never waits.
func (s *session) offer(it item) (o outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		o.gone = true // what is not durable is not kept for somebody who is away
		return o
	}
	b := s.conn.b
	idle := s.out.live == 0
	o.dropped = s.out.push(it, b.opts.MaxQueued, b.memory.limit(b.opts.MaxQueuedBytes, 2))
	if idle {
		o.wake = s.conn
	}
	o.pressed = !s.stalled && s.longer(4)
	return o
}

// pressed reports whether publishers should wait for the session.
func (s *session) pressed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != nil && !s.stalled && s.longer(4)
}

// longer reports whether more waits than that part of the limits. Publishers begin to wait at a quarter, which leaves the rest for those
// who are under way, and go on at an eighth. The session has a connection.
func (s *session) longer(part int) bool {
	b := s.conn.b
	return s.out.live > b.opts.MaxQueued/part || s.out.bytes > b.memory.limit(b.opts.MaxQueuedBytes, 4)/part
}

// advanced notes that the client takes what it is sent.
func (s *session) advanced() {
	s.progress++
	s.stalled = false
	s.drain()
}

// drain lets those go on who wait for a short queue, if it is.
func (s *session) drain() {
	if s.room != nil && (s.conn == nil || !s.longer(8)) {
		close(s.room)
		s.room = nil
	}
}

// drained returns a channel that closes when the queue is short again, nil when it is, or when there is no use in waiting.
func (s *session) drained() (room <-chan struct{}, progress uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.stalled || !s.longer(4) {
		return nil, 0
	}
	if s.room == nil {
		s.room = make(chan struct{})
	}
	return s.room, s.progress
}

// moves reports whether the client has taken something since. If not, and those who wait for it give up, it counts as stalled from now on.
func (s *session) moves(since uint64, giveUp bool) (moves, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	moves = s.progress != since
	if giveUp && !moves {
		s.stalled = true
	}
	return moves, giveUp || s.stalled
}

// attach makes c the session's connection.
func (s *session) attach(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = c
	s.offline = time.Time{}
	s.out.end()
	s.out.memory = &c.b.memory
	s.window, s.flying = window{}, nil
	s.stalled = false
}

// detach takes the connection away, and with it what waits in memory: QoS 0 of a persistent session, everything of a clean one. It returns
// what others who share a subscription may have instead.
func (s *session) detach(now time.Time) (shared []item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	shared = s.unshared()
	s.conn = nil
	s.offline = now
	s.out.end()
	s.window, s.flying = window{}, nil
	s.advanced()
	return shared
}

// subscriptions returns how many subscriptions the session has.
func (s *session) subscriptions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.subs)
}

// matches reports whether a topic is one that the client has asked for.
func (s *session) matches(topic string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs {
		if _, rest, _ := packet.SplitShare(sub.Filter); packet.Match(rest, topic) {
			return true
		}
	}
	return false
}

// levels returns how many levels the filters of the session have in all: what they take in the tree.
func (s *session) levels() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.subs {
		n += levelsOf(s.subs[i].Filter)
	}
	return n
}
