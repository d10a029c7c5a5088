package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// Reasons why there is no connection, or no longer.
var (
	ErrClosed = errors.New("the connection was closed on this side")
	ErrLost   = errors.New("the server closed the connection without a reason")
	ErrHTTP   = errors.New("the server speaks HTTP, not MQTT: a WebSocket is reached by a ws or wss URL")
)

// maxInflight leaves half of the packet identifiers to other requests.
const maxInflight = 32767

// goodbye bounds what Disconnect waits for the server to close the connection.
const goodbye = time.Second

// Options say where to connect, and as whom.
type Options struct {
	URL    string      // as Open wants it; not used by Connect
	TLS    *tls.Config // for mqtts and wss; nil: the defaults
	Header http.Header // sent with the handshake of a WebSocket; nil: none

	// Connect is the first packet as it will be sent. Version 0 stands for 3.1.1. Of its properties we keep to Receive Maximum (it is the
	// server that is bound by it), Maximum Packet Size and Topic Alias Maximum.
	Connect packet.Connect

	Session      *Session      // of an earlier connection; nil: a new one
	Manual       bool          // messages are acknowledged by Ack only
	Inbox        int           // messages that wait for Receive before nothing more is read, 64
	MaxInflight  int           // QoS 1 and 2 messages sent and not yet acknowledged, 20
	WriteTimeout time.Duration // the server takes nothing for so long: the connection is lost, 10 s
}

func (o Options) withDefaults() Options {
	o.Connect.Version = cmp.Or(o.Connect.Version, packet.V311)
	o.Inbox = cmp.Or(o.Inbox, 64)
	o.MaxInflight = cmp.Or(o.MaxInflight, 20)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 10*time.Second)
	if o.Session == nil {
		o.Session = new(Session)
	}
	return o
}

// Client is one connection to a server.
type Client struct {
	opts    Options
	version packet.Version
	nc      net.Conn
	in      reader
	connack packet.Connack
	aliases map[uint16][]byte // topics by their alias, of the reading goroutine

	inbox  chan *packet.Publish // closed when nothing more will come
	window chan struct{}        // a place for each message that may be in flight
	wmu    sync.Mutex           // one write at a time

	mu      sync.Mutex
	pending map[packetID]*request
	lastID  packetID
	err     error // why the connection has ended

	leaving   chan struct{} // closed by Disconnect
	leaveOnce sync.Once
	done      chan struct{} // closed when the connection has ended
	running   sync.WaitGroup
}

// Dial opens a connection and does the handshake. A server's no is a *Refusal. ctx bounds the dialling only.
func Dial(ctx context.Context, o Options) (*Client, error) {
	if err := o.withDefaults().validate(); err != nil {
		return nil, err
	}
	nc, err := Open(ctx, o.URL, o.TLS, o.Header)
	if err != nil {
		return nil, err
	}
	return Connect(ctx, nc, o)
}

// Connect does the handshake over nc, which it owns from now on: when it fails, nc is closed. ctx bounds the handshake only.
func Connect(ctx context.Context, nc net.Conn, o Options) (*Client, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		nc.Close()
		return nil, err
	}
	c := &Client{
		opts: o, version: o.Connect.Version, nc: nc, in: reader{nc: nc},
		aliases: map[uint16][]byte{}, pending: map[packetID]*request{},
		inbox: make(chan *packet.Publish, o.Inbox), leaving: make(chan struct{}), done: make(chan struct{}),
	}
	if o.Connect.Version == packet.V5 {
		c.in.limit = int(o.Connect.Props.MaximumPacketSize.Or(packet.MaxSize))
	}
	if err := c.handshake(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	c.start()
	return c, nil
}

