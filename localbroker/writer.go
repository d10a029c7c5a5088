package localbroker

import (
	"fmt"
	"sync"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// The states of a connection's output. Whoever moves it from idle to busy is its writer, until it moves it back: a goroutine that is
// started for that, or a reader, for what can be written without waiting. Everybody else only notes that there is more to look at.
const (
	writerIdle int32 = iota
	writerBusy
	writerAgain // busy, and there is something new
	writerDead  // the connection is over: nothing is written any more
)

const (
	maxWrite   = 64 << 10 // bytes gathered for one write
	maxGather  = 256      // messages taken from the queue at once
	maxScratch = 128 << 10
)

// delivery is one PUBLISH, or the PUBREL that stands for it, about to be sent.
type delivery struct {
	msg     *gateway.Message
	encoded *message // msg's, when it came through memory
	ids     []uint32 // subscription identifiers
	pos     uint64   // in the store's queue, or of the window when it came through memory
	left    uint32   // seconds until the message expires, if it does
	id      uint16
	qos     gateway.QoS
	retain  bool
	dup     bool
	unsent  bool // has DUP to be sure, and was never sent
	release bool // PUBREL alone is sent
	skipped bool // there is nothing to send
}

// scratch is what a writer needs while it writes.
type scratch struct {
	buf        []byte
	deliveries []delivery
	publishing publishing
	pulled     []gateway.Delivery // room for what is read from the store
	skipped    []uint64           // positions that there is nothing to send for
	once       writeOnce
	disk       bool // what comes next has to be read from the disk
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// wake sees to it that what is new gets written. It does not wait, and costs next to nothing while the writer is at work.
func (c *conn) wake() {
	for {
		switch state := c.writing.Load(); state {
		case writerIdle:
			if c.writing.CompareAndSwap(writerIdle, writerBusy) {
				c.startWriter(scratches.Get().(*scratch), 0)
				return
			}
		case writerBusy:
			if c.writing.CompareAndSwap(writerBusy, writerAgain) {
				return
			}
		default:
			return
		}
	}
}

// startWriter starts the writer's goroutine. s holds what is left to be written from position from on.
func (c *conn) startWriter(s *scratch, from int) {
	c.writers.Add(1)
	go c.write(s, from)
}

// write is the writer's goroutine: it gathers what there is, writes it at once, and ends when there is no more.
func (c *conn) write(s *scratch, from int) {
	defer c.writers.Done()
	defer s.free()
	for rest := s.buf[from:]; ; rest = s.buf {
		if c.writing.Load() == writerDead {
			c.writerEnds()
			return
		}
		if len(rest) > 0 {
			if err := c.send(rest, s); err != nil {
				c.kill(err)
				c.writerEnds()
				return
			}
		}
		if s.buf = c.gather(s.buf[:0], s, true); len(s.buf) == 0 && c.rests() {
			return
		}
	}
}

// writeAtOnce writes what there is on the caller's goroutine, which may be another connection's reader, if nobody is writing and as far as
// the socket takes it without waiting. Anything else is left to a goroutine, as what has to be read from the disk is.
func (c *conn) writeAtOnce() {
	if c.session == nil || !c.swift() || !c.writing.CompareAndSwap(writerIdle, writerBusy) {
		c.wake()
		return
	}
	s := scratches.Get().(*scratch)
	s.disk = false
	s.buf = c.gather(s.buf[:0], s, false)
	n := c.writeNow(&s.once, s.buf)
	c.wrote(n)
	if n < len(s.buf) || len(s.buf) >= maxWrite || s.disk { // there is more, and nobody will say so again
		c.startWriter(s, n)
		return
	}
	s.free()
	if !c.writing.CompareAndSwap(writerBusy, writerIdle) {
		c.handOver()
	}
}

// rests ends the writing unless there is something new.
func (c *conn) rests() bool {
	if c.writing.CompareAndSwap(writerBusy, writerIdle) {
		return true
	}
	if c.writing.CompareAndSwap(writerAgain, writerBusy) {
		return false
	}
	c.writerEnds()
	return true
}

// writerEnds leaves a connection that is over.
func (c *conn) writerEnds() {
	if c.writing.Swap(writerDead) == writerDead {
		c.parted <- struct{}{}
	}
}

// partWriter makes sure that the writer writes no more. It waits for a write that is under way.
func (c *conn) partWriter() {
	c.parted = make(chan struct{}, 1)
	switch c.writing.Swap(writerDead) {
	case writerBusy, writerAgain:
		<-c.parted
	}
}

// send writes b to the socket, and waits until it has taken all.
func (c *conn) send(b []byte, s *scratch) error {
	n := c.writeNow(&s.once, b)
	c.wrote(n)
	if n == len(b) {
		return nil
	}
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.b.opts.WriteTimeout)); err != nil {
		return err
	}
	c.b.memory.held.Add(int64(len(b))) // while it waits
	n, err := c.nc.Write(b[n:])
	c.b.memory.held.Add(-int64(len(b)))
	if err != nil {
		c.b.stats.bytesOut.Add(uint64(n))
		return err
	}
	c.wrote(n)
	return nil
}

