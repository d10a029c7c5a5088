//go:build !linux

package engine

// KernelAlarm returns an Alarm on Go's own timers.
func KernelAlarm() Alarm { return newTimerAlarm() }