func (o Options) validate() error {
	if err := o.Connect.Validate(); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

// handshake sends CONNECT and reads its answer.
func (c *Client) handshake(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = c.nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	// Read even if nothing could be sent: a server that closed early may have said why, such as in an alert of TLS.
	_, sent := c.nc.Write(c.opts.Connect.Append(nil, c.version))
	f, err := c.in.next()
	if errors.Is(err, ErrLost) {
		err = cmp.Or(sent, err)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("wait for CONNACK: %w", context.Cause(ctx))
	case c.in.isHTTP(f):
		return ErrHTTP
	case err != nil:
		return fmt.Errorf("wait for CONNACK: %w", err)
	}
	if err := c.accept(f); err != nil {
		return err
	}
	if !stop() {
		return context.Cause(ctx)
	}
	return nil
}

// accept looks at the answer to CONNECT.
func (c *Client) accept(f packet.Frame) error {
	if f.Type() != packet.TypeConnack {
		return fmt.Errorf("the server answered CONNECT with %s: is it an MQTT server?", f.Type())
	}
	err := c.connack.Parse(f, c.version)
	if err != nil && c.version == packet.V5 && c.connack.Parse(f, packet.V311) == nil {
		err = nil // a server that knows no MQTT 5 answers in the form that it knows
	}
	if err != nil {
		return fmt.Errorf("read CONNACK: %w", err)
	}
	if code := c.connack.Code; code != packet.ReasonSuccess {
		return newRefusal(packet.TypeConnack, code, &c.connack.Props, "")
	}
	return nil
}

// start begins to work with what was agreed on.
func (c *Client) start() {
	present := c.connack.SessionPresent || c.version == packet.V31 && !c.opts.Connect.CleanStart // 3.1 does not tell
	c.opts.Session.resume(present)
	c.window = make(chan struct{}, min(c.opts.MaxInflight, int(c.connack.Props.ReceiveMaximum.Or(maxInflight)), maxInflight))
	keepAlive := time.Duration(c.connack.Props.ServerKeepAlive.Or(c.opts.Connect.KeepAlive)) * time.Second
	c.in.silence = keepAlive * 3 / 2
	c.running.Go(c.read)
	if keepAlive > 0 {
		c.running.Go(func() { c.ping(keepAlive * 3 / 4) })
	}
}

// ping keeps both directions alive: a server that answers no ping is found out by the reader.
func (c *Client) ping(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = c.write(new(packet.Pingreq).Append(nil, c.version)) // its error is kept
		case <-c.done:
			return
		}
	}
}

// Err returns why the connection has ended, nil while it has not: ErrClosed, ErrLost, a *Refusal that the server sent as DISCONNECT, or what
// went wrong.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close cuts the connection, so that the server publishes the will, and waits for the client's goroutines. It may be called at any time and
// more than once.
func (c *Client) Close() {
	c.fail(ErrClosed)
	c.running.Wait()
}

// Disconnect ends the connection in order: it sends p, waits a second at most, or until ctx ends, for the server to close the connection, and
// does what Close does. What comes in meanwhile is dropped without an acknowledgement.
func (c *Client) Disconnect(ctx context.Context, p packet.Disconnect) error {
	c.leaveOnce.Do(func() { close(c.leaving) })
	err := c.write(p.Append(nil, c.version))
	if err == nil {
		c.linger(ctx)
	}
	c.Close()
	return err
}

// linger waits for the server to close the connection. Closing a socket that holds unread bytes resets it, and may take the DISCONNECT away
// from the server. A WebSocket says goodbye itself when it is closed.
func (c *Client) linger(ctx context.Context) {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	limit := time.NewTimer(goodbye)
	defer limit.Stop()
	select {
	case <-c.done:
	case <-limit.C:
	case <-ctx.Done():
	}
}

// write sends bytes at once. An error ends the connection.
func (c *Client) write(b []byte) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	select {
	case <-c.done:
		return c.Err()
	default:
	}
	err := c.nc.SetWriteDeadline(time.Now().Add(c.opts.WriteTimeout))
	if err == nil {
		_, err = c.nc.Write(b)
	}
	if err != nil {
		c.fail(fmt.Errorf("send: %w", err))
		return c.Err()
	}
	return nil
}

// fail ends the connection for a reason. The first one counts.
func (c *Client) fail(err error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = err
		if c.isLeaving() {
			c.err = ErrClosed
		}
		close(c.done)
	}
	c.mu.Unlock()
	if first {
		c.nc.Close()
	}
}

// isLeaving tells whether the connection is ended by Disconnect.
func (c *Client) isLeaving() bool {
	select {
	case <-c.leaving:
		return true
	default:
		return false
	}
}
