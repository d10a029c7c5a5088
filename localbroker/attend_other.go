//go:build !linux

package localbroker

import "context"

// attendant is not known here: each connection has a goroutine of its own.
type attendant struct{}

func newAttendant(context.Context, *Broker) *attendant { return nil }

func (a *attendant) run() {}

func (a *attendant) close() {}

func (a *attendant) join(*conn) bool { return false }

func (a *attendant) handBack(*conn, error) {}

func (c *conn) attendable() bool { return false }
