//go:build !linux

package transport

import (
	"net"
	"time"
)

// setUserTimeout does nothing: other systems have no such option.
func setUserTimeout(*net.TCPConn, time.Duration) {}
