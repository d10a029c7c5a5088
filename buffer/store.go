package buffer

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"sync"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// ErrClosed is what a change gets that came when the store had closed, or that could not be committed before it did.
var ErrClosed = errors.New("buffer is closed")

// ErrNoSeq tells that no number could be reserved for a record, because the disk has failed for so long.
var ErrNoSeq = errors.New("no sequence number is left until the disk can be written again")

// seqBlock is how many sequence numbers are reserved with one commit, the next block when half of one is used. At 100 records a second
// the disk is asked every day; a disk that fails takes a day to stop the gateway; 2^53, which JSON readers can still count, lasts
// for half a billion crashes.
const seqBlock = 1 << 24

// monotonic is nanoseconds on a clock that never steps, from 1 on.
type monotonic int64

// never is later than every due time.
const never monotonic = math.MaxInt64

// Store is the buffer: see the package's documentation. All methods but Close may be called from any goroutine.
type Store struct {
	opts  Options
	log   *slog.Logger
	start time.Time // where monotonic begins
	lock  *os.File
	id    string
	block uint64 // seqBlock, smaller in tests

	reader *diskReader
	writer writer // of Open, then of Run, then of Close

	kick   chan struct{} // capacity 1: something became due earlier than the writer expects
	bell   chan struct{} // capacity 1: there are callbacks to call
	closed chan struct{} // closed when nothing is taken any more
	once   sync.Once     // of Close

	mu      sync.Mutex // guards what follows; held for memory only, never while the disk or a callback works
	closing bool
	names   map[string]*queue
	queues  []*queue // by id; nil where none is
	free    []*queue // dropped: their ids may be given again
	dirty   []*queue // their cursors change with the next commit
	list    entryList
	spare   []*entry          // elided ones, to be used again
	kept    map[string]*entry // by topic: pending changes of retained messages that a later one replaces

	clock  clock
	over   []*queue // have more than their limits allow
	strict bool     // there are upstreams that do not drop their oldest
	tight  bool     // the file is nearly full
	held   []held   // changes whose publishers wait for room

	heldBytes int // that they take in memory

	lookAt  monotonic // when to look for what has expired
	claimed bool      // the configuration has said which queues it wants
	wear    wear
	room    room

	inHand, inHandBytes int // entries in the group that is being committed, and their size

	nextDue     monotonic // no later than the earliest due time in list
	ackDue      monotonic // when acknowledgements are to be committed
	retryAt     monotonic // not before this, while commits fail
	failing     bool
	full        bool // the last failure was for want of room
	saidFailing bool // the log was told that commits fail

	saidFull monotonic // when the log was told last that records are dropped; 0: never
	online   int       // consumers that are attached

	seq, mark uint64 // next number; the first that is not reserved
	reserving bool   // the next block is under way
	epochs    map[string]uint64

	epochFloor uint64          // no epoch is lower; 0 but in a file that has taken the place of a damaged one
	salvage    *salvage        // of that one; nil when there is nothing to save
	suspected  bool            // the file is damaged, as the next start will know
	hurt       chan struct{}   // closed then
	started    map[uint64]bool // positions of commands in the inbox that were begun

	calls []call
	wakes []*queue
	stats gateway.BufferStats

	sabotage func() error // tests make commits fail with it
}

func newStore(o Options) *Store {
	o = o.withDefaults()
	return &Store{
		opts: o, log: o.Logger, start: o.Now(), block: seqBlock,
		kick: make(chan struct{}, 1), bell: make(chan struct{}, 1), closed: make(chan struct{}), hurt: make(chan struct{}),
		names: map[string]*queue{}, queues: make([]*queue, 1), kept: map[string]*entry{},
		clock: clock{unsighted: true, seenTold: true}, nextDue: never, ackDue: never, epochs: map[string]uint64{}, started: map[uint64]bool{},
	}
}

// now reads the clock that never steps.
func (s *Store) now() monotonic { return monotonic(s.opts.Now().Sub(s.start)) + 1 }