// wrote notes that the socket has taken n bytes.
func (c *conn) wrote(n int) {
	c.b.stats.bytesOut.Add(uint64(n))
	if s := c.session; s != nil && n > 0 {
		s.mu.Lock()
		s.advanced()
		s.mu.Unlock()
	}
}

// gather encodes what may leave now: answers first, then messages from memory, then those from the store, for which it waits if it may.
func (c *conn) gather(buf []byte, s *scratch, wait bool) []byte {
	open := c.acks.open.Load() // before the answers are taken: CONNACK is among these or has left
	buf = c.acks.take(buf)
	if !open {
		return buf // nothing comes before CONNACK (MQTT 3.1.1, 3.2.0-1)
	}
	for len(buf) < maxWrite {
		s.deliveries = c.session.take(s.deliveries[:0], maxWrite-len(buf))
		if c.session.persistent() && len(s.deliveries) < maxGather {
			s.deliveries = c.takeDurable(s.deliveries, s, wait)
		}
		if len(s.deliveries) == 0 {
			break
		}
		buf = c.encode(buf, s)
	}
	return buf
}

// encode appends the packets of s.deliveries.
func (c *conn) encode(buf []byte, s *scratch) []byte {
	sent, payload := uint64(0), uint64(0)
	for i := range s.deliveries {
		d := &s.deliveries[i]
		switch {
		case d.skipped:
		case d.release:
			buf = packet.AppendAck(buf, packet.TypePubrel, d.id)
		case c.terms != nil:
			var ok bool
			if buf, ok = c.encode5(buf, &s.publishing, d); !ok {
				c.discard(d)
				break
			}
			sent++
			payload += uint64(len(d.msg.Payload))
		default:
			buf = s.publishing.append(buf, c.version, d)
			sent++
			payload += uint64(len(d.msg.Payload))
		}
	}
	clear(s.deliveries)
	c.b.stats.sent.Add(sent)
	c.b.stats.payloadOut.Add(payload)
	return buf
}

// take moves messages from the memory queue into flight, as far as the window and a number of bytes allow.
func (s *session) take(to []delivery, bytes int) []delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return to
	}
	b, limit := s.conn.b, s.conn.window
	for len(to) < maxGather && bytes > 0 {
		it, ok := s.out.peek()
		if !ok {
			break
		}
		d := delivery{msg: &it.msg.Message, encoded: it.msg, qos: it.qos, retain: it.retain}
		if expires(d.msg) {
			if d.left, ok = remaining(d.msg, b.opts.Now().Sub(it.msg.came())); !ok { // MQTT-3.3.2-5
				s.out.pop()
				b.stats.dropped.Add(1)
				continue
			}
		}
		if it.qos > 0 {
			if s.window.room(limit) <= 0 {
				break
			}
			s.sent++
			s.window.push(s.sent, sentStage(it.qos))
			d.id, d.pos = packetID(s.sent), s.sent
		}
		if it.to != nil {
			d.ids = it.to.ids
			s.fly(&it)
		}
		bytes -= len(it.msg.Topic) + len(it.msg.Payload)
		s.out.pop()
		to = append(to, d)
	}
	s.drain()
	return to
}

