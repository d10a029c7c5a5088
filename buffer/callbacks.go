package buffer

// call is a callback that is due.
type call struct {
	done func(error)
	err  error
}

// call has done called with err soon. Callbacks are never called where they become due, but by one goroutine: their owner may hold
// locks while it calls the store.
func (s *Store) call(done func(error), err error) {
	if done == nil {
		return
	}
	s.calls = append(s.calls, call{done, err})
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
	calls []call
	wakes []*queue
	funcs []func()
}

// run calls everything that is due, also what becomes due meanwhile.
func (d *dispatcher) run(s *Store) {
	for d.take(s) {
		for i := range d.calls {
			d.calls[i].done(d.calls[i].err)
		}
		for _, wake := range d.funcs {
			wake()
		}
		clear(d.calls)
		clear(d.wakes)
		clear(d.funcs)
	}
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
