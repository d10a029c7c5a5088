package app

import (
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/bridge"
	"github.com/tidegate/tidegate/buffer"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
)

// local adapts the broker to the bridges.
type local struct{ *localbroker.Broker }

// Publish implements bridge.Local.
func (l local) Publish(rec *gateway.Record, done func(error)) {
	if done == nil {
		l.Broker.Publish(rec, nil)
		return
	}
	l.Broker.Publish(rec, func(err error) { done(forNow(err)) })
}

// forNow says in the bridge's words that a record was not taken for a reason that will pass: no room, or a gateway that stops.
func forNow(err error) error {
	for _, passes := range []error{buffer.ErrFull, buffer.ErrClosed, buffer.ErrNoSeq, localbroker.ErrClosed} {
		if errors.Is(err, passes) {
			return fmt.Errorf("%w: %w", bridge.ErrNotTaken, err)
		}
	}
	return err
}
