//go:build !linux

package app

// unmapProgram has nothing to do here.
func unmapProgram() (bytes uint64, err error) { return 0, nil }
