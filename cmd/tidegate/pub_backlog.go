package main

import (
	"context"
	"sync"
)

// backlog hands out the payloads of a source, and again those that were not acknowledged when a connection was lost. They are acknowledged in the
// order in which they were handed out.
type backlog struct {
	source payloads

	mu    sync.Mutex
	sent  [][]byte // and not acknowledged
	again int      // so many of sent were handed out over this connection
}

// rewind begins a connection.
func (b *backlog) rewind() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.again = 0
}

// next returns the next payload. Only one goroutine may call it.
func (b *backlog) next(ctx context.Context) ([]byte, error) {
	if payload, ok := b.left(); ok {
		return payload, nil
	}
	payload, err := b.source(ctx)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, payload)
	b.again++
	return payload, nil
}

func (b *backlog) left() ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.again == len(b.sent) {
		return nil, false
	}
	b.again++
	return b.sent[b.again-1], true
}

// taken forgets the oldest payload, which is acknowledged.
func (b *backlog) taken() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent[0] = nil
	b.sent = b.sent[1:]
	b.again--
}
