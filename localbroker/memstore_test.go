package localbroker_test

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
)

// image is what is on the disk of a memStore.
type image struct {
	seq      uint64
	names    map[string]gateway.QueueID
	next     map[gateway.QueueID]uint64 // last position of each queue
	queues   map[gateway.QueueID][]gateway.Delivery
	sessions map[gateway.QueueID]*gateway.SessionState
	retained map[string]gateway.PutRetained
	wills    map[string]gateway.PutWill
}

func newImage() *image {
	return &image{
		names: map[string]gateway.QueueID{}, next: map[gateway.QueueID]uint64{}, queues: map[gateway.QueueID][]gateway.Delivery{},
		sessions: map[gateway.QueueID]*gateway.SessionState{}, retained: map[string]gateway.PutRetained{}, wills: map[string]gateway.PutWill{},
	}
}

func (im *image) clone() *image {
	c := newImage()
	c.seq = im.seq
	maps.Copy(c.names, im.names)
	maps.Copy(c.next, im.next)
	maps.Copy(c.retained, im.retained)
	maps.Copy(c.wills, im.wills)
	for q, list := range im.queues {
		c.queues[q] = slices.Clone(list)
	}
	for q, s := range im.sessions {
		n := *s
		n.Subscriptions, n.Inbound, n.Received = slices.Clone(s.Subscriptions), slices.Clone(s.Inbound), slices.Clone(s.Received)
		c.sessions[q] = &n
	}
	return c
}

// apply carries out one operation.
func (im *image) apply(op gateway.Op) {
	switch o := op.(type) {
	case gateway.PutSession:
		s := im.sessions[o.Queue]
		if s == nil {
			s = &gateway.SessionState{}
			im.sessions[o.Queue] = s
		}
		s.PutSession = o
	case gateway.DropSession:
		delete(im.sessions, o.Queue)
		delete(im.queues, o.Queue)
	case gateway.PutWill:
		im.wills[o.ClientID] = o
	case gateway.DropWill:
		delete(im.wills, o.ClientID)
	case gateway.PutRetained:
		if len(o.Message.Payload) == 0 {
			delete(im.retained, o.Message.Topic)
		} else {
			im.retained[o.Message.Topic] = o
		}
	default:
		im.applyToSession(op)
	}
}

func (im *image) applyToSession(op gateway.Op) {
	session := func(q gateway.QueueID) *gateway.SessionState {
		if s := im.sessions[q]; s != nil {
			return s
		}
		return &gateway.SessionState{} // gone: nobody will see it
	}
	switch o := op.(type) {
	case gateway.PutSubscription:
		s := session(o.Queue)
		s.Subscriptions = slices.DeleteFunc(s.Subscriptions, func(x gateway.Subscription) bool { return x.Filter == o.Filter })
		s.Subscriptions = append(s.Subscriptions, o.Subscription)
	case gateway.DropSubscription:
		s := session(o.Queue)
		s.Subscriptions = slices.DeleteFunc(s.Subscriptions, func(x gateway.Subscription) bool { return x.Filter == o.Filter })
	case gateway.PutInbound:
		if s := session(o.Queue); !slices.Contains(s.Inbound, o.PacketID) {
			s.Inbound = append(s.Inbound, o.PacketID)
		}
	case gateway.DropInbound:
		s := session(o.Queue)
		s.Inbound = slices.DeleteFunc(s.Inbound, func(x uint16) bool { return x == o.PacketID })
	case gateway.PutReceived:
		if s := session(o.Queue); !slices.Contains(s.Received, o.Pos) {
			s.Received = append(s.Received, o.Pos)
		}
	}
}

// ack removes one delivery.
func (im *image) ack(q gateway.QueueID, pos uint64) {
	list := im.queues[q]
	if i, ok := find(list, pos); ok && i == 0 {
		im.queues[q] = list[1:]
	} else if ok {
		im.queues[q] = slices.Delete(list, i, i+1)
	}
	if s := im.sessions[q]; s != nil {
		s.Received = slices.DeleteFunc(s.Received, func(x uint64) bool { return x == pos })
	}
}

// find returns where a position is in a queue, or would be.
func find(list []gateway.Delivery, pos uint64) (int, bool) {
	return slices.BinarySearchFunc(list, pos, func(d gateway.Delivery, pos uint64) int { return cmp.Compare(d.Pos, pos) })
}

// memChange is a change on its way to the disk.
type memChange struct {
	change  *gateway.Change
	pos     []uint64 // of To
	unacked int
	done    func(error)
}

