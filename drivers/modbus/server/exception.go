package server

import "fmt"

// exceptionBit marks the function code of an exception (Modbus Application Protocol V1.1b3, 4.1).
const exceptionBit = 0x80

// Exception is an exception code (Modbus Application Protocol V1.1b3, 7). It is an error too: what a request fails with.
type Exception byte

// The exception codes that a server has use for.
const (
	IllegalFunction Exception = 1
	IllegalAddress  Exception = 2
	IllegalValue    Exception = 3
	DeviceFailure   Exception = 4
	DeviceBusy      Exception = 6
	PathUnavailable Exception = 10 // the bus to the device is not open
	TargetFailed    Exception = 11 // the device behind the gateway does not answer
)

// Error implements error.
func (e Exception) Error() string { return fmt.Sprintf("exception %d", byte(e)) }

// Answer returns the PDU that answers a request of this function code with the exception.
func (e Exception) Answer(function byte) []byte { return []byte{function | exceptionBit, byte(e)} }
