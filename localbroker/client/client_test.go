package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/localbroker/client"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// TestReceiveAcknowledges: QoS 1 and 2, each packet of it, in every version.
func TestReceiveAcknowledges(t *testing.T) {
	eachVersion(t, func(t *testing.T, v packet.Version) {
		o := client.Options{Connect: packet.Connect{Version: v, ClientID: "c", CleanStart: true}}
		play(t, o, &packet.Connack{}, func(s *script) {
			s.send(msg("a", "0", 0, 0), msg("a", "1", 1, 7), msg("a", "2", 2, 7))
			s.want(ack(packet.TypePuback, 7))
			s.want(ack(packet.TypePubrec, 7))
			s.send(msg("a", "2", 2, 7)) // again: it was acknowledged and is not delivered twice
			s.want(ack(packet.TypePubrec, 7))
			s.send(ack(packet.TypePubrel, 7))
			s.want(ack(packet.TypePubcomp, 7))
			s.send(msg("a", "new", 2, 7))
			s.want(ack(packet.TypePubrec, 7))
			s.want(&packet.Disconnect{})
		}, func(ctx context.Context, c *client.Client) {
			for _, want := range []string{"0", "1", "2", "new"} {
				mustReceive(ctx, t, c, "a", want)
			}
			mustWork(t, "disconnect", c.Disconnect(ctx, packet.Disconnect{}))
			if _, err := c.Receive(ctx); !errors.Is(err, client.ErrClosed) {
				t.Errorf("receive after the end: %v", err)
			}
		})
	})
}

// TestManualAcknowledgement: nothing is acknowledged until Ack.
func TestManualAcknowledgement(t *testing.T) {
	o := client.Options{Connect: packet.Connect{ClientID: "c", CleanStart: true}, Manual: true}
	play(t, o, &packet.Connack{}, func(s *script) {
		s.send(msg("a", "1", 1, 1), msg("a", "2", 1, 2))
		s.want(msg("done", "", 0, 0))
		s.want(ack(packet.TypePuback, 1))
	}, func(ctx context.Context, c *client.Client) {
		first := mustReceive(ctx, t, c, "a", "1")
		mustReceive(ctx, t, c, "a", "2")
		mustWork(t, "publish", c.Publish(ctx, msg("done", "", 0, 0)))
		mustWork(t, "ack", c.Ack(first))
		<-c.Done()
	})
}

// TestSessionGoesOn: a QoS 2 message that was acknowledged on one connection is not delivered on the next, one that was not is.
func TestSessionGoesOn(t *testing.T) {
	session := new(client.Session)
	o := client.Options{Connect: packet.Connect{Version: packet.V5, ClientID: "c"}, Session: session, Manual: true}
	play(t, o, &packet.Connack{}, func(s *script) {
		s.send(msg("a", "1", 2, 1), msg("a", "2", 2, 2))
		s.want(ack(packet.TypePubrec, 1))
	}, func(ctx context.Context, c *client.Client) {
		mustWork(t, "ack", c.Ack(mustReceive(ctx, t, c, "a", "1")))
		mustReceive(ctx, t, c, "a", "2")
		<-c.Done()
	})
	play(t, o, &packet.Connack{SessionPresent: true}, func(s *script) {
		s.send(msg("a", "1", 2, 1), msg("a", "2", 2, 2), ack(packet.TypePubrel, 1), ack(packet.TypePubrel, 9))
		s.want(ack(packet.TypePubrec, 1))
		s.want(ack(packet.TypePubcomp, 1))
		s.want(&packet.Ack{Kind: packet.TypePubcomp, ID: 9, Code: packet.ReasonPacketIDNotFound})
		s.want(ack(packet.TypePubrec, 2))
	}, func(ctx context.Context, c *client.Client) {
		m := mustReceive(ctx, t, c, "a", "2")
		synctest.Wait()
		mustWork(t, "ack", c.Ack(m))
		<-c.Done()
	})
	play(t, o, &packet.Connack{}, func(s *script) { // the server has forgotten the session: ids begin anew
		s.send(msg("a", "other", 2, 2))
	}, func(ctx context.Context, c *client.Client) {
		mustReceive(ctx, t, c, "a", "other")
	})
}

