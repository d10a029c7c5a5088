//go:build !linux

package engine

// KernelTimer returns a Timer on Go's own timers.
func KernelTimer(call func()) Timer { return newGoTimer(call) }
