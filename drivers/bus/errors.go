package bus

import (
	"errors"
	"fmt"
	"time"
)

// errTimeout is what a link's read returns when its deadline has passed and nothing came.
var errTimeout = errors.New("read timeout")

// errClosed is what a link returns that was closed.
var errClosed = errors.New("port is closed")

// maxShown bounds the bytes that a ReplyError keeps.
const maxShown = 64

// ReplyError says that the port works but that no valid answer came in time. Its text stays the same while the same goes wrong, so that
// a log need not repeat it.
type ReplyError struct {
	Timeout  time.Duration // of the conversation
	Received []byte        // what came instead: its first 64 bytes; empty when the line stayed silent
	Damaged  bool          // the answer came and was damaged, so that waiting longer was of no use
	Busy     bool          // nothing was sent, because the line never fell silent
}

// Error tells silence from noise. The bytes are in the debug log.
func (e *ReplyError) Error() string {
	switch {
	case e.Busy:
		return "line is never silent: is there another master, a missing termination, noise?"
	case e.Damaged:
		return "answer is damaged"
	case len(e.Received) > 0:
		return fmt.Sprintf("no valid answer within %v, only other bytes", e.Timeout)
	default:
		return fmt.Sprintf("no answer within %v", e.Timeout)
	}
}

// OfflineError says that the port or connection could not be opened, or was lost during the conversation.
type OfflineError struct {
	Err  error
	Wait time.Duration // until the next attempt to open; 0 when the next Exchange may try
	Sent bool          // the request was sent, at least in part: the device may have carried it out
}

// Error tells what went wrong.
func (e *OfflineError) Error() string { return e.Err.Error() }

// Unwrap returns what went wrong.
func (e *OfflineError) Unwrap() error { return e.Err }

// PanicError is a panic that was caught at the bus's boundary. The port was closed.
type PanicError struct {
	Value any
	Stack []byte
}

// Error names the panic without its stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic on the bus: %v", e.Value) }