// TestPublishEachQoS: each packet of it.
func TestPublishEachQoS(t *testing.T) {
	eachVersion(t, func(t *testing.T, v packet.Version) {
		o := client.Options{Connect: packet.Connect{Version: v, ClientID: "c", CleanStart: true}}
		play(t, o, &packet.Connack{}, func(s *script) {
			s.want(msg("a", "0", 0, 0))
			s.want(msg("a", "1", 1, 1))
			s.send(ack(packet.TypePuback, 1))
			s.want(msg("a", "2", 2, 2))
			s.send(ack(packet.TypePubrec, 2))
			s.want(ack(packet.TypePubrel, 2))
			s.send(ack(packet.TypePubcomp, 2))
		}, func(ctx context.Context, c *client.Client) {
			for qos, payload := range []string{"0", "1", "2"} {
				mustWork(t, "publish", c.Publish(ctx, msg("a", payload, packet.QoS(qos), 0)))
			}
		})
	})
}

// TestWindow: no more than the server's Receive Maximum are in flight, and an answer makes room.
func TestWindow(t *testing.T) {
	connack := &packet.Connack{Props: packet.Properties{ReceiveMaximum: packet.Some[uint16](2)}}
	play(t, v5(packet.Properties{}), connack, func(s *script) {
		s.want(msg("a", "1", 1, 1))
		s.want(msg("a", "2", 2, 2))
		synctest.Wait() // the third does not come
		s.send(&packet.Ack{Kind: packet.TypePubrec, ID: 2, Code: packet.ReasonQuotaExceeded})
		s.want(msg("a", "3", 1, 3))
		s.send(ack(packet.TypePuback, 1), ack(packet.TypePuback, 3))
	}, func(ctx context.Context, c *client.Client) {
		var sent []*client.Delivery
		for i, payload := range []string{"1", "2"} {
			d, err := c.Send(ctx, msg("a", payload, packet.QoS(1+i), 0))
			mustWork(t, "send", err)
			sent = append(sent, d)
		}
		short, cancel := context.WithTimeout(ctx, 0)
		defer cancel()
		if _, err := c.Send(short, msg("a", "x", 1, 0)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third fits into the window: %v", err)
		}
		third, err := c.Send(ctx, msg("a", "3", 1, 0))
		mustWork(t, "send", err)
		_, err = sent[1].Wait(ctx)
		var refusal *client.Refusal
		if !errors.As(err, &refusal) || refusal.Code != packet.ReasonQuotaExceeded || refusal.Subject != "a" {
			t.Errorf("got %v, want the refusal", err)
		}
		_, err = third.Wait(ctx)
		mustWork(t, "wait", err)
	})
}

// TestServerLimitsAreKept: what the server has said that it will not take is not sent.
func TestServerLimitsAreKept(t *testing.T) {
	connack := &packet.Connack{Props: packet.Properties{
		MaximumQoS: packet.Some[byte](1), RetainAvailable: packet.Some[byte](0), MaximumPacketSize: packet.Some[uint32](20),
	}}
	play(t, v5(packet.Properties{}), connack, func(s *script) {
		if p := s.next(); p != nil {
			t.Errorf("the client sent %+v", p)
		}
	}, func(ctx context.Context, c *client.Client) {
		mustFail(t, c.Publish(ctx, msg("a", "", 2, 0)), "QoS 1 at most")
		mustFail(t, c.Publish(ctx, &packet.Publish{Topic: []byte("a"), Retain: true}), "no retained messages")
		mustFail(t, c.Publish(ctx, msg("a", "0123456789abcdef", 0, 0)), "the packet has 22 bytes, the server takes 20 at most")
		mustFail(t, c.Publish(ctx, msg("a/#", "", 0, 0)), "wildcard")
	})
}

