//go:build !linux

package bus

import "net"

// socket is of no use here.
type socket struct{}

func newSocket(net.Conn) *socket { return nil }

func (s *socket) read([]byte) (int, error)          { return 0, errClosed }
func (s *socket) take([]byte, uintptr) (int, error) { return 0, errClosed }
func (s *socket) write([]byte) int                  { return 0 }
