package buffer

import "github.com/tidegate/tidegate/gateway"

// waiter is who waits for a change: a function, or somebody who waits for many changes, each of which has a number. The zero waiter is nobody.
type waiter struct {
	done   func(error)
	many   gateway.Waiter
	number uint64
}

// waits reports whether there is somebody.
func (w *waiter) waits() bool { return w.done != nil || w.many != nil }

// call is a callback that is due.
type call struct {
	waiter
	err error
}

// call has who waits told err soon. Callbacks are never called where they become due, but by one goroutine: their owner may hold
// locks while it calls the store.
func (s *Store) call(w waiter, err error) {
	if !w.waits() {
		return
	}
	s.calls = append(s.calls, call{w, err})
	s.ring()
}

// wakeQueue has the consumer of q woken, if it waits and will not be anyway.
func (s *Store) wakeQueue(q *queue) {
	if q.wake == nil || !q.starved || q.waking {
		return
	}
	q.waking = true
	s.wakes = append(s.wakes, q)
	s.ring()
}

func (s *Store) wakeConsumers(e *entry) {
	for i := range e.refs {
		s.wakeQueue(e.refs[i].queue)
	}
}

// ring tells the dispatcher, unless it was told and has not come yet.
func (s *Store) ring() {
	if len(s.calls)+len(s.wakes) == 1 {
		signal(s.bell)
	}
}

// dispatch calls callbacks until stop closes.
func (s *Store) dispatch(stop <-chan struct{}) {
	var d dispatcher
	for {
		select {
		case <-s.bell:
			d.run(s)
		case <-stop:
			d.run(s)
			return
		}
	}
}

// dispatcher holds the room that dispatch swaps with the store's.
type dispatcher struct {
	calls   []call
	wakes   []*queue
	funcs   []func()
	numbers []uint64
}

// run calls everything that is due, also what becomes due meanwhile.
func (d *dispatcher) run(s *Store) {
	for d.take(s) {
		for i := 0; i < len(d.calls); {
			i += d.answer(d.calls[i:])
		}
		for _, wake := range d.funcs {
			wake()
		}
		clear(d.calls)
		clear(d.wakes)
		clear(d.funcs)
	}
}

// answer makes the first of the calls, with those that follow it and are to the same one. It returns how many these were.
func (d *dispatcher) answer(calls []call) int {
	c := &calls[0]
	if c.many == nil {
		c.done(c.err)
		return 1
	}
	d.numbers = d.numbers[:0]
	d.numbers = append(d.numbers, c.number)
	for i := 1; i < len(calls) && calls[i].many == c.many && calls[i].err == nil && c.err == nil; i++ {
		d.numbers = append(d.numbers, calls[i].number)
	}
	c.many.Committed(d.numbers, c.err)
	return len(d.numbers)
}

func (d *dispatcher) take(s *Store) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.calls, s.calls = s.calls, d.calls[:0]
	d.wakes, s.wakes = s.wakes, d.wakes[:0]
	d.funcs = d.funcs[:0]
	for _, q := range d.wakes {
		q.waking, q.starved = false, false
		if q.wake != nil {
			d.funcs = append(d.funcs, q.wake)
		}
	}
	return len(d.calls)+len(d.wakes) > 0
}
