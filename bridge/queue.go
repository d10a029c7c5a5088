package bridge

import (
	"context"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Queue is one durable queue of an upstream. The buffer implements it.
type Queue interface {
	// Open makes the consumer online and returns the position through which the queue is acknowledged, and that of its newest delivery.
	// wake is called, without waiting for it, when there may be more to read than the last TryRead found.
	Open(wake func()) (acked, last uint64)
	// Detach makes it offline: what was not acknowledged goes to disk.
	Detach()
	// TryRead fills buf with the deliveries after position after, in order, and returns how many there are: fewer than buf holds at the
	// end of the queue.
	TryRead(after uint64, buf []gateway.Delivery) (int, error)
	// Ack acknowledges a delivery; any order will do.
	Ack(pos uint64)
	// Park sets a delivery aside that the upstream cannot take, with the reason, and acknowledges it.
	Park(ctx context.Context, pos uint64, reason string) error
	// Depth tells how many records wait and the original time of the oldest; the zero time when that is not known.
	Depth() (records uint64, oldest time.Time)
}

// Priority orders the lanes of an upstream: while one has something to send, lower ones wait.
type Priority uint8

// The priorities.
const (
	PriorityHigh Priority = iota
	PriorityNormal
	PriorityLow
)

// Lane is one of the queues that an upstream drains.
type Lane struct {
	Queue    Queue
	Priority Priority
	// LiveShare is the share of sends, in percent, that goes to records which came after the connection was made, for as long as older ones
	// wait. 0 keeps strict order: the oldest first.
	LiveShare int
	// Moved is the position through which records may have been queued under an earlier configuration, in which other routes filled the
	// lane: they are sent by whatever route covers them, since no other lane need hold them.
	Moved uint64
}
