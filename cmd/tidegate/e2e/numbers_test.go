package e2e_test

import (
	"context"
	endian "encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// bulk is the prefix of topics whose numbers are large, for tests that fill a disk.
const (
	bulk     = "site/bulk/"
	bulkSize = 6000 // bytes at least
)

// plain is the prefix of topics whose numbers have all the same size, that of a usual message.
const (
	plain     = "site/plain/"
	plainSize = 190 // bytes beside the number
)

// numberText is the payload of a number on a topic: most are short, some fill pages of a database.
func numberText(topic string, n int) string {
	size := n % 200
	switch {
	case strings.HasPrefix(topic, bulk):
		size += bulkSize
	case strings.HasPrefix(topic, plain):
		size = plainSize
	case n%11 == 0:
		size = 3000 + n%5000
	}
	return strconv.Itoa(n) + " " + strings.Repeat(string(rune('a'+n%26)), size)
}

// sender publishes numbers on its topic for as long as it runs, through any number of connections, and keeps what is not acknowledged.
type sender struct {
	addr, topic string
	qos         byte
	window      int // most numbers under way
	seed        uint64

	pending []sending // oldest first; only the sender's own goroutine touches these two
	session bool      // the broker has confirmed a session that it has to keep

	mu    sync.Mutex
	next  int   // the number to be published next
	acked int   // all up to here are acknowledged
	ended bool  // no more numbers are to be begun
	fault error // what the broker did that it must not do
}

// sending is a number under way.
type sending struct {
	n        int
	received bool // QoS 2: PUBREC is there
}

func (s sending) id() uint16 { return uint16(s.n%60000 + 1) }

// run publishes until finish was called and all is acknowledged, or ctx ends.
func (s *sender) run(ctx context.Context) {
	rng := rand.New(rand.NewPCG(s.seed, uint64(s.qos)))
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for !s.finished() {
		select {
		case <-ctx.Done():
			return
		case <-retry.C:
		}
		w, present, err := dialWire(ctx, s.addr, s.topic, s.qos == 1)
		if err != nil {
			continue // the gateway is down: that is what this is about
		}
		s.serve(ctx, w, present, rng)
	}
}

// serve uses one connection for as long as it lasts, and closes it.
func (s *sender) serve(ctx context.Context, w *wire, present bool, rng *rand.Rand) {
	if s.session && !present {
		s.fail(errors.New("the broker has lost a session that it had confirmed"))
	}
	s.session = s.qos == 2
	if s.resend(w) != nil {
		w.Close()
		return
	}
	acks := make(chan []byte)
	over, stop := context.WithCancel(ctx)
	var reader sync.WaitGroup
	reader.Go(func() { readAcks(over, w, acks) })
	defer reader.Wait()
	defer stop()
	defer w.Close()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !s.finished() {
		select {
		case ack, ok := <-acks:
			if !ok || s.answer(w, ack[0], endian.BigEndian.Uint16(ack[1:])) != nil {
				return
			}
		case <-tick.C:
			if s.begin(w, rng.IntN(8)) != nil {
				return
			}
		}
	}
}

// readAcks hands on each acknowledgement as its first byte and its id, until the connection ends.
func readAcks(ctx context.Context, w *wire, acks chan<- []byte) {
	defer close(acks)
	for {
		kind, body, err := w.read()
		if err != nil || len(body) != 2 {
			return
		}
		select {
		case acks <- append([]byte{kind}, body...):
		case <-ctx.Done():
			return
		}
	}
}

// resend sends what was under way when the last connection broke, in its order (MQTT 3.1.1, section 4.4).
func (s *sender) resend(w *wire) error {
	for _, p := range s.pending {
		var err error
		if p.received {
			err = w.sendID(packetPubrel, p.id())
		} else {
			err = s.publish(w, p, s.qos == 2) // a clean session knows nothing of an earlier delivery
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begin publishes up to n further numbers, as far as the window allows.
func (s *sender) begin(w *wire, n int) error {
	for range min(n, s.window-len(s.pending)) {
		s.mu.Lock()
		p := sending{n: s.next}
		if !s.ended {
			s.next++
		}
		ended := s.ended
		s.mu.Unlock()
		if ended {
			return nil
		}
		s.pending = append(s.pending, p)
		if err := s.publish(w, p, false); err != nil {
			return err
		}
	}
	return nil
}

func (s *sender) publish(w *wire, p sending, dup bool) error {
	first := byte(packetPublish) | s.qos<<1
	if dup {
		first |= 8
	}
	body := endian.BigEndian.AppendUint16(nil, uint16(len(s.topic)))
	body = append(body, s.topic...)
	body = endian.BigEndian.AppendUint16(body, p.id())
	return w.send(first, append(body, numberText(s.topic, p.n)...))
}

// answer takes an acknowledgement. Those of one connection come in the order of the publishes.
func (s *sender) answer(w *wire, kind byte, id uint16) error {
	for i := range s.pending {
		p := &s.pending[i]
		switch {
		case p.id() != id:
			continue
		case kind == packetPubrec:
			p.received = true
			return w.sendID(packetPubrel, id)
		case i > 0:
			s.fail(fmt.Errorf("number %d is acknowledged before %d", p.n, s.pending[0].n))
		}
		s.mu.Lock()
		s.acked = p.n
		s.mu.Unlock()
		s.pending = append(s.pending[:i], s.pending[i+1:]...)
		return nil
	}
	return nil // of a number that was acknowledged on the last connection already
}

func (s *sender) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil {
		s.fault = fmt.Errorf("%s: %w", s.topic, err)
	}
}

// finish lets the sender end when all that it has begun is acknowledged.
func (s *sender) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

func (s *sender) finished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended && s.acked == s.next-1
}

func (s *sender) ackedSoFar() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked
}

// senderWindow is how many numbers each sender has under way.
const senderWindow = 20

// crowd is the senders of a test.
type crowd struct {
	senders []*sender
	wg      sync.WaitGroup
}

// startSenders starts one sender for each QoS that promises something, below a topic.
func startSenders(t *testing.T, port int, below string, seed uint64) *crowd {
	t.Helper()
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	c := &crowd{senders: []*sender{
		{addr: addr, topic: below + "once", qos: 1, window: senderWindow, seed: seed, next: 1},
		{addr: addr, topic: below + "exactly", qos: 2, window: senderWindow, seed: seed, next: 1},
	}}
	ctx, cancel := context.WithCancel(t.Context())
	for _, s := range c.senders {
		c.wg.Go(func() { s.run(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		c.wg.Wait()
	})
	return c
}

// finish waits until the senders have all that they began acknowledged, and all that has come to the cloud.
func (c *crowd) finish(t *testing.T, in *tally) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan struct{})
	for _, s := range c.senders {
		s.finish()
	}
	go func() {
		defer close(done)
		c.wg.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatalf("the senders still wait for acknowledgements: %v", c.acked())
	}
	for _, s := range c.senders {
		if s.fault != nil {
			in.report(s.fault)
		}
		if err := in.waitNumber(ctx, s.topic, s.acked); err != nil {
			t.Fatalf("%v; so far %+v", err, in.verdict())
		}
	}
}

func (c *crowd) acked() (list []int) {
	for _, s := range c.senders {
		list = append(list, s.ackedSoFar())
	}
	return list
}

func (c *crowd) ackedInAll() (n int) {
	for _, a := range c.acked() {
		n += a
	}
	return n
}

// waitAcked waits until n numbers are acknowledged, all senders together.
func (c *crowd) waitAcked(t *testing.T, n int) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	late := time.After(patience)
	for c.ackedInAll() < n {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("%d numbers are acknowledged, want %d", c.ackedInAll(), n)
		}
	}
}