// TestSubscribeAndUnsubscribe, granted and refused.
func TestSubscribeAndUnsubscribe(t *testing.T) {
	two := packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: "a/#", QoS: 1}, {Filter: "b"}}}
	play(t, v5(packet.Properties{}), &packet.Connack{}, func(s *script) {
		s.want(&packet.Subscribe{ID: 1, Subscriptions: two.Subscriptions})
		s.send(&packet.Suback{
			ID: 1, Codes: []packet.ReasonCode{packet.ReasonNotAuthorized, packet.ReasonSuccess},
			Props: packet.Properties{ReasonString: []byte("acl")},
		})
		s.want(&packet.Unsubscribe{ID: 2, Filters: []string{"b"}})
		s.send(&packet.Unsuback{ID: 2, Codes: []packet.ReasonCode{packet.ReasonNoSubscriptionExisted}})
		s.want(&packet.Subscribe{ID: 3, Subscriptions: two.Subscriptions})
		s.send(&packet.Suback{ID: 3, Codes: []packet.ReasonCode{packet.ReasonSuccess}})
	}, func(ctx context.Context, c *client.Client) {
		suback, err := c.Subscribe(ctx, two)
		mustFail(t, err, `the server refuses the subscription to "a/#": not authorized ("acl")`)
		if len(suback.Codes) != 2 || suback.Codes[1] != packet.ReasonSuccess {
			t.Errorf("suback %+v", suback)
		}
		unsuback, err := c.Unsubscribe(ctx, packet.Unsubscribe{Filters: []string{"b"}})
		mustWork(t, "unsubscribe", err)
		if unsuback.Codes[0] != packet.ReasonNoSubscriptionExisted {
			t.Errorf("unsuback %+v", unsuback)
		}
		_, err = c.Subscribe(ctx, two)
		mustFail(t, err, "one code for each filter")
		_, err = c.Subscribe(ctx, subscribeTo("a#", 0))
		mustFail(t, err, "topic filter 1")
	})
}

// TestTopicAliases: resolved when they were allowed, an error when not.
func TestTopicAliases(t *testing.T) {
	alias := func(topic, payload string, n uint16) *packet.Publish {
		return &packet.Publish{Topic: []byte(topic), Payload: []byte(payload), Props: packet.Properties{TopicAlias: packet.Some(n)}}
	}
	allowed := packet.Properties{TopicAliasMaximum: packet.Some[uint16](2)}
	for name, tt := range map[string]struct {
		props packet.Properties
		third *packet.Publish
		want  string
	}{
		"too high":  {allowed, alias("x", "", 3), "alias 3, which it was not allowed to"},
		"unknown":   {allowed, alias("", "", 2), "alias 2 without having said"},
		"forbidden": {packet.Properties{}, nil, "alias 1, which it was not allowed to"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, v5(tt.props), &packet.Connack{}, func(s *script) {
				s.send(alias("a", "1", 1))
				if tt.third != nil {
					s.send(alias("", "2", 1), tt.third)
				}
				s.next()
			}, func(ctx context.Context, c *client.Client) {
				if tt.third != nil {
					mustReceive(ctx, t, c, "a", "1")
					mustReceive(ctx, t, c, "a", "2")
				}
				_, err := c.Receive(ctx)
				mustFail(t, err, tt.want)
			})
		})
	}
}

// TestHandshakeFails: each way, with the reason.
func TestHandshakeFails(t *testing.T) {
	for name, tt := range map[string]struct {
		v      packet.Version
		answer []byte // nil: closes
		want   string
	}{
		"refused":                  {packet.V311, []byte{0x20, 2, 0, 5}, "refuses the connection: not authorized"},
		"refused with words":       {packet.V5, []byte{0x20, 9, 0, 0x86, 6, 0x1f, 0, 3, 'w', 'h', 'y'}, `bad user name or password ("why")`},
		"a server without MQTT 5":  {packet.V5, []byte{0x20, 2, 0, 1}, "unsupported protocol version"},
		"closed":                   {packet.V311, nil, "closed the connection without a reason"},
		"no answer of this kind":   {packet.V311, []byte{0xd0, 0}, "answered CONNECT with PINGRESP"},
		"no MQTT":                  {packet.V311, []byte("\x00HTTP"), "wait for CONNACK"},
		"HTTP":                     {packet.V311, []byte("HTTP/1.1 400 Bad Request\r\n"), "speaks HTTP"},
		"HTTP at length":           {packet.V311, []byte("HTTP/1.1 400 Bad Request\r\n" + strings.Repeat("X: y\r\n", 20)), "speaks HTTP"},
		"wrong":                    {packet.V311, []byte{0x20, 2, 0, 9}, "read CONNACK"},
		"authentication goes on":   {packet.V5, []byte{0xf0, 6, 0x18, 4, 0x15, 0, 1, 'x'}, "answered CONNECT with AUTH"},
		"more than was allowed":    {packet.V5, []byte{0x20, 0xff, 0x7f}, "larger than the 100 allowed"},
		"closed within the packet": {packet.V311, []byte{0x20, 2, 0}, "closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				_, _ = far.Read(make([]byte, 100))
				_, _ = far.Write(tt.answer)
			}()
			o := client.Options{Connect: packet.Connect{Version: tt.v, ClientID: "c"}}
			o.Connect.Props.MaximumPacketSize = packet.Some[uint32](100)
			_, err := client.Connect(t.Context(), near, o)
			mustFail(t, err, tt.want)
			if _, err := near.Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("the connection is still open: %v", err)
			}
		})
	}
}

