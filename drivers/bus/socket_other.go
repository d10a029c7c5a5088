//go:build !linux

package bus

import (
	"context"
	"net"
	"time"
)

// socket is of no use here.
type socket struct{}

func newSocket(net.Conn) *socket { return nil }

func (s *socket) read([]byte) (int, error)          { return 0, errClosed }
func (s *socket) take([]byte, uintptr) (int, error) { return 0, errClosed }
func (s *socket) write([]byte) int                  { return 0 }

// watch is of no use here.
type watch struct{}

func newWatch(net.Conn) *watch { return nil }

func (w *watch) begin(context.Context, time.Time) error { return errClosed }
func (w *watch) end()                                   {}
func (w *watch) close()                                 {}
