package app

import "golang.org/x/sys/unix"

// clockSynced asks the kernel whether something keeps the clock right. Without that, "expires" of a command means nothing: a board
// without a battery starts in the past.
func clockSynced() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}