// times reads both clocks at once.
func (s *Store) times() (now monotonic, wall time.Time) {
	t := s.opts.Now()
	now = monotonic(t.Sub(s.start)) + 1
	if s.opts.wall != nil {
		t = s.opts.wall()
	}
	return now, t.Round(0)
}

// StoreID returns the random name that this file got when it was made.
func (s *Store) StoreID() string { return s.id }

// Queue returns the id of the durable queue of that name, and makes it on first use. It returns 0, no queue, when a million are in use.
func (s *Store) Queue(name string) gateway.QueueID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queueNamed(name).id
}

func (s *Store) queueNamed(name string) *queue {
	if q := s.names[name]; q != nil {
		return q
	}
	q := s.makeQueue(name)
	if q.id != 0 {
		s.names[name] = q
		s.append(&entry{work: func(a *applier) error { return a.putQueue(q.id, name, q.durableAcked, q.durableNext) }})
	}
	return q
}

// makeQueue finds an id. A new one first: ids of dropped sessions are only given again when there are no others.
func (s *Store) makeQueue(name string) *queue {
	if id := gateway.QueueID(len(s.queues)); id <= maxQueue && (len(s.free) == 0 || id < 1024) {
		q := newQueue(id, name, 0, 1)
		s.queues = append(s.queues, q)
		s.limit(q, s.defaultLimits(q))
		return q
	}
	if len(s.free) == 0 {
		return &queue{}
	}
	old := s.free[0]
	s.free = s.free[1:]
	q := newQueue(old.id, name, old.durableNext-1, old.durableNext)
	s.queues[q.id] = q
	s.limit(q, s.defaultLimits(q))
	return q
}

// byID returns a queue, nil when there is none or its session was dropped.
func (s *Store) byID(id gateway.QueueID) *queue {
	if int(id) >= len(s.queues) {
		return nil
	}
	if q := s.queues[id]; q != nil && !q.dropped {
		return q
	}
	return nil
}

// Commit takes a change. It stamps the record's Seq and ClockUnset before it returns. done, which may be nil, is called once, on a
// goroutine of the store: with nil when each durable consumer has acknowledged the record, or a limit has dropped it, or the change is
// committed and synchronised; with [ErrFull] when nothing of it was taken; with another error when the store has closed before that. Commit
// does not wait for the disk. c may be used again at once; what it refers to must not be changed until then.
func (s *Store) Commit(c *gateway.Change, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		s.call(waiter{done: done}, ErrClosed)
		return
	}
	now, wall := s.times()
	s.watchClock(now, wall)
	s.accept(c, waiter{done: done}, now)
}

// CommitAll is Commit for several changes, in their order. It costs less, and their waiter is told of many at once: of each by its number, which is first for
// the first of them and rises by one with each. Nobody waits when it is nil.
func (s *Store) CommitAll(list []gateway.Change, w gateway.Waiter, first uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, wall := s.times()
	if !s.closing {
		s.watchClock(now, wall)
	}
	for i := range list {
		who := waiter{many: w, number: first + uint64(i)}
		if s.closing {
			s.call(who, ErrClosed)
			continue
		}
		s.accept(&list[i], who, now)
	}
}

// accept takes a change unless there is no number for it, or has it wait for room.
func (s *Store) accept(c *gateway.Change, w waiter, now monotonic) {
	if c.Record != nil && !s.stamp(c.Record, now) {
		s.stats.Dropped++
		s.call(w, ErrNoSeq)
		return
	}
	if s.strict && w.waits() && s.mustWait(c) {
		s.hold(c, w, now)
		return
	}
	s.admit(c, w, now)
}

// admit gives a change its place in the order.
func (s *Store) admit(c *gateway.Change, w waiter, now monotonic) {
	e := s.newEntry()
	e.rec, e.ops, e.waiter, e.barrier, e.came, e.common = c.Record, c.Ops, w, c.Barrier, now, true
	s.address(e, c)
	s.foresee(c.Ops)
	if len(e.refs) == 0 && len(e.ops) == 0 {
		s.call(w, nil) // only stamped: nobody to keep it for
		return
	}
	if !s.coalesce(e) {
		s.append(e)
	}
}

