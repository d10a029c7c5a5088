package localbroker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// The pause after a failed accept, which is mostly for want of descriptors.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// Serve accepts connections from ln until ctx or the broker's Run ends, or accepting fails for good. It waits for Run to recover the
// sessions first. It closes ln and, before it returns, the connections that it has accepted. The listener may be of any kind whose
// connections carry a plain stream of MQTT packets, by themselves or once lo.Upgrade has made it of them.
func (b *Broker) Serve(ctx context.Context, ln net.Listener, lo ListenerOptions) error {
	defer ln.Close()
	if !b.enter() {
		if ctx.Err() != nil {
			return nil // it was to end anyway
		}
		return ErrClosed
	}
	defer b.serves.Done()
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		select {
		case <-ctx.Done():
		case <-b.quit:
		}
		ln.Close()
	})
	select {
	case <-b.ready:
	case <-ctx.Done():
		return nil
	case <-b.quit:
		return nil
	}
	return b.accept(ctx, ln, &lo)
}

// enter counts a call of Serve, which Run will wait for.
func (b *Broker) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopping {
		return false
	}
	b.serves.Add(1)
	return true
}

func (b *Broker) accept(ctx context.Context, ln net.Listener, lo *ListenerOptions) error {
	if lo.Name == "" {
		lo.Name = ln.Addr().String()
	}
	at := newAttendant(ctx, b)
	defer at.close() // which has nobody to attend any more
	var conns sync.WaitGroup
	defer conns.Wait()
	defer b.killAll(func(c *conn) bool { return c.lo == lo })
	pause := time.Duration(0)
	for {
		nc, err := ln.Accept()
		if err == nil {
			pause = 0
			b.admit(ctx, &conns, nc, lo, at)
			continue
		}
		if ctx.Err() != nil || b.quitting() {
			return nil
		}
		if !isTemporary(err) {
			return fmt.Errorf("accept on %s: %w", lo.Name, err)
		}
		if pause == 0 {
			b.log.Warn("cannot accept a connection, trying again", "listener", lo.Name, "error", err)
		}
		pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
		b.rest(ctx, pause)
	}
}

// isTemporary reports whether accepting may work again later: the peer gave up, or there are no descriptors or memory left.
func isTemporary(err error) bool {
	var ne interface{ Temporary() bool }
	return errors.As(err, &ne) && ne.Temporary()
}

func (b *Broker) quitting() bool {
	select {
	case <-b.quit:
		return true
	default:
		return false
	}
}

func (b *Broker) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-b.quit:
	}
}

// admit starts the goroutine of a connection, if the limits have room for it. Nothing was read from it yet.
func (b *Broker) admit(ctx context.Context, conns *sync.WaitGroup, nc net.Conn, lo *ListenerOptions, at *attendant) {
	if tcp, ok := nc.(interface{ SetWriteBuffer(int) error }); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // without it the connection works as well
	}
	c := newConn(b, nc, lo)
	if err := b.track(c); err != nil {
		b.stats.refused.Add(1)
		if n, due := b.refusals.say(b.opts.Now(), c, err); due {
			b.log.Warn("connection refused", "listener", lo.Name, "remote", c.remote, "error", err, "times", n)
		}
		nc.Close()
		return
	}
	b.stats.sockets.Add(1)
	c.writers, c.attendant = conns, at
	conns.Add(1)
	go c.run(ctx)
}

// track counts a connection against the limits.
func (b *Broker) track(c *conn) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.stopping:
		return errShutdown
	case len(b.conns) >= b.opts.MaxConnections:
		return fmt.Errorf("there are %d connections already, raise max_connections", len(b.conns))
	case b.perAddr[c.host] >= b.opts.MaxPerAddress:
		return fmt.Errorf("there are %d connections from this address already, raise max_per_address", b.perAddr[c.host])
	}
	b.conns[c] = struct{}{}
	b.memory.conns.Store(int64(len(b.conns)))
	b.perAddr[c.host]++
	return nil
}

// untrack forgets a connection that is over.
func (b *Broker) untrack(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.gone != nil {
		close(c.gone)
	}
	delete(b.conns, c)
	b.memory.conns.Store(int64(len(b.conns)))
	if b.perAddr[c.host]--; b.perAddr[c.host] == 0 {
		delete(b.perAddr, c.host)
	}
}
