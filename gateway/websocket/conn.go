package websocket

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// The sub-protocol names: of MQTT 3.1.1 and 5 [MQTT-6.0.0-4], and of clients that speak MQTT 3.1.
const (
	subprotocol   = "mqtt"
	subprotocol31 = "mqttv3.1"
)

// closeGrace bounds what Close waits for the peer to say goodbye too.
const closeGrace = time.Second

var errText = errors.New("websocket: the peer sent a text message; MQTT travels in binary messages only")

// protocolError is what a peer did that RFC 6455 forbids.
type protocolError struct{ err error }

func (e *protocolError) Error() string {
	return "websocket: the peer broke the protocol: " + e.err.Error()
}

func (e *protocolError) Unwrap() error { return e.err }

// conn is a WebSocket as a net.Conn. Deadlines go to the connection beneath: their errors are those of the net package.
type conn struct {
	ws     *websocket.Conn
	raw    net.Conn
	out    *gatherer // of a server; nil of a client
	closed atomic.Bool

	mu      sync.Mutex // one Read at a time
	message io.Reader  // what is left of the current message; nil: none is begun
}

func newConn(ws *websocket.Conn, raw net.Conn, out *gatherer) *conn {
	ws.SetReadLimit(-1) // of a message; it is passed on as it comes, and MQTT bounds its packets itself
	return &conn{ws: ws, raw: raw, out: out}
}

// Read returns the next bytes of the stream. A close frame of the peer is io.EOF.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		n, err := c.read(p)
		if !c.closed.Load() && breaksProtocol(err) {
			_ = c.shut(websocket.StatusProtocolError) // which the library says itself of most faults, but not of all
			err = &protocolError{err}
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, c.reason(err)
		}
	}
}

// read reads from one message. At the end of a message it returns 0 and no error.
func (c *conn) read(p []byte) (int, error) {
	if c.message == nil {
		kind, r, err := c.ws.Reader(context.Background())
		if err != nil {
			return 0, err
		}
		if kind != websocket.MessageBinary {
			_ = c.shut(websocket.StatusUnsupportedData)
			return 0, errText
		}
		c.message = r
	}
	n, err := c.message.Read(p)
	if errors.Is(err, io.EOF) && websocket.CloseStatus(err) == -1 {
		c.message, err = nil, nil
	}
	return n, err
}

// breaksProtocol reports whether err is what the library says of the frames that came, and neither the end of the connection beneath nor a
// close frame: the library has no error value for that.
func breaksProtocol(err error) bool {
	var beneath net.Error
	switch {
	case err == nil, errors.As(err, &beneath), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		return false
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, errText):
		return false
	}
	return websocket.CloseStatus(err) == -1
}

// Write sends p: a client as one binary message, a server each MQTT packet of it as one, but all of them in one write of the connection
// beneath. Messages may be cut anywhere (MQTT-6.0.0-2), but Eclipse Paho C leaves the second packet of a message lying until more comes.
func (c *conn) Write(p []byte) (n int, err error) {
	if c.out == nil || firstPacket(p) == len(p) {
		err = c.send(p)
	} else {
		c.out.hold()
		err = c.sendPackets(p)
		if end := c.out.release(); err == nil {
			err = end
		}
	}
	if err != nil {
		return 0, c.reason(err)
	}
	return len(p), nil
}

func (c *conn) sendPackets(p []byte) error {
	for len(p) > 0 {
		n := firstPacket(p)
		if err := c.send(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func (c *conn) send(message []byte) error {
	return c.ws.Write(context.Background(), websocket.MessageBinary, message)
}

// reason turns an error of the library into what a net.Conn returns.
func (c *conn) reason(err error) error {
	var broken *protocolError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errText), errors.As(err, &broken):
		return err
	case c.closed.Load():
		return net.ErrClosed
	}
	switch websocket.CloseStatus(err) {
	case websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusNoStatusRcvd:
		return io.EOF
	}
	return err
}

// Close says goodbye, waits a second at most for the answer, and closes the connection. Calls that wait return.
func (c *conn) Close() error { return c.shut(websocket.StatusNormalClosure) }

func (c *conn) shut(status websocket.StatusCode) error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	_ = c.raw.SetDeadline(time.Now().Add(closeGrace))
	// Its error is that the peer said goodbye in another way, or not at all: the connection is closed in each case.
	_ = c.ws.Close(status, "")
	return nil
}

// LocalAddr returns the address of the connection beneath.
func (c *conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr returns the address of the connection beneath.
func (c *conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// NetConn returns the connection beneath, for its TLS state. Reading or writing it breaks the WebSocket.
func (c *conn) NetConn() net.Conn { return c.raw }

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error { return c.deadline(c.raw.SetDeadline, t) }

// SetReadDeadline sets the deadline of Read.
func (c *conn) SetReadDeadline(t time.Time) error { return c.deadline(c.raw.SetReadDeadline, t) }

// SetWriteDeadline sets the deadline of Write.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.deadline(c.raw.SetWriteDeadline, t) }

func (c *conn) deadline(set func(time.Time) error, t time.Time) error {
	if c.closed.Load() { // Close has set its own
		return net.ErrClosed
	}
	return set(t)
}
