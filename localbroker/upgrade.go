package localbroker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// upgrade makes the MQTT stream of the connection that was accepted, within what the client has of the connect timeout. It returns io.EOF when
// the client was gone before it said anything.
func (c *conn) upgrade(ctx context.Context) error {
	if c.lo.Upgrade == nil {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, c.deadline)
	defer cancel()
	if err := c.raw.SetDeadline(c.deadline); err != nil {
		return err
	}
	nc, user, err := c.lo.Upgrade(ctx, c.raw)
	if errors.Is(err, io.EOF) {
		return io.EOF // a probe of a load balancer, or of a port scan
	}
	if err != nil {
		c.log = c.log.With("listener", c.lo.Name)
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	c.nc, c.certified = nc, user
	return c.raw.SetWriteDeadline(time.Time{})
}

// part closes the stream in the way that its peer understands, as with a close frame. It is for the reader alone, and may take a moment; a
// connection that is to end at once is killed.
func (c *conn) part() {
	if c.nc != c.raw {
		_ = c.nc.Close() // it ends either way
	}
}

// stranger reports a client whose first packet is not whole yet, and will not be CONNECT: a browser, say, sends less than its first two bytes
// would announce, and need not wait for the connect timeout.
func (c *conn) stranger() error {
	data := c.in.data()
	if c.session != nil || len(data) == 0 {
		return nil
	}
	if t := (packet.Frame{First: data[0]}).Type(); t != packet.TypeConnect {
		return breach("%s came before CONNECT", t, "MQTT-3.1.0-1")
	}
	return nil
}