// TestHandshakeIsBounded: a server that says nothing.
func TestHandshakeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() { _, _ = far.Read(make([]byte, 100)) }()
		_, err := client.Connect(ctx, near, client.Options{Connect: packet.Connect{ClientID: "c"}})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// TestKeepAlive: pings go out, and a server that answers none is given up.
func TestKeepAlive(t *testing.T) {
	o := client.Options{Connect: packet.Connect{Version: packet.V5, ClientID: "c", KeepAlive: 60}}
	connack := &packet.Connack{Props: packet.Properties{ServerKeepAlive: packet.Some[uint16](20)}}
	play(t, o, connack, func(s *script) {
		for range 3 {
			s.want(&packet.Pingreq{})
			s.send(&packet.Pingresp{})
		}
		for s.next() != nil { // unanswered
		}
	}, func(_ context.Context, c *client.Client) {
		began := time.Now()
		<-c.Done()
		mustFail(t, c.Err(), "silent for 30s")
		if got, want := time.Since(began), (45+30)*time.Second; got != want {
			t.Errorf("given up after %v, want %v", got, want)
		}
	})
}

// TestUnusedMessagesKeepTheConnection: while the inbox is full nothing is read, and the pings that go on must not be taken for unanswered.
func TestUnusedMessagesKeepTheConnection(t *testing.T) {
	o := client.Options{Connect: packet.Connect{ClientID: "c", KeepAlive: 20}, Inbox: 1}
	play(t, o, &packet.Connack{}, func(s *script) {
		s.send(msg("a", "1", 0, 0), msg("a", "2", 0, 0))
		for range 8 {
			s.want(&packet.Pingreq{})
		}
		s.send(msg("a", "3", 0, 0))
		s.want(&packet.Disconnect{})
	}, func(ctx context.Context, c *client.Client) {
		timer := time.NewTimer(2 * time.Minute)
		<-timer.C
		if got := c.Waiting(); got != 1 {
			t.Errorf("%d messages wait, the inbox has room for 1", got)
		}
		for _, want := range []string{"1", "2", "3"} {
			mustReceive(ctx, t, c, "a", want)
		}
		mustWork(t, "disconnect", c.Disconnect(ctx, packet.Disconnect{}))
	})
}

// TestDisconnectWithAFullInbox: who leaves need not receive first, and does not wait longer than for the server to close.
func TestDisconnectWithAFullInbox(t *testing.T) {
	o := client.Options{Connect: packet.Connect{ClientID: "c"}, Inbox: 1}
	play(t, o, &packet.Connack{}, func(s *script) {
		s.send(msg("a", "1", 1, 1), msg("a", "2", 1, 2), msg("a", "3", 1, 3))
		s.want(&packet.Disconnect{})
	}, func(ctx context.Context, c *client.Client) {
		synctest.Wait()
		began := time.Now()
		mustWork(t, "disconnect", c.Disconnect(ctx, packet.Disconnect{}))
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		if !errors.Is(c.Err(), client.ErrClosed) {
			t.Errorf("the connection ended with %v", c.Err())
		}
	})
}

