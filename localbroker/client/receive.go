package client

import (
	"context"
	"fmt"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// Receive returns the next message. It acknowledges it, unless Options.Manual is set. The messages that came before the connection ended are
// returned before the reason why it did.
func (c *Client) Receive(ctx context.Context) (*packet.Publish, error) {
	select {
	case m, open := <-c.inbox:
		if !open {
			return nil, c.Err()
		}
		if !c.opts.Manual {
			_ = c.Ack(m) // the message is here all the same; its error is kept for Err
		}
		return m, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Waiting returns the number of messages that Receive would return at once.
func (c *Client) Waiting() int { return len(c.inbox) }

// Ack acknowledges a message that Receive has returned. Messages should be acknowledged in the order in which they came [MQTT-4.6.0-2].
func (c *Client) Ack(m *packet.Publish) error {
	switch m.QoS {
	case packet.QoS1:
		return c.write(packet.AppendAck(nil, packet.TypePuback, m.ID))
	case packet.QoS2:
		c.opts.Session.acknowledge(m.ID)
		return c.write(packet.AppendAck(nil, packet.TypePubrec, m.ID))
	}
	return nil
}

// read takes what the server sends until the connection ends.
func (c *Client) read() {
	defer close(c.inbox)
	for {
		f, err := c.in.next()
		if err == nil {
			err = c.handle(f)
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
}

func (c *Client) handle(f packet.Frame) error {
	p, err := packet.Parse(f, c.version)
	if err != nil {
		return err
	}
	switch p := p.(type) {
	case *packet.Publish:
		return c.publishArrived(p)
	case *packet.Ack:
		return c.ackArrived(p)
	case *packet.Suback:
		c.answer(p.ID, p)
	case *packet.Unsuback:
		c.answer(p.ID, p)
	case *packet.Pingresp:
	case *packet.Disconnect:
		return newRefusal(packet.TypeDisconnect, p.Code, &p.Props, "")
	default:
		return fmt.Errorf("the server sent %s, which only clients may", p.Type())
	}
	return nil
}

func (c *Client) publishArrived(p *packet.Publish) error {
	if err := c.resolve(p); err != nil {
		return err
	}
	if p.QoS == packet.QoS2 {
		if again, acknowledged := c.opts.Session.arrived(p.ID); again {
			if acknowledged {
				return c.write(packet.AppendAck(nil, packet.TypePubrec, p.ID))
			}
			return nil
		}
	}
	select {
	case c.inbox <- p:
	case <-c.leaving:
	case <-c.done:
	}
	return nil
}

// resolve puts the topic in the place of its alias (MQTT 5, 3.3.2.3.4).
func (c *Client) resolve(p *packet.Publish) error {
	alias := p.Props.TopicAlias
	if !alias.Set {
		return nil
	}
	if alias.Value > c.opts.Connect.Props.TopicAliasMaximum.Or(0) {
		return fmt.Errorf("the server uses topic alias %d, which it was not allowed to", alias.Value)
	}
	if len(p.Topic) > 0 {
		c.aliases[alias.Value] = p.Topic
		return nil
	}
	topic, known := c.aliases[alias.Value]
	if !known {
		return fmt.Errorf("the server uses topic alias %d without having said what it stands for", alias.Value)
	}
	p.Topic = topic
	return nil
}

func (c *Client) ackArrived(a *packet.Ack) error {
	switch a.Kind {
	case packet.TypePubrel:
		known := c.opts.Session.release(a.ID)
		comp := packet.Ack{Kind: packet.TypePubcomp, ID: a.ID, Code: releaseCode(known)}
		return c.write(comp.Append(nil, c.version))
	case packet.TypePubrec:
		if !a.Code.Failed() {
			return c.write(packet.AppendAck(nil, packet.TypePubrel, a.ID))
		}
	}
	c.answer(a.ID, a)
	return nil
}
