package engine

import (
	"context"
	"errors"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Device is a device as its driver describes it. It does not change while the engine runs.
type Device struct {
	Name       string
	Groups     []Group
	StaleAfter time.Duration // a reading older than this is stale; 0: three intervals of its group
	Publish    gateway.PublishMode
	Points     []gateway.Point
}

// Group is the points of a device that are polled together.
type Group struct {
	Interval time.Duration // between polls
	Points   []int         // indices of the device's points; each point is in exactly one group
}

// Driver is one bus with its devices, as the engine sees it. Only the goroutine of that bus calls it, one call at a time; a
// call is one conversation on the bus, so that a command can enter between any two. Devices and points are named by their index.
type Driver interface {
	// Devices lists the devices of the bus in the order of configuration.
	Devices() []Device
	// Poll holds conversation number step (from 0) of a poll of one group of device. It sets those readings of the device that this
	// conversation covers, good or bad with a reason, and says whether further steps follow. An error tells what went wrong in words for the
	// log; ErrNoAnswer means that the device or its bus is not there, and the engine gives up the rest of this poll.
	Poll(ctx context.Context, device, group, step int, readings []gateway.Reading) (more bool, err error)
	// Write writes v to a point and reads it back. The value is in engineering units and inside the point's range.
	Write(ctx context.Context, device, point int, v gateway.Value) (gateway.Reading, error)
	// Close gives the port or connection back. The driver may be used again; it then opens anew.
	Close() error
}

// BlockWriter is a Driver that can write several values of a device in one request.
type BlockWriter interface {
	// WriteBlock writes the first of these values to its point, and with it as many of those behind it as one request takes, and reads
	// them back. The readings are of the points that were written, in their order; it is called again for the rest. An error is
	// about the point behind those of the readings, and what it says about others of the same request it says itself.
	WriteBlock(ctx context.Context, device int, points []int, values []gateway.Value) ([]gateway.Reading, error)
}

// Checker is a driver that knows without asking a device whether a point can hold a value, which its kind and range alone do not tell: a register of
// 16 bits, or a text of 8 bytes. Commands with a value that it cannot hold are refused before anything is written.
type Checker interface {
	// Check says why v cannot be written to a point. Any goroutine may call it at any time.
	Check(device, point int, v gateway.Value) error
}

// ErrNoAnswer is wrapped by a driver's errors when a device does not answer or its bus cannot be opened.
var ErrNoAnswer = errors.New("no answer")

// Publisher takes records to the local broker. It does not wait: done is called once, from another goroutine or before Publish
// returns, when the record is safe (acknowledged or committed for every durable consumer), or with the reason why it was refused. done may be nil.
type Publisher interface {
	Publish(rec *gateway.Record, done func(error))
}

// Entry is a command message in the inbox.
type Entry struct {
	Pos     uint64
	Record  *gateway.Record // its body is a *gateway.Message on a command topic
	Started bool            // Start was called before a crash: the command may or may not have been carried out
}

// Journal is the command inbox: a durable queue whose rows are committed before their publisher is answered.
type Journal interface {
	// Next waits for the first entry after pos (0: from the first that was not finished).
	Next(ctx context.Context, pos uint64) (Entry, error)
	// Start commits that the command is about to be carried out. A command with an id that was started and not finished is never repeated.
	Start(ctx context.Context, pos uint64) error
	// Finish removes the entry and keeps the result under the command's id, if it has one, so that a repeat gets the same answer.
	Finish(ctx context.Context, pos uint64, id string, result []byte) error
	// Result returns the kept result of an id.
	Result(ctx context.Context, id string) (result []byte, found bool, err error)
}