// TestDisconnectIsBounded: a server that does not close is waited for a second.
func TestDisconnectIsBounded(t *testing.T) {
	play(t, client.Options{Connect: packet.Connect{ClientID: "c"}}, &packet.Connack{}, func(s *script) {
		s.want(&packet.Disconnect{})
		s.next()
	}, func(ctx context.Context, c *client.Client) {
		began := time.Now()
		mustWork(t, "disconnect", c.Disconnect(ctx, packet.Disconnect{}))
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestEnd: how a connection ends is told to all who wait, with the reason.
func TestEnd(t *testing.T) {
	taken := &packet.Disconnect{Code: packet.ReasonSessionTakenOver, Props: packet.Properties{ReasonString: []byte("two of you")}}
	for name, tt := range map[string]struct {
		last packet.Packet // nil: closes
		want string
	}{
		"DISCONNECT":      {taken, `the server ended the connection: session taken over ("two of you")`},
		"closed":          {nil, "closed the connection without a reason"},
		"a client packet": {&packet.Pingreq{}, "PINGREQ, which only clients may"},
		"malformed":       {&packet.Suback{ID: 1, Codes: []packet.ReasonCode{0x7f}}, "malformed SUBACK"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, v5(packet.Properties{}), &packet.Connack{}, func(s *script) {
				s.next()
				if tt.last != nil {
					s.send(tt.last)
					s.next()
				}
			}, func(ctx context.Context, c *client.Client) {
				d, err := c.Send(ctx, msg("a", "", 1, 0))
				mustWork(t, "send", err)
				_, err = c.Receive(ctx)
				mustFail(t, err, tt.want)
				_, err = d.Wait(ctx)
				mustFail(t, err, tt.want)
				mustFail(t, c.Publish(ctx, msg("a", "", 0, 0)), tt.want)
				_, err = c.Subscribe(ctx, subscribeTo("a", 0))
				mustFail(t, err, tt.want)
				c.Close()
				mustFail(t, c.Err(), tt.want)
			})
		})
	}
}

// TestContexts: every wait ends with its context, and the client goes on.
func TestContexts(t *testing.T) {
	play(t, v5(packet.Properties{}), &packet.Connack{}, func(s *script) {
		s.want(msg("a", "", 1, 1))
		s.want(&packet.Subscribe{ID: 2, Subscriptions: subscribeTo("a", 0).Subscriptions})
		s.want(msg("b", "", 0, 0))
	}, func(ctx context.Context, c *client.Client) {
		soon := func() context.Context {
			short, cancel := context.WithTimeout(ctx, time.Second)
			t.Cleanup(cancel)
			return short
		}
		_, receive := c.Receive(soon())
		publish := c.Publish(soon(), msg("a", "", 1, 0))
		_, subscribe := c.Subscribe(soon(), subscribeTo("a", 0))
		for what, err := range map[string]error{"receive": receive, "publish": publish, "subscribe": subscribe} {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", what, err)
			}
		}
		mustWork(t, "publish", c.Publish(ctx, msg("b", "", 0, 0)))
	})
}

// TestStuckWrite: a server that takes nothing costs the write timeout, not for ever.
func TestStuckWrite(t *testing.T) {
	play(t, client.Options{Connect: packet.Connect{ClientID: "c"}}, &packet.Connack{}, func(s *script) {
		timer := time.NewTimer(time.Minute)
		<-timer.C
	}, func(ctx context.Context, c *client.Client) {
		began := time.Now()
		mustFail(t, c.Publish(ctx, msg("a", "", 0, 0)), "send: ")
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestCloseTwiceAndAtOnce: from several goroutines, while others wait.
func TestCloseTwiceAndAtOnce(t *testing.T) {
	play(t, client.Options{Connect: packet.Connect{ClientID: "c", KeepAlive: 10}}, &packet.Connack{}, func(s *script) {
		for s.next() != nil {
		}
	}, func(ctx context.Context, c *client.Client) {
		for range 3 {
			go c.Close()
		}
		_, err := c.Receive(ctx)
		if !errors.Is(err, client.ErrClosed) {
			t.Errorf("got %v", err)
		}
		c.Close()
	})
}