// stamp gives rec its number, unless none is left: numbers beyond the mark could be given a second time after a crash.
func (s *Store) stamp(rec *gateway.Record, now monotonic) bool {
	if s.seq >= s.mark {
		return false
	}
	if rec.Seq, rec.ClockUnset = s.seq, s.clockUnset(rec, now); rec.ClockUnset {
		s.clock.unsight()
	}
	s.seq++
	if !s.reserving && s.mark-s.seq < s.block/2 {
		s.reserving = true
		s.hurry()
	}
	return true
}

// address gives e its place in the queue of each consumer that has room.
func (s *Store) address(e *entry, c *gateway.Change) {
	e.size = sizeOf(e.rec)
	if c.Record == nil {
		return
	}
	e.cost = costOf(e.rec)
	e.refs = e.one[:0]
	for _, to := range c.To {
		q := s.byID(to.Queue)
		switch {
		case q == nil:
		case !e.isGap() && !e.goesTo(q) && s.refuses(q):
			s.refuse(q, c.Record)
		default:
			pos := q.push(e, len(e.refs))
			e.refs = append(e.refs, ref{queue: q, pos: pos, Ref: to})
			s.noteOver(q)
		}
	}
	e.left = int32(len(e.refs))
	if e.left > 0 {
		s.stats.Appended++
	}
}

// goesTo reports whether e has a place in q already: a record that becomes several messages has several, all of them or none.
func (e *entry) goesTo(q *queue) bool {
	for i := range e.refs {
		if e.refs[i].queue == q {
			return true
		}
	}
	return false
}

// coalesce replaces the pending change of the same retained message, when nobody waits for either.
func (s *Store) coalesce(e *entry) bool {
	for _, op := range e.ops {
		put, ok := op.(gateway.PutRetained)
		if !ok {
			continue
		}
		alone := len(e.ops) == 1 && len(e.refs) == 0 && !e.waits() && !e.barrier
		if alone && s.kept[put.Message.Topic] != nil {
			s.kept[put.Message.Topic].ops = e.ops
			return true
		}
		delete(s.kept, put.Message.Topic) // whatever came before must not replace this one
		if alone {
			e.kept = true
			s.kept[put.Message.Topic] = e
		}
	}
	return false
}

// append puts e behind all other changes, and wakes who has to do with it.
func (s *Store) append(e *entry) {
	if e.came == 0 {
		e.came, e.size = s.now(), entryOverhead // a change of the store's own
	}
	e.due = s.dueOf(e)
	s.list.insert(e, nil)
	s.dueAt(e.due)
	if s.list.n >= s.opts.GroupRecords || s.list.bytes >= s.opts.GroupBytes {
		s.hurry()
	}
	if e.visible() {
		s.wakeConsumers(e)
	}
	s.shed()
}

// dueOf says when a change has to be committed (design, section 7).
func (s *Store) dueOf(e *entry) monotonic {
	waits := e.waits()
	switch {
	case e.barrier, waits && !e.elidable():
		return 0
	case !waits:
		return e.came + monotonic(s.opts.CommitInterval)
	}
	hold := monotonic(s.opts.AckHold)
	for i := range e.refs {
		if q := e.refs[i].queue; q.behind(e.came, hold) && !q.abreast(e.came, hold) {
			return 0
		}
	}
	return e.came + hold
}

// dueAt makes the writer look again if it does not expect anything as early as this.
func (s *Store) dueAt(t monotonic) {
	if t >= s.nextDue {
		return
	}
	s.nextDue = t
	signal(s.kick)
}

// hurry makes the next commit due at once.
func (s *Store) hurry() { s.dueAt(0) }

// signal wakes the one who listens to c, whose capacity is 1.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
