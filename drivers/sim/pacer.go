package sim

import (
	"slices"
	"time"
)

const (
	// chunkTime is how much of an answer is handed over at once: about what the receive FIFO of a UART gathers.
	chunkTime = 1500 * time.Microsecond

	// unpacedSilence ends what is no whole request on a line without pace.
	unpacedSilence = 20 * time.Millisecond
)

// pacer keeps the time of one half-duplex serial line on which bytes really travel at once. It tells when what was received
// would have left the master's wire and when each character of an answer arrives there. It does no waiting and reads no clock: its user
// tells it the time, which must not run backwards, and asks when it wants to be told again. It is not safe for concurrent use.
type pacer struct {
	line    Line
	silence time.Duration // that ends a frame
	chunk   int           // characters handed over at once

	rx    []byte    // the frame that is being received
	rxEnd time.Time // when its last character has left the wire
	early bool      // it began before the master was allowed to

	tx    []burst   // what is to be sent, by time of start
	txEnd time.Time // when the last character of the last answer was handed over
}

// burst is a run of characters one right behind the other.
type burst struct {
	start time.Time // of the first character
	data  []byte
	sent  int
}

// received is one frame as it came from the master.
type received struct {
	data  []byte
	end   time.Time // when the silence behind it was complete
	early bool      // it began sooner than t3.5 after the answer before it, or in the middle of that
}

func newPacer(l Line) *pacer {
	p := &pacer{line: l, silence: unpacedSilence, chunk: 1}
	if l.paced() {
		p.silence = l.T35()
		p.chunk = max(1, int(chunkTime/max(l.Chars(1), 1)))
	}
	return p
}

// receive takes bytes that were seen at the time now and returns the frames that are complete by that. The first character of a frame
// is taken to start when it is seen, the others when the wire is free, as they leave a UART with a FIFO.
func (p *pacer) receive(now time.Time, data []byte) []received {
	frames := p.expire(now)
	if len(data) == 0 {
		return frames
	}
	if len(p.rx) == 0 {
		p.early = p.tooEarly(now)
		p.rxEnd = now
	}
	if now.After(p.rxEnd) {
		p.rxEnd = now
	}
	p.rxEnd = p.rxEnd.Add(p.line.Chars(len(data)))
	p.rx = append(p.rx, data...)
	if p.line.paced() {
		p.rx = p.rx[:min(len(p.rx), maxFrame+1)] // enough to see that it is too long
		return frames
	}
	return append(frames, p.cut(now)...)
}

// cut takes the frames of a line without pace, which need no silence to be complete.
func (p *pacer) cut(now time.Time) (frames []received) {
	whole, rest := cutFrames(p.rx)
	for _, f := range whole {
		frames = append(frames, received{data: slices.Clone(f), end: now})
	}
	p.rx = append(p.rx[:0], rest...)
	if len(p.rx) > maxFrame {
		frames = append(frames, p.take(now)...)
	}
	return frames
}

// expire returns the frame that silence has completed by the time now.
func (p *pacer) expire(now time.Time) []received {
	if len(p.rx) == 0 || now.Before(p.frameEnd()) {
		return nil
	}
	return p.take(p.frameEnd())
}

// take ends what is being received. Without pace it may be several frames; when nothing is found in it, it is returned as it is, to be counted.
func (p *pacer) take(end time.Time) (frames []received) {
	whole := [][]byte{p.rx}
	if !p.line.paced() {
		if found := salvageFrames(p.rx); len(found) > 0 {
			whole = found
		}
	}
	for _, f := range whole {
		frames = append(frames, received{data: slices.Clone(f), end: end, early: p.early})
	}
	p.rx = p.rx[:0]
	return frames
}

func (p *pacer) frameEnd() time.Time { return p.rxEnd.Add(p.silence) }

// tooEarly tells whether a request that begins now breaks the silence that the line needs after an answer.
func (p *pacer) tooEarly(now time.Time) bool {
	return p.line.paced() && (p.sending(now) || now.Before(p.txEnd.Add(p.silence)))
}

func (p *pacer) sending(now time.Time) bool { return len(p.tx) > 0 && !p.tx[0].start.After(now) }

// send plans an answer whose first character starts at the time given.
func (p *pacer) send(start time.Time, pieces []piece) {
	for _, piece := range pieces {
		start = start.Add(piece.pause)
		if len(piece.data) == 0 {
			continue
		}
		at := slices.IndexFunc(p.tx, func(b burst) bool { return b.sent == 0 && b.start.After(start) })
		if at < 0 {
			at = len(p.tx)
		}
		p.tx = slices.Insert(p.tx, at, burst{start: start, data: piece.data})
		start = start.Add(p.line.Chars(len(piece.data)))
	}
}

// due returns the characters that have arrived at the master's end by the time now, if enough of them have.
func (p *pacer) due(now time.Time) []byte {
	if len(p.tx) == 0 || now.Before(p.chunkEnd()) {
		return nil
	}
	b := &p.tx[0]
	n := b.sent
	for n < len(b.data) && !b.start.Add(p.line.Chars(n+1)).After(now) {
		n++
	}
	chunk := b.data[b.sent:n]
	b.sent = n
	if n == len(b.data) {
		p.finish(now)
	}
	return chunk
}

// finish ends the first burst. The line is taken to be free from the moment at which its last character could be seen, so
// that a master is never blamed for a delay of ours. What was to start meanwhile starts now.
func (p *pacer) finish(now time.Time) {
	p.txEnd = now
	p.tx = p.tx[1:]
	if len(p.tx) > 0 && p.tx[0].start.Before(now) {
		p.tx[0].start = now
	}
}

// chunkEnd is when the last character of the next chunk has arrived.
func (p *pacer) chunkEnd() time.Time {
	b := p.tx[0]
	return b.start.Add(p.line.Chars(min(b.sent+p.chunk, len(b.data))))
}

// next tells when expire or due will have something; the zero time if nothing is under way.
func (p *pacer) next() time.Time {
	var next time.Time
	if len(p.rx) > 0 {
		next = p.frameEnd()
	}
	if len(p.tx) > 0 && (next.IsZero() || p.chunkEnd().Before(next)) {
		next = p.chunkEnd()
	}
	return next
}