// free gives the scratch back, without what it refers to.
func (s *scratch) free() {
	if cap(s.buf) > maxScratch {
		s.buf = nil
	}
	s.buf = s.buf[:0]
	s.publishing.packet.Payload = nil
	letGo(&s.publishing.packet.Props)
	scratches.Put(s)
}

// discard ends a delivery that the client does not take: as if it had been completed (MQTT-3.1.2-25).
func (c *conn) discard(d *delivery) {
	c.b.stats.dropped.Add(1)
	c.log.Debug("message is larger than the client takes, it is not sent", "topic", d.msg.Topic, "limit", c.terms.limit)
	if d.qos == 0 {
		return
	}
	s := c.session
	s.mu.Lock()
	if f := s.window.find(d.id); f != nil {
		s.window.finish(f)
	}
	delete(s.flying, d.pos)
	s.mu.Unlock()
	if d.encoded == nil {
		c.b.opts.Store.Ack(s.queue, d.pos)
	}
}

// ack answers a packet with four bytes, now or when the answers before it may leave.
func (c *conn) ack(kind packet.Type, id uint16) { c.ackCode(kind, id, packet.ReasonSuccess) }

// ackCode is ack with a reason code, which only clients of MQTT 5 are sent.
func (c *conn) ackCode(kind packet.Type, id uint16, code packet.ReasonCode) {
	if c.acks.waiting.Load() == 0 {
		c.rd.early = packet.AppendAckCode(c.rd.early, kind, id, code)
		return
	}
	c.reserve(slot{kind: kind, id: id, code: code})
}

// reserve keeps the place of an answer and returns its number, for settle.
func (c *conn) reserve(s slot) uint64 {
	c.rd.more = c.rd.more || s.waits == 0
	return c.reserveAll(s)
}

// reserveAll keeps the places of answers that wait for the store and returns the number of the first. Those that need not wait leave before them.
func (c *conn) reserveAll(slots ...slot) (first uint64) {
	rd := c.rd
	rd.more = rd.more || len(rd.early) > 0
	first = c.acks.push(rd.early, slots...)
	rd.early = rd.early[:0]
	return first
}

// settle returns a callback for the store that takes one wait off answer number. A store that has closed will never say that something is
// safe, so the client is left without its answer and without a connection.
func (c *conn) settle(number uint64) func(error) {
	return func(err error) {
		if err != nil {
			c.storeFailed(err)
			return
		}
		c.mayLeave(c.acks.complete(number))
	}
}

// storeFailed ends a connection whose answers will never be true.
func (c *conn) storeFailed(err error) {
	c.kill(&coded{packet.ReasonImplementationError, fmt.Errorf("store: %w", err)})
}

// mayLeave has answers written that have become ready.
func (c *conn) mayLeave(u urgency) {
	switch u {
	case atOnce:
		c.wake()
	case soon:
		c.acks.hold(c.wake)
	}
}

// answer has the answers written that need not wait, and whatever more there is. If nobody is writing, the reader does it itself as far as
// that can be done without waiting.
func (c *conn) answer(more bool) {
	if more || c.swift() {
		c.writeAtOnce()
		return
	}
	if !c.writing.CompareAndSwap(writerIdle, writerBusy) {
		c.wake()
		return
	}
	s := scratches.Get().(*scratch)
	defer s.free()
	s.buf = c.acks.take(s.buf[:0])
	if err := c.send(s.buf, s); err != nil {
		c.kill(err)
		c.writerEnds()
		return
	}
	if !c.writing.CompareAndSwap(writerBusy, writerIdle) {
		c.handOver()
	}
}

// handOver leaves the writing to a goroutine, because there is more now.
func (c *conn) handOver() {
	if c.writing.CompareAndSwap(writerAgain, writerBusy) {
		c.startWriter(scratches.Get().(*scratch), 0)
		return
	}
	c.writerEnds()
}
