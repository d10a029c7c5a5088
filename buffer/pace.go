package buffer

// pace compares what a consumer takes with what comes for it, over a span of time that has just passed.
type pace struct {
	since   monotonic // when the span that is measured now began
	next    uint64    // what the queue had by then
	taken   uint64    // and what the consumer had taken
	abreast bool      // the result for the span before
}

// A consumer that is behind is abreast when it takes half of what comes, or more, and no more than what comes times overtakes. One that is slower
// cannot be helped, and one that is faster needs no help.
const (
	lags      = 2
	overtakes = 16
	longPause = 4 // spans, after which nothing is known any more
)

// abreast reports whether a session that is behind takes about as much as comes. Who publishes as fast as the disk lets it would keep it there for
// ever: it costs the machine more to write, and to read again, than to hand over. So such publishers wait up to hold, in which the session
// catches up. An upstream has the line it has: nobody waits for that.
func (q *queue) abreast(now, hold monotonic) bool {
	if !q.session() {
		return false
	}
	p := &q.pace
	span := now - p.since
	if span < hold {
		return p.abreast
	}
	came, took := q.next-p.next, q.taken-p.taken
	*p = pace{since: now, next: q.next, taken: q.taken, abreast: span < longPause*hold && came <= lags*took && took <= overtakes*came}
	return p.abreast
}
