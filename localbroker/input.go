package localbroker

import (
	"context"
	"errors"
	"os"
	"time"
)

// quietTime is how long nothing comes until a connection counts as quiet. It is attended then, or where none attends it its reader goes on in a new
// goroutine, because the stack of the old one has grown with what it had to do and would not become small again: most connections are quiet most
// of the time.
const quietTime = time.Second

// errQuiet is why a reader leaves a connection that goes on.
var errQuiet = errors.New("nothing has come for a while")

// serve reads and handles packets until the connection ends.
func (c *conn) serve(ctx context.Context) {
	err := c.read(ctx)
	if errors.Is(err, errQuiet) || errors.Is(err, errSlow) {
		if c.attendable() && c.attendant.join(c) {
			return // and see resume
		}
		c.attendant = nil // which is not asked again
		c.setPatient(true)
		go c.serve(ctx) // still the one that writers counts
		return
	}
	c.end(err)
	c.writers.Done()
}

// read reads and handles packets until the connection ends or falls quiet, and returns why.
func (c *conn) read(ctx context.Context) error {
	for {
		if err := c.expect(); err != nil {
			return err
		}
		n, err := c.input()
		if n > 0 {
			c.b.stats.bytesIn.Add(uint64(n))
			c.came, c.inCrowd = c.b.crowd.join(c.came)
			if err := c.consume(ctx); err != nil {
				return err
			}
			c.heard, c.quiet = time.Now(), false
			c.setPatient(!c.isSlow(n))
		}
		if err != nil {
			if err = c.silence(err); err != nil {
				return err
			}
		}
	}
}

// input reads what the socket has, and waits for it.
func (c *conn) input() (int, error) {
	if c.swift() {
		return c.readLazily()
	}
	c.in.settle()
	n, err := c.nc.Read(c.in.space())
	c.in.filled(n)
	return n, err
}

// expect sets a deadline for the next read where one is needed. Deadlines are not moved with each read, but looked at when they have passed.
func (c *conn) expect() error {
	switch {
	case c.session == nil: // that of CONNECT holds
	case !c.plain():
		if c.idle > 0 {
			_ = c.nc.SetReadDeadline(time.Now().Add(c.idle)) // fails on a closed connection only, as the read then does
		}
	case !c.quiet && !c.armed:
		_ = c.nc.SetReadDeadline(time.Now().Add(quietTime))
		c.armed = true
	}
	if c.terms != nil && c.killed() { // the deadline has just taken the place of that which kill has set
		return c.reason
	}
	return nil
}

// plain reports whether the MQTT stream is that of the connection as it was accepted: others may not outlive a deadline.
func (c *conn) plain() bool { return c.nc == c.raw }

// silence says what follows from a read that has failed: nil when it was only the deadline of an earlier one that has passed.
func (c *conn) silence(err error) error {
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case c.session == nil:
		return errTimeout
	case !c.plain():
		return errKeepAlive
	}
	silent := time.Since(c.heard)
	switch {
	case c.idle > 0 && silent >= c.idle:
		return errKeepAlive
	case silent < quietTime:
		c.armed = false
		return nil
	}
	var until time.Time
	if c.idle > 0 {
		until = c.heard.Add(c.idle)
	}
	_ = c.nc.SetReadDeadline(until)
	c.quiet, c.armed = true, false
	return errQuiet
}
