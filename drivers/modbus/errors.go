package modbus

import (
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/gateway"
)

// ErrNoAnswer is wrapped by errors that mean that a device does not answer, or that its bus cannot be opened.
var ErrNoAnswer = errors.New("no answer")

// The exceptions that mean more than a refusal of this one request.
const (
	illegalAddress = 2
	illegalValue   = 3
	gatewayNoPath  = 10
	gatewayNoReply = 11
)

// Error is an exception: the device understood the request and refused it (Modbus Application Protocol V1.1b3, 7).
type Error struct {
	Function  byte // of the request
	Exception byte // code, 1 and above
}

// Error names the exception and says what it usually means.
func (e *Error) Error() string {
	return fmt.Sprintf("device answered exception %d (%s) to function %d", e.Exception, exceptionName(e.Exception), e.Function)
}

// Reason returns the word used in payloads: "exception 2".
func (e *Error) Reason() gateway.Reason {
	return gateway.Reason(fmt.Sprintf("exception %d", e.Exception))
}

// refusesBlock reports whether the device has refused, and maybe one address among several only.
func (f *failure) refusesBlock() bool {
	var exception *Error
	return errors.As(f.err, &exception) && exception.refusesBlock()
}

// refusesBlock reports whether the exception may be due to one address among several.
func (e *Error) refusesBlock() bool {
	return e.Exception == illegalAddress || e.Exception == illegalValue
}

func exceptionName(code byte) string {
	switch code {
	case 1:
		return "illegal function: the device does not support it"
	case illegalAddress:
		return "illegal data address: the device has nothing there"
	case illegalValue:
		return "illegal data value: the device does not accept it"
	case 4:
		return "server device failure"
	case 5:
		return "acknowledge: the device needs more time"
	case 6:
		return "server device busy"
	case 8:
		return "memory parity error"
	case gatewayNoPath:
		return "gateway path unavailable"
	case gatewayNoReply:
		return "gateway target device failed to respond"
	default:
		return "not in the specification"
	}
}

// frameError says that something came that breaks the protocol.
type frameError struct{ text string }

func (e *frameError) Error() string { return e.text }

func framef(format string, args ...any) error { return &frameError{text: fmt.Sprintf(format, args...)} }

// failure is a conversation that brought no value.
type failure struct {
	reason gateway.Reason
	gone   bool // nobody answered: the device or its bus is not there
	err    error
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() []error {
	if f.gone {
		return []error{f.err, ErrNoAnswer}
	}
	return []error{f.err}
}
