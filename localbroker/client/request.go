package client

import (
	"context"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// request is a packet of ours that the server has to answer.
type request struct {
	id       packetID
	answered chan packet.Packet // takes one
	after    func()             // called when the answer is there; nil: nothing
}

// begin gives a request its packet identifier. The ids of a client's requests are apart from those of the messages that it receives.
func (c *Client) begin(after func()) (packetID, *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		c.lastID++
		if _, used := c.pending[c.lastID]; !used && c.lastID != 0 {
			break
		}
	}
	r := &request{id: c.lastID, answered: make(chan packet.Packet, 1), after: after}
	c.pending[r.id] = r
	return r.id, r
}

// answer hands an answer to who waits for it. One that nobody asked for is of no use to anybody: there may have been an earlier connection.
func (c *Client) answer(id packetID, p packet.Packet) {
	c.mu.Lock()
	r := c.pending[id]
	delete(c.pending, id)
	c.mu.Unlock()
	if r == nil {
		return
	}
	r.answered <- p
	if r.after != nil {
		r.after()
	}
}

// ask sends a request and waits for its answer.
func (c *Client) ask(ctx context.Context, r *request, p packet.Packet) (packet.Packet, error) {
	if err := c.write(p.Append(nil, c.version)); err != nil {
		return nil, err
	}
	return c.await(ctx, r)
}

// await waits for an answer. One that came before the connection ended counts. The id of a request that is given up stays taken until
// the server has answered.
func (c *Client) await(ctx context.Context, r *request) (packet.Packet, error) {
	select {
	case p := <-r.answered:
		return p, nil
	case <-c.done:
	case <-ctx.Done():
	}
	select {
	case p := <-r.answered:
		return p, nil
	default:
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	return nil, context.Cause(ctx)
}
