//go:build !linux

package sim

import (
	"errors"
	"time"
)

// errNoPTY is all there is to a PTY on systems other than Linux; the TCP server works everywhere.
var errNoPTY = errors.New("open pty: simulated serial lines need Linux")

// PTY is a pseudo terminal; there is none on this system.
type PTY struct{}

// OpenPTY always fails on this system.
func OpenPTY(string) (*PTY, error) { return nil, errNoPTY }

// Path returns nothing on this system.
func (*PTY) Path() string { return "" }

// Port returns nothing on this system.
func (*PTY) Port() string { return "" }

// Close does nothing on this system.
func (*PTY) Close() error { return nil }

func (*PTY) readUntil([]byte, time.Time) (int, error) { return 0, errNoPTY }
func (*PTY) write([]byte) (int, error)                { return 0, errNoPTY }
func (*PTY) stop()                                    {}
func (*PTY) clear()                                   {}

func sharpenTimers() (restore func()) { return func() {} }