func (m *memChange) answer(err error) func() {
	done := m.done
	m.done = nil
	if done == nil {
		return func() {}
	}
	return func() { done(err) }
}

type ackedPos struct {
	queue gateway.QueueID
	pos   uint64
}

// memStore is the reference for localbroker.Store: everything is kept in memory, plainly. Its disk is an image; a crash is what
// remains when only the image is kept. A test can hold commits back.
type memStore struct {
	mu      sync.Mutex
	cond    *sync.Cond
	live    *image // as consumers see it
	disk    *image
	wakes   map[gateway.QueueID]func()
	hidden  map[*gateway.Record]struct{} // records with a barrier that are not committed yet
	pending []*memChange
	acks    []ackedPos // not yet on the disk
	calls   []func()   // callbacks to be made
	held    bool
	closed  bool
	done    chan struct{}
	commits int
	elided  int
	asked   atomic.Uint32 // by ReadNow
}

var _ localbroker.Store = (*memStore)(nil)

func openMemStore(disk *image) *memStore {
	s := &memStore{live: disk.clone(), disk: disk, wakes: map[gateway.QueueID]func(){}, hidden: map[*gateway.Record]struct{}{}, done: make(chan struct{})}
	s.cond = sync.NewCond(&s.mu)
	go s.run()
	return s
}

// run commits and calls back, on one goroutine.
func (s *memStore) run() {
	defer close(s.done)
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.calls) == 0 && !s.due() && !s.closed {
			s.cond.Wait()
		}
		if s.due() {
			s.commit()
		}
		calls := s.calls
		s.calls = nil
		if len(calls) == 0 && s.closed {
			return
		}
		s.mu.Unlock()
		for _, f := range calls {
			f()
		}
		s.mu.Lock()
	}
}

func (s *memStore) due() bool { return !s.held && !s.closed && len(s.pending)+len(s.acks) > 0 }

// commit puts everything that gathered on the disk.
func (s *memStore) commit() {
	s.commits++
	for _, m := range s.pending {
		s.write(m)
		s.calls = append(s.calls, m.answer(nil))
	}
	for _, a := range s.acks {
		s.disk.ack(a.queue, a.pos)
	}
	s.pending, s.acks = nil, nil
	s.cond.Broadcast()
}

func (s *memStore) write(m *memChange) {
	for _, op := range m.change.Ops {
		s.disk.apply(op)
	}
	if m.change.Record == nil {
		return
	}
	s.disk.seq = max(s.disk.seq, m.change.Record.Seq)
	if !m.change.Barrier && m.unacked == 0 {
		s.elided++
		return
	}
	s.place(s.disk, m)
	if m.change.Barrier {
		delete(s.hidden, m.change.Record)
		s.wake(m)
	}
}

// place appends the references to an image.
func (s *memStore) place(im *image, m *memChange) {
	for i, ref := range m.change.To {
		im.queues[ref.Queue] = append(im.queues[ref.Queue], gateway.Delivery{Ref: ref, Pos: m.pos[i], Record: m.change.Record})
		im.next[ref.Queue] = max(im.next[ref.Queue], m.pos[i])
	}
}

// wake tells the consumers of a record.
func (s *memStore) wake(m *memChange) {
	for _, ref := range m.change.To {
		if wake := s.wakes[ref.Queue]; wake != nil {
			s.calls = append(s.calls, wake)
		}
	}
}

func (s *memStore) Queue(name string) gateway.QueueID {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.live.names[name]
	if !ok {
		id = gateway.QueueID(len(s.live.names) + 1)
		s.live.names[name], s.disk.names[name] = id, id
	}
	return id
}

var errMemClosed = errors.New("store is closed")

func (s *memStore) Commit(c *gateway.Change, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := *c // c may be used again
	c = &own
	m := &memChange{change: c, done: done, unacked: len(c.To)}
	if s.closed {
		m.answer(errMemClosed)()
		return
	}
	if c.Record != nil {
		s.live.seq++
		c.Record.Seq = s.live.seq
	}
	for _, ref := range c.To {
		s.live.next[ref.Queue]++
		m.pos = append(m.pos, s.live.next[ref.Queue])
	}
	for _, op := range c.Ops {
		if drop, ok := op.(gateway.DropSession); ok {
			delete(s.live.queues, drop.Queue)
		}
	}
	if c.Record != nil {
		s.place(s.live, m)
		if c.Barrier {
			s.hidden[c.Record] = struct{}{}
		} else {
			s.wake(m)
		}
	}
	if len(c.To)+len(c.Ops) == 0 {
		s.calls = append(s.calls, m.answer(nil))
	} else {
		s.pending = append(s.pending, m)
	}
	s.cond.Broadcast()
}

