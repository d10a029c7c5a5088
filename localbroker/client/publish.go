package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// Delivery is a message on its way to the server.
type Delivery struct {
	client  *Client
	topic   string
	request *request // nil at QoS 0
}

// Publish sends a message and waits until the server has taken it, which at QoS 0 is when it was sent. See Send and Delivery.Wait for the
// errors.
func (c *Client) Publish(ctx context.Context, p *packet.Publish) error {
	d, err := c.Send(ctx, p)
	if err != nil {
		return err
	}
	_, err = d.Wait(ctx)
	return err
}

// Send waits until the window has room for a message, and sends it. It gives it its packet identifier. It refuses what the server has said
// it would not take, and returns Err when the connection has ended.
func (c *Client) Send(ctx context.Context, p *packet.Publish) (*Delivery, error) {
	if err := c.checkPublish(p); err != nil {
		return nil, err
	}
	d := &Delivery{client: c, topic: string(p.Topic)}
	if p.QoS == packet.QoS0 {
		return d, c.write(p.Append(nil, c.version))
	}
	select {
	case c.window <- struct{}{}:
	case <-c.done:
		return nil, c.Err()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	p.ID, d.request = c.begin(func() { <-c.window })
	return d, c.write(p.Append(nil, c.version))
}

// checkPublish finds what need not be sent because it will be refused.
func (c *Client) checkPublish(p *packet.Publish) error {
	if err := p.Validate(c.version); err != nil {
		return err
	}
	limits := &c.connack.Props
	if highest := limits.MaximumQoS.Or(2); byte(p.QoS) > highest {
		return fmt.Errorf("publish on %q: the server takes QoS %d at most", p.Topic, highest)
	}
	if p.Retain && limits.RetainAvailable.Or(1) == 0 {
		return fmt.Errorf("publish on %q: the server takes no retained messages", p.Topic)
	}
	if limit := limits.MaximumPacketSize; limit.Set && uint64(p.Size(c.version)) > uint64(limit.Value) {
		return fmt.Errorf("publish on %q: the packet has %d bytes, the server takes %d at most", p.Topic, p.Size(c.version), limit.Value)
	}
	return nil
}

// Wait waits until the server has taken the message, and returns the packet that said so; at QoS 0 there is none, and nothing to wait for. A
// server's no is a *Refusal. When the connection ends before, nobody knows whether the message arrived.
func (d *Delivery) Wait(ctx context.Context) (packet.Ack, error) {
	if d.request == nil {
		return packet.Ack{}, nil
	}
	p, err := d.client.await(ctx, d.request)
	if err != nil {
		return packet.Ack{}, fmt.Errorf("publish on %q: not acknowledged: %w", d.topic, err)
	}
	ack, ok := p.(*packet.Ack)
	if !ok {
		return packet.Ack{}, fmt.Errorf("publish on %q: the server answered with %s", d.topic, p.Type())
	}
	if ack.Code.Failed() {
		return *ack, newRefusal(ack.Kind, ack.Code, &ack.Props, d.topic)
	}
	return *ack, nil
}

// Subscribe sends p with a packet identifier of its own and waits for the answer. If a filter is refused, the error is the *Refusal of the
// first one, joined with those of the others; the answer tells which were granted.
func (c *Client) Subscribe(ctx context.Context, p packet.Subscribe) (packet.Suback, error) {
	if err := p.Validate(c.version); err != nil {
		return packet.Suback{}, err
	}
	id, r := c.begin(nil)
	p.ID = id
	answer, err := c.ask(ctx, r, &p)
	if err != nil {
		return packet.Suback{}, fmt.Errorf("subscribe: %w", err)
	}
	suback, ok := answer.(*packet.Suback)
	if !ok || len(suback.Codes) != len(p.Subscriptions) {
		return packet.Suback{}, errors.New("subscribe: the server answered with something else than one code for each filter")
	}
	var refused []error
	for i, code := range suback.Codes {
		if code.Failed() {
			refused = append(refused, newRefusal(packet.TypeSuback, code, &suback.Props, p.Subscriptions[i].Filter))
		}
	}
	return *suback, errors.Join(refused...)
}

// Unsubscribe sends p with a packet identifier of its own and waits for the answer. The errors are like those of Subscribe; before MQTT 5 a
// server cannot refuse.
func (c *Client) Unsubscribe(ctx context.Context, p packet.Unsubscribe) (packet.Unsuback, error) {
	if err := p.Validate(c.version); err != nil {
		return packet.Unsuback{}, err
	}
	id, r := c.begin(nil)
	p.ID = id
	answer, err := c.ask(ctx, r, &p)
	if err != nil {
		return packet.Unsuback{}, fmt.Errorf("unsubscribe: %w", err)
	}
	unsuback, ok := answer.(*packet.Unsuback)
	if !ok || c.version == packet.V5 && len(unsuback.Codes) != len(p.Filters) {
		return packet.Unsuback{}, errors.New("unsubscribe: the server answered with something else than one code for each filter")
	}
	var refused []error
	for i, code := range unsuback.Codes {
		if code.Failed() {
			refused = append(refused, newRefusal(packet.TypeUnsuback, code, &unsuback.Props, p.Filters[i]))
		}
	}
	return *unsuback, errors.Join(refused...)
}
