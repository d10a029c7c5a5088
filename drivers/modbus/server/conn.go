package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one connection. One goroutine reads its requests and another one answers them, so that a request whose peer hangs up meanwhile can be given up.
type conn struct {
	server *Server
	raw    net.Conn
	net.Conn
	from  netip.Addr
	since time.Time
	heard atomic.Int64 // when the last request came, in nanoseconds since the epoch; 0: none yet
	busy  atomic.Bool  // a request is being answered
}

func newConn(s *Server, raw net.Conn, from netip.Addr) *conn {
	return &conn{server: s, raw: raw, Conn: raw, from: from, since: time.Now()}
}

// serve answers requests until the connection ends.
func (c *conn) serve(ctx context.Context) {
	defer context.AfterFunc(ctx, c.close)()
	defer c.close()
	if err := c.upgrade(ctx); err != nil {
		c.end(err)
		return
	}
	ctx, cancel := context.WithCancel(context.WithValue(ctx, peerKey{}, c.from))
	requests := make(chan frame)
	var reader sync.WaitGroup
	defer reader.Wait()
	reader.Go(func() {
		defer close(requests)
		c.end(c.read(ctx, requests))
		cancel() // the peer has hung up: what is being done for it can be given up
	})
	c.answer(ctx, requests)
	cancel()
	c.close() // which ends the reader
}

// close ends the connection, whoever comes first.
func (c *conn) close() { _ = c.raw.Close() }

// upgrade puts TLS below, where it is wanted.
func (c *conn) upgrade(ctx context.Context) error {
	if c.server.opts.Upgrade == nil {
		return nil
	}
	if err := c.raw.SetDeadline(time.Now().Add(c.server.opts.FrameTimeout)); err != nil {
		return err
	}
	upgraded, err := c.server.opts.Upgrade(ctx, c.raw)
	if err != nil {
		c.server.counters.malformed.Add(1)
		return err
	}
	c.Conn = upgraded
	return c.raw.SetDeadline(time.Time{})
}

// end tells why a connection is over.
func (c *conn) end(err error) {
	switch {
	case errors.Is(err, errHeader):
		c.server.counters.malformed.Add(1)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.server.counters.timeouts.Add(1)
	}
	c.server.log.Debug("connection ended", "from", c.from, "error", err)
}

// read hands over requests one by one until there is an error. The two buffers take turns: by the time a request is handed over, the one before
// it has been answered.
func (c *conn) read(ctx context.Context, requests chan<- frame) error {
	in := bufio.NewReaderSize(c.Conn, 2*maxADU)
	var buffers [2][maxADU]byte
	for turn := 0; ; turn ^= 1 {
		if err := c.await(in); err != nil {
			return err
		}
		f, err := readFrame(in, &buffers[turn])
		if err != nil {
			return err
		}
		select {
		case requests <- f:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// await waits for the first byte of a request, and sets the time by which the last one must be there. The time in which an answer is being made is
// no silence of the peer.
func (c *conn) await(in *bufio.Reader) error {
	if in.Buffered() == 0 {
		for {
			if err := c.SetReadDeadline(time.Now().Add(c.server.opts.IdleTimeout)); err != nil {
				return err
			}
			_, err := in.Peek(1)
			if err == nil {
				break
			}
			if !c.busy.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
				return err
			}
		}
	}
	return c.SetReadDeadline(time.Now().Add(c.server.opts.FrameTimeout))
}

// answer carries out requests until there are no more, or an answer is not taken.
func (c *conn) answer(ctx context.Context, requests <-chan frame) {
	out := make([]byte, 0, maxADU)
	for f := range requests {
		c.busy.Store(true)
		c.heard.Store(time.Now().UnixNano())
		pdu := c.server.serve(ctx, f)
		c.busy.Store(false)
		c.count(pdu)
		out = appendFrame(out[:0], f, pdu)
		if len(pdu) > 0 && c.write(out) != nil {
			return
		}
	}
}

// silence tells since when the connection is of no use, in nanoseconds since the epoch: 0 when it never was, and never while a request is
// being answered.
func (c *conn) silence() int64 {
	if c.busy.Load() {
		return math.MaxInt64
	}
	return c.heard.Load()
}

func (c *conn) count(pdu []byte) {
	c.server.counters.requests.Add(1)
	if len(pdu) > 0 && pdu[0]&exceptionBit != 0 {
		c.server.counters.exceptions.Add(1)
	}
}

func (c *conn) write(b []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(c.server.opts.FrameTimeout)); err != nil {
		return err
	}
	n, err := c.Write(b)
	if err == nil && n < len(b) {
		return io.ErrShortWrite
	}
	return err
}