func (s *memStore) CommitAll(list []gateway.Change, w gateway.Waiter, first uint64) {
	commitEach(s, list, w, first)
}

// commitEach is CommitAll by what it means.
func commitEach(s localbroker.Store, list []gateway.Change, w gateway.Waiter, first uint64) {
	for i := range list {
		if w == nil {
			s.Commit(&list[i], nil)
			continue
		}
		s.Commit(&list[i], func(err error) { w.Committed([]uint64{first + uint64(i)}, err) })
	}
}

func (s *memStore) Attach(q gateway.QueueID, wake func()) (acked uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakes[q] = wake
	if list := s.live.queues[q]; len(list) > 0 {
		return list[0].Pos - 1
	}
	return s.live.next[q]
}

func (s *memStore) Detach(q gateway.QueueID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.wakes, q)
}

func (s *memStore) Read(q gateway.QueueID, after uint64, buf []gateway.Delivery) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	from, _ := find(s.live.queues[q], after+1)
	for _, d := range s.live.queues[q][from:] {
		if _, hidden := s.hidden[d.Record]; hidden || n == len(buf) {
			break // what comes behind it waits too, or it would be passed over
		}
		buf[n] = d
		n++
	}
	return n, nil
}

// ReadNow says every other time that it would have to read the disk.
func (s *memStore) ReadNow(q gateway.QueueID, after uint64, buf []gateway.Delivery) (n int, ok bool) {
	if s.asked.Add(1)%2 == 0 {
		return 0, false
	}
	n, err := s.Read(q, after, buf)
	return n, err == nil
}

func (s *memStore) Ack(q gateway.QueueID, pos ...uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pos {
		s.live.ack(q, p)
		s.acks = append(s.acks, ackedPos{q, p})
		s.elide(q, p)
	}
	s.cond.Broadcast()
}

// elide answers for a record that all its consumers have acknowledged before its commit.
func (s *memStore) elide(q gateway.QueueID, pos uint64) {
	for _, m := range s.pending {
		for i, ref := range m.change.To {
			if ref.Queue != q || m.pos[i] != pos {
				continue
			}
			if m.unacked--; m.unacked == 0 && !m.change.Barrier && len(m.change.Ops) == 0 {
				s.calls = append(s.calls, m.answer(nil))
			}
		}
	}
}

func (s *memStore) Recover() (*gateway.Recovered, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := &gateway.Recovered{}
	disk := s.disk.clone()
	for _, q := range slices.Sorted(maps.Keys(disk.sessions)) {
		rec.Sessions = append(rec.Sessions, *disk.sessions[q])
	}
	for _, topic := range slices.Sorted(maps.Keys(s.disk.retained)) {
		rec.Retained = append(rec.Retained, s.disk.retained[topic])
	}
	for _, id := range slices.Sorted(maps.Keys(s.disk.wills)) {
		rec.Wills = append(rec.Wills, s.disk.wills[id])
	}
	return rec, nil
}

// hold keeps commits back until release.
func (s *memStore) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = true
}

func (s *memStore) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = false
	s.cond.Broadcast()
}

// awaitPending waits until a change that satisfies match waits for its commit.
func (s *memStore) awaitPending(t testing.TB, what string, match func(*gateway.Change) bool) {
	t.Helper()
	s.await(t, what, func() bool {
		return slices.ContainsFunc(s.pending, func(m *memChange) bool { return match(m.change) })
	})
}

// await waits for a condition on the store's state.
func (s *memStore) await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	late := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cond.Broadcast()
	})
	defer late.Stop()
	deadline := time.Now().Add(patience)
	s.mu.Lock()
	defer s.mu.Unlock()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("the store never got %s", what)
		}
		s.cond.Wait()
	}
}

// stop ends the store. What is not on the disk is lost, as by a crash, unless it is an ordered end.
func (s *memStore) stop(ordered bool) {
	s.mu.Lock()
	if ordered && !s.closed {
		s.commit()
	}
	s.closed = true
	for _, m := range s.pending {
		s.calls = append(s.calls, m.answer(errMemClosed))
	}
	s.pending = nil
	s.cond.Broadcast()
	s.mu.Unlock()
	<-s.done
}
