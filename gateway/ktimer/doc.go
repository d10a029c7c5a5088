// Package ktimer has timers of the kernel that a goroutine waits for as for a socket (timerfd_create(2), Linux alone). In a process that has little to
// do they cost much less than Go's own: those are rounded to milliseconds, and wake the runtime's monitor and other threads beside the one
// that waits.
package ktimer
