//go:build !linux

package localbroker

import (
	"context"
	"time"
)

// attendant is not known here: each connection has a goroutine of its own.
type attendant struct{}

func newAttendant(context.Context, *Broker) *attendant { return nil }

func (a *attendant) close() {}

func (a *attendant) busy(time.Time) bool { return true }

func (a *attendant) join(*conn) bool { return false }

func (a *attendant) handBack(*conn, error) {}
