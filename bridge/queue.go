package bridge

import (
	"context"

	"github.com/tidegate/tidegate/gateway"
)

// Queue is the durable queue of one upstream, and the number of its connections. The buffer implements it.
type Queue interface {
	// Attach makes the upstream online and returns the position through which its queue is acknowledged.
	Attach() (acked uint64)
	// Detach makes it offline: what was not acknowledged goes to disk.
	Detach()
	// Read waits until there are deliveries after position after, and fills buf with them in order.
	Read(ctx context.Context, after uint64, buf []gateway.Delivery) (int, error)
	// Ack acknowledges a delivery.
	Ack(pos uint64)
	// Park sets a delivery aside that the upstream cannot take, with the reason, and acknowledges it.
	Park(ctx context.Context, pos uint64, reason string) error
	// NextEpoch counts one more connection and commits it before it returns.
	NextEpoch(ctx context.Context) (uint64, error)
}
