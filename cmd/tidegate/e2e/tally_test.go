package e2e_test

import (
	"context"
	endian "encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// tally is what came in the cloud, judged as it comes.
type tally struct {
	mu      sync.Mutex
	changed chan struct{} // closed and renewed when something has come
	next    map[string]int
	missing int // numbers that others overtook
	told    int // records that gap records have told of
	repeats int
	first   string // the first fault in words
	arrived []time.Time
	heard   func(topic string) // is told of each number that comes in its order; may be nil
}

// watchNumbers subscribes at the broker at addr and counts until the test ends.
func watchNumbers(t *testing.T, addr string, filters ...string) *tally {
	t.Helper()
	return hearNumbers(t, addr, nil, filters...)
}

// hearNumbers is watchNumbers with a function that hears of each new number.
func hearNumbers(t *testing.T, addr string, heard func(topic string), filters ...string) *tally {
	t.Helper()
	w, _, err := dialWire(t.Context(), addr, "tally", true)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte{0, 1}
	for _, f := range filters {
		body = endian.BigEndian.AppendUint16(body, uint16(len(f)))
		body = append(append(body, f...), 1)
	}
	if err := w.send(0x82, body); err != nil {
		t.Fatal(err)
	}
	if kind, answer, err := w.read(); err != nil || kind != packetSuback {
		t.Fatalf("subscribe: packet %#x % x, %v", kind, answer, err)
	}
	c := &tally{changed: make(chan struct{}), next: map[string]int{}, heard: heard}
	var wg sync.WaitGroup
	wg.Go(func() { c.watch(w) })
	t.Cleanup(func() {
		w.Close()
		wg.Wait()
	})
	return c
}

func (c *tally) watch(w *wire) {
	for {
		first, body, err := w.read()
		if err != nil {
			return
		}
		if first&0xf0 != packetPublish {
			continue
		}
		n := 2 + int(endian.BigEndian.Uint16(body))
		topic, rest := string(body[2:n]), body[n:]
		if first&6 != 0 {
			if w.send(packetPuback, rest[:2]) != nil {
				return
			}
			rest = rest[2:]
		}
		c.take(topic, string(rest))
	}
}

func (c *tally) take(topic, payload string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.judge(topic, payload)
	c.arrived = append(c.arrived, time.Now())
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *tally) judge(topic, payload string) {
	if strings.HasSuffix(topic, "/gateway/gap") {
		var gap struct{ Count int }
		if err := json.Unmarshal([]byte(payload), &gap); err != nil {
			c.note("a gap record that cannot be read: %v in %s", err, payload)
		}
		c.told += gap.Count
		return
	}
	text, _, _ := strings.Cut(payload, " ")
	n, err := strconv.Atoi(text)
	if err != nil || payload != numberText(topic, n) {
		c.note("%s: a payload of %d bytes that nobody published: %.40q", topic, len(payload), payload)
		return
	}
	due := c.next[topic] + 1
	switch {
	case n < due:
		c.repeats++
	case n > due:
		if c.missing += n - due; c.missing > c.told { // a gap stands in its place, before what follows it
			c.note("%s: number %d came where %d was due", topic, n, due)
		}
		fallthrough
	default:
		c.next[topic] = n
		if c.heard != nil {
			c.heard(topic)
		}
	}
}

func (c *tally) note(format string, args ...any) {
	if c.first == "" {
		c.first = fmt.Sprintf(format, args...)
	}
}

// report adds what somebody else has found wrong.
func (c *tally) report(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note("%v", err)
}

// waitNumber waits until number n of a topic has come, or one after it.
func (c *tally) waitNumber(ctx context.Context, topic string, n int) error {
	for {
		c.mu.Lock()
		last, changed := c.next[topic], c.changed
		c.mu.Unlock()
		if last >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s: number %d has come last, %d was acknowledged: %w", topic, last, n, ctx.Err())
		}
	}
}

// verdict is what the tally says in the end.
type verdict struct {
	arrived, repeats, missing int
	told                      int    // of what is missing, and of other records
	fault                     string // what is missing untold, or wrong otherwise
}

func (c *tally) verdict() verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	return verdict{len(c.arrived), c.repeats, c.missing, c.told, c.first}
}

// arrivedBetween counts what came between two moments.
func (c *tally) arrivedBetween(from, to time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, at := range c.arrived {
		if at.After(from) && at.Before(to) {
			n++
		}
	}
	return n
}
