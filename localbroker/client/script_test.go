package client_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidegate/tidegate/localbroker/client"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// patience tells a hang from a slow machine.
const patience = 20 * time.Second

// script plays a server packet by packet at the other end of a pipe.
type script struct {
	t   *testing.T
	v   packet.Version
	nc  net.Conn
	buf []byte
}

// next returns the next packet of the client, nil when it closed the connection.
func (s *script) next() packet.Packet {
	s.t.Helper()
	for {
		f, n, err := packet.NextFrame(s.buf, 0)
		if err != nil {
			s.t.Errorf("the client sent no packet: %v", err)
			return nil
		}
		if n > 0 {
			p, err := packet.Parse(f, s.v)
			if err != nil {
				s.t.Errorf("the client sent a wrong packet: %v", err)
			}
			s.buf = s.buf[n:]
			return p
		}
		chunk := make([]byte, 1024)
		n, err = s.nc.Read(chunk)
		if err != nil {
			return nil
		}
		s.buf = append(s.buf, chunk[:n]...)
	}
}

// want reads a packet and compares it. What is empty equals what is absent.
func (s *script) want(want packet.Packet) {
	s.t.Helper()
	got := s.next()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		s.t.Errorf("the client sent (-want +got):\n%s", diff)
	}
}

// send sends packets in one write.
func (s *script) send(packets ...packet.Packet) {
	s.t.Helper()
	var b []byte
	for _, p := range packets {
		b = p.Append(b, s.v)
	}
	if _, err := s.nc.Write(b); err != nil {
		s.t.Errorf("send %s: %v", packets[0].Type(), err)
	}
}

// halfCloser is a pipe that can be closed for writing, as TCP can; it only says so.
type halfCloser struct{ net.Conn }

func (halfCloser) CloseWrite() error { return nil }

// play runs server and then use at the two ends of a pipe, on fake time, and expects all goroutines to end.
func play(t *testing.T, o client.Options, connack *packet.Connack, server func(*script), use func(ctx context.Context, c *client.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		s := &script{t: t, v: max(o.Connect.Version, packet.V31), nc: far}
		if o.Connect.Version == 0 {
			s.v = packet.V311
		}
		var ended sync.WaitGroup
		ended.Go(func() {
			defer far.Close()
			if c, ok := s.next().(*packet.Connect); !ok || c.ClientID != o.Connect.ClientID {
				t.Errorf("the client did not begin with CONNECT, but with %+v", c)
			}
			s.send(connack)
			server(s)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		c, err := client.Connect(ctx, halfCloser{near}, o)
		if err != nil {
			t.Errorf("connect: %v", err)
		} else {
			use(ctx, c)
			c.Close()
		}
		ended.Wait()
	})
}

// noLeaks fails when a goroutine of a client is left.
func noLeaks(t *testing.T) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); runtime.Gosched() {
		if !strings.Contains(string(buf[:runtime.Stack(buf, true)]), "localbroker/client.(*Client)") {
			return
		}
	}
	t.Errorf("a goroutine was left behind:\n%s", buf)
}

func msg(topic, payload string, qos packet.QoS, id uint16) *packet.Publish {
	return &packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos, ID: id}
}

func ack(kind packet.Type, id uint16) *packet.Ack { return &packet.Ack{Kind: kind, ID: id} }

func mustReceive(ctx context.Context, t *testing.T, c *client.Client, topic, payload string) *packet.Publish {
	t.Helper()
	m, err := c.Receive(ctx)
	if err != nil {
		t.Errorf("receive: %v", err)
		return &packet.Publish{}
	}
	if string(m.Topic) != topic || string(m.Payload) != payload {
		t.Errorf("received %s %q, want %s %q", m.Topic, m.Payload, topic, payload)
	}
	return m
}

func mustFail(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want %q in it", err, want)
	}
}

func mustWork(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func subscribeTo(filter string, qos packet.QoS) packet.Subscribe {
	return packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: filter, QoS: qos}}}
}

func v5(props packet.Properties) client.Options {
	return client.Options{Connect: packet.Connect{Version: packet.V5, ClientID: "c", CleanStart: true, Props: props}}
}

var versions = []packet.Version{packet.V31, packet.V311, packet.V5}

func eachVersion(t *testing.T, test func(t *testing.T, v packet.Version)) {
	for _, v := range versions {
		t.Run(fmt.Sprint("MQTT ", v), func(t *testing.T) { test(t, v) })
	}
}
