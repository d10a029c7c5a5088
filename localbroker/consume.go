package localbroker

import (
	"context"
	"runtime"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// consume handles the packets that have been read. What follows from them is done once, at the end.
func (c *conn) consume(ctx context.Context) error {
	if c.rd == nil {
		c.rd = c.newReading()
	}
	err := c.awaitRoom()
	if err == nil {
		err = c.makeRoom()
	}
	for err == nil {
		var frame packet.Frame
		var n int
		frame, n, err = packet.NextFrame(c.in.data(), c.limit)
		c.rd.raw = c.in.data()
		if n == 0 && err == nil {
			err = c.stranger()
		}
		if n == 0 || err != nil {
			break
		}
		if err = c.take(ctx, frame, n); err == nil {
			err = c.makeRoom()
		}
	}
	return c.conclude(err)
}

// take handles the next packet, which has n bytes.
func (c *conn) take(ctx context.Context, f packet.Frame, n int) error {
	c.rd.raw = c.in.data()[:n]
	c.in.skip(n)
	c.rd.packets++
	if isAnswered(f) {
		c.rd.answers++
	}
	return c.handle(ctx, f)
}

// mustWait reports whether no more packets may be handled before makeRoom.
func (c *conn) mustWait() bool { return len(c.rd.sink.pressed) > 0 || c.overdue() }

// makeRoom waits for slow subscribers and for answers, where the packets handled so far make that necessary.
func (c *conn) makeRoom() error {
	if len(c.rd.sink.pressed) > 0 {
		if err := c.yield(); err != nil {
			return err
		}
	}
	if c.overdue() {
		c.commitCollected()
		return c.awaitRoom()
	}
	return nil
}

// overdue reports whether too many packets wait for their answers.
func (c *conn) overdue() bool {
	return int(c.acks.waiting.Load())+len(c.rd.collected.answers) >= c.b.opts.MaxUnacknowledged
}

// conclude does what follows from the packets that were handled. err is why no more of them are.
func (c *conn) conclude(err error) error {
	err = c.explain(err)
	c.commitCollected()
	if err == nil && len(c.rd.sink.pressed) > 0 {
		err = c.yield()
	}
	c.flush()
	c.rd.free()
	c.rd = nil
	return err
}

// flush does what follows from the packets handled so far: confirmations to the store, waking of subscribers, answers to the client.
func (c *conn) flush() {
	c.commitCollected()
	rd := c.rd
	few := rd.count <= fewMessages
	if few && c.inCrowd && len(rd.sink.wakes) > 0 {
		runtime.Gosched() // what the others bring for the same subscribers leaves in the same write
	}
	c.account()
	direct := 0
	if few {
		direct = maxDirect
	}
	rd.sink.flush(c.b, direct)
	c.reply()
}

// account counts what was handled, makes answers ready and takes out of flight what the client has confirmed.
func (c *conn) account() {
	rd := c.rd
	if rd.count > 0 {
		c.b.stats.received.Add(rd.count)
		c.b.stats.payloadIn.Add(rd.payload)
		rd.count, rd.payload = 0, 0
	}
	c.b.stats.packetsIn.Add(rd.packets)
	c.b.stats.answers.Add(rd.answers)
	rd.packets, rd.answers = 0, 0
	if rd.said = len(rd.early) > 0; rd.said { // before messages, which may be for this client too
		c.acks.add(rd.early)
		rd.early = rd.early[:0]
	}
	c.settlePubacks()
}

// reply writes answers, and what more there is for the client.
func (c *conn) reply() {
	rd := c.rd
	if rd.said || rd.more {
		c.answer(rd.more)
	}
	c.tellStore()                        // now that the client has its next messages
	rd.more, rd.now = false, time.Time{} // a wait may follow
}
