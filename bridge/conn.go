package bridge

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// dial opens the transport to a server. The connection it returns bounds each write and each incoming packet, and reports its first
// failure to failed before paho hears of it: paho's own words for a lost connection leave the cause out.
func (b *Bridge) dial(ctx context.Context, server *url.URL, failed func(error)) (*guardedConn, error) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.ConnectTimeout)
	defer cancel()
	c, err := b.opts.Dial(ctx, server)
	if err != nil {
		return nil, err
	}
	b.noteCertificates(c)
	g := &guardedConn{Conn: c, failed: failed, writeTimeout: b.opts.WriteTimeout, maxPacket: b.opts.MaxPacket}
	g.r = bufio.NewReader(readerFunc(g.fill))
	return g, nil
}

// guardedConn protects paho from its peer. Paho sets no deadline on acknowledgements and pings, allocates whatever length a
// packet claims, and panics on a SUBACK that has more return codes than it asked filters for. It also reads a packet in three parts, which
// costs three system calls without a buffer.
type guardedConn struct {
	net.Conn
	r            *bufio.Reader
	failed       func(error)
	writeTimeout time.Duration
	maxPacket    int          // bytes of remaining length
	asked        atomic.Int64 // filters in the SUBSCRIBE under way
	scan         packetScan

	mu       sync.Mutex
	deadline time.Time // of writes, as last set
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// SetWriteDeadline does nothing: each write has a deadline already, and paho would set it twice for each publish.
func (c *guardedConn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline has the next write set its deadline anew: paho takes both away after CONNACK.
func (c *guardedConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = time.Time{}
	return c.Conn.SetDeadline(t)
}

func (c *guardedConn) Write(p []byte) (int, error) {
	if err := c.bound(time.Now()); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	if err != nil {
		c.failed(blame(err))
	}
	return n, err
}

// bound gives a write that begins now at least writeTimeout, and a quarter more at most: so the deadline need not be moved for each.
func (c *guardedConn) bound(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline.Sub(now) >= c.writeTimeout {
		return nil
	}
	c.deadline = now.Add(c.writeTimeout + c.writeTimeout/4)
	return c.Conn.SetWriteDeadline(c.deadline)
}

func (c *guardedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// fill reads from the network, before anybody has seen what comes.
func (c *guardedConn) fill(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bad := c.scan.check(p[:n], c.maxPacket, subackHead+int(c.asked.Load())); bad != nil {
		c.failed(bad)
		return 0, bad
	}
	if err != nil {
		c.failed(blame(err))
	}
	return n, err
}

// cutError is the error of a connection that the upstream has ended, with a FIN, a RST or what its transport has for that.
type cutError struct{ error }

func (c cutError) Unwrap() error { return c.error }

// blame says in the error of a connection whether the upstream has ended it: not when nothing came through for too long, the network is
// gone, or we have closed it ourselves.
func blame(err error) error {
	var late interface{ Timeout() bool }
	switch {
	case errors.As(err, &late) && late.Timeout(), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETDOWN):
		return err
	default:
		return cutError{err}
	}
}

// packetScan follows the fixed headers in a stream of MQTT packets (MQTT 3.1.1, 2.2).
type packetScan struct {
	kind  byte // packet type; 0 between packets
	shift uint // of the next length byte
	size  int  // remaining length so far
	skip  int  // bytes of the packet's body still to come
}

const typeSuback = 9

// subackHead is what a SUBACK holds beside a return code for each filter: its packet id (MQTT 3.1.1, 3.9.2).
const subackHead = 2

// check walks p and refuses a packet whose claimed length is beyond the bounds, before anybody allocates for it.
func (s *packetScan) check(p []byte, maxPacket, maxSuback int) error {
	for len(p) > 0 {
		if s.skip > 0 {
			n := min(s.skip, len(p))
			s.skip -= n
			p = p[n:]
			continue
		}
		if s.kind == 0 {
			s.kind, s.shift, s.size = p[0]>>4|0x10, 0, 0
			p = p[1:]
			continue
		}
		s.size |= int(p[0]&0x7f) << s.shift
		s.shift += 7
		more := p[0]&0x80 != 0
		p = p[1:]
		if more {
			if s.shift > 21 {
				return fmt.Errorf("upstream sent a packet whose length field has more than 4 bytes")
			}
			continue
		}
		if err := s.admit(maxPacket, maxSuback); err != nil {
			return err
		}
		s.skip, s.kind = s.size, 0
	}
	return nil
}

func (s *packetScan) admit(maxPacket, maxSuback int) error {
	if s.size > maxPacket {
		return fmt.Errorf("upstream sent a packet of %d bytes, the limit is %d", s.size, maxPacket)
	}
	if s.kind&0x0f == typeSuback && s.size > maxSuback {
		return fmt.Errorf("upstream sent a SUBACK with more return codes than topic filters were asked for")
	}
	return nil
}
