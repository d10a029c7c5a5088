package localbroker_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// farewellConn is a stream whose Close waits for the peer's goodbye, as that of a WebSocket does, only that it waits for ever.
type farewellConn struct {
	net.Conn
	xor byte // on every byte, so that it cannot be taken for what is beneath
}

func (c farewellConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for i := range p[:n] {
		p[i] ^= c.xor
	}
	return n, err
}

func (c farewellConn) Write(p []byte) (int, error) {
	q := make([]byte, len(p))
	for i := range p {
		q[i] = p[i] ^ c.xor
	}
	return c.Conn.Write(q)
}

func (c farewellConn) Close() error {
	_ = c.Conn.SetReadDeadline(time.Time{})
	_, err := io.Copy(io.Discard, c.Conn)
	return errors.Join(err, c.Conn.Close())
}

// upgraded makes such streams, for clients that a certificate has named user.
func upgraded(user string) localbroker.ListenerOptions {
	return localbroker.ListenerOptions{Name: "upgraded", Upgrade: func(_ context.Context, raw net.Conn) (net.Conn, string, error) {
		return farewellConn{raw, 0x55}, user, nil
	}}
}

// wrap gives the client the other end of such a stream.
func (c *raw) wrap() *raw {
	c.c = farewellConn{c.c, 0x55}
	c.r.Reset(c.c)
	return c
}

func TestUpgradedStreamCarriesTheClient(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.Auth = anybody{} })
	addr := r.serve(upgraded(""))
	c := r.dialTo(addr).wrap()
	c.connect(&packet.Connect{ClientID: "c", CleanStart: true, Username: packet.Some("ann"), Password: []byte("x")})
	c.expect("20 02 00 00")
	c.subscribe("a", 1)
	c.publish("a", "1", 0, 0, false) // at QoS 1, PUBACK could come before or after
	c.expectPublish("a", "1", 0, 0, false, false)
}

// TestCertifiedUser is let in by its certificate: no password is asked for, and no other user name believed.
func TestCertifiedUser(t *testing.T) {
	r := start(t) // without anybody who could tell good passwords from bad
	addr := r.serve(upgraded("press 4"))
	for _, p := range []packet.Connect{
		{ClientID: "c", CleanStart: true},
		{ClientID: "d", CleanStart: true, Username: packet.Some("admin"), Password: []byte("guess")},
	} {
		c := r.dialTo(addr).wrap()
		c.connect(&p)
		c.expect("20 02 00 00")
		if got := user(r.broker, p.ClientID); got != "press 4" {
			t.Errorf("the user of %s is %q", p.ClientID, got)
		}
	}
	c := r.dialTo(r.serve(upgraded(""))).wrap() // without a certificate
	c.connect(&packet.Connect{ClientID: "e", CleanStart: true, Username: packet.Some("press 4"), Password: []byte("guess")})
	c.expect("20 02 00 04")
}

func user(b *localbroker.Broker, client string) string {
	for _, c := range b.Clients() {
		if c.ID == client {
			return c.User
		}
	}
	return "not there"
}

// TestTakeOverDoesNotWaitForGoodbyes takes over a connection whose peer says no goodbye.
func TestTakeOverDoesNotWaitForGoodbyes(t *testing.T) {
	r := start(t)
	addr := r.serve(upgraded("u"))
	first := r.dialTo(addr).wrap()
	first.connect(&packet.Connect{ClientID: "c", CleanStart: true})
	first.expect("20 02 00 00")
	second := r.dialTo(addr).wrap()
	second.connect(&packet.Connect{ClientID: "c", CleanStart: true})
	second.expect("20 02 00 00")
	first.closed()
}

func TestFailedUpgrade(t *testing.T) {
	r := start(t)
	for name, err := range map[string]error{"is told": errors.New("the client speaks Klingon"), "of one that left is not": io.EOF} {
		t.Run(name, func(t *testing.T) {
			before := r.broker.Stats().Refused
			addr := r.serve(localbroker.ListenerOptions{
				Name:    "failing",
				Upgrade: func(context.Context, net.Conn) (net.Conn, string, error) { return nil, "", err },
			})
			r.dialTo(addr).closed()
			want := uint64(1)
			if errors.Is(err, io.EOF) {
				want = 0
				r.log.await(t, "level=DEBUG", "closed before CONNECT")
			} else {
				r.log.await(t, "level=WARN", "connection refused", "listener=failing", err.Error())
			}
			if got := r.broker.Stats().Refused - before; got != want {
				t.Errorf("%d connections count as refused, want %d", got, want)
			}
		})
	}
}

// TestUpgradeIsBoundedByTheConnectTimeout and is seen both in its context and at the connection.
func TestUpgradeIsBoundedByTheConnectTimeout(t *testing.T) {
	for name, wait := range map[string]func(context.Context, net.Conn) error{
		"its context": func(ctx context.Context, _ net.Conn) error { <-ctx.Done(); return ctx.Err() },
		"reading":     func(_ context.Context, raw net.Conn) error { return drain(raw) },
		"writing": func(_ context.Context, raw net.Conn) error {
			for {
				if _, err := raw.Write(make([]byte, 1<<16)); err != nil {
					return err
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, func(o *localbroker.Options) { o.ConnectTimeout = 50 * time.Millisecond })
			addr := r.serve(localbroker.ListenerOptions{Upgrade: func(ctx context.Context, raw net.Conn) (net.Conn, string, error) {
				return nil, "", wait(ctx, raw)
			}})
			c := r.dialTo(addr)
			r.log.await(t, "connection refused")
			c.close()
		})
	}
}

// drain reads until the connection ends, and always returns an error.
func drain(c net.Conn) error {
	_, err := io.Copy(io.Discard, c)
	return errors.Join(errors.New("the connection has ended"), err)
}

func TestUpgradeEndsWithTheBroker(t *testing.T) {
	r := start(t)
	begun := make(chan struct{})
	addr := r.serve(localbroker.ListenerOptions{Upgrade: func(_ context.Context, raw net.Conn) (net.Conn, string, error) {
		close(begun)
		return nil, "", drain(raw)
	}})
	r.dialTo(addr)
	<-begun // and the end of the test waits for it, long before the connect timeout
}

// TestConnectionsInUpgradeCount holds the limits against those who have not even begun.
func TestConnectionsInUpgradeCount(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.MaxConnections = 10; o.MaxPerAddress = 2 })
	addr := r.serve(localbroker.ListenerOptions{Upgrade: func(_ context.Context, raw net.Conn) (net.Conn, string, error) {
		return nil, "", drain(raw)
	}})
	for range 2 {
		r.dialTo(addr)
	}
	eventually(t, "two connections", func() bool { return r.broker.Stats().Connections == 2 })
	r.dialTo(addr).closed()
	r.log.await(t, "2 connections from this address already")
}
