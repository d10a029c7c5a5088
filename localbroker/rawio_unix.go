//go:build unix && !linux

package localbroker

import "syscall"

// readNow is read(2) on a descriptor that does not wait.
func readNow(fd int, b []byte, _ bool) (int, error) { return syscall.Read(fd, b) }

// writeNow is write(2) on a descriptor that does not wait.
func writeNow(fd int, b []byte) (int, error) { return syscall.Write(fd, b) }
