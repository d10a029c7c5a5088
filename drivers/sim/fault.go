package sim

import (
	"slices"
	"time"
)

// Fault is one way for a unit to misbehave; make one with the functions of this file and hand it to [Unit.Inject]. Unless
// a function says otherwise the request itself is carried out, so that a write whose answer is lost has taken effect.
type Fault struct {
	kind   faultKind
	delay  time.Duration
	bytes  []byte
	number int
}

type faultKind int

const (
	noFault faultKind = iota
	noAnswer
	late
	garbageBefore
	garbageAfter
	wrongUnit
	wrongFunction
	shortAnswer
	longAnswer
	badCRC
	exceptionAnswer
	split
	reset
	oldTransaction
	staleFirst
	localEcho
	halfOpen
)

// NoAnswer leaves the request without an answer and does not carry it out, as a device does that is switched off.
func NoAnswer() Fault { return Fault{kind: noAnswer} }

// Late answers d later than usual. Other units on the same line answer in the meantime; on a TCP connection what
// follows waits.
func Late(d time.Duration) Fault { return Fault{kind: late, delay: d} }

// GarbageBefore sends the bytes right before the answer, as noise on the line or a transmitter switched on too early does.
func GarbageBefore(garbage ...byte) Fault {
	return Fault{kind: garbageBefore, bytes: slices.Clone(garbage)}
}

// GarbageAfter sends the bytes right behind the answer.
func GarbageAfter(garbage ...byte) Fault {
	return Fault{kind: garbageAfter, bytes: slices.Clone(garbage)}
}

// WrongUnit answers under another unit id, such as the 0 or 255 of some TCP gateways. Checksums are right.
func WrongUnit(id byte) Fault { return Fault{kind: wrongUnit, number: int(id)} }

// WrongFunction answers with another function code in front of the same data. Checksums are right.
func WrongFunction(code byte) Fault { return Fault{kind: wrongFunction, number: int(code)} }

// ShortAnswer keeps only the first registers of the answer to a read (for coils and discrete inputs: twice as many bytes).
// Byte count, length and checksum are those of a proper short answer. Answers to writes are not touched.
func ShortAnswer(registers int) Fault { return Fault{kind: shortAnswer, number: registers} }

// LongAnswer puts that many further registers of 0 behind the data of the answer to a read (for coils and discrete inputs: twice as many bytes),
// as far as a frame has room. Byte count, length and checksum are those of a proper longer answer. Answers to writes are not touched.
func LongAnswer(registers int) Fault { return Fault{kind: longAnswer, number: registers} }

// BadCRC spoils the checksum. TCP has none, so there the answer is as usual.
func BadCRC() Fault { return Fault{kind: badCRC} }

// ExceptionAnswer answers with an exception and does not carry out the request.
func ExceptionAnswer(code Exception) Fault { return Fault{kind: exceptionAnswer, number: int(code)} }

// Split sends the first n bytes of the answer (CRC or MBAP header counted), pauses, and then sends the rest.
// At least one byte goes before and one after the pause.
func Split(n int, pause time.Duration) Fault { return Fault{kind: split, number: n, delay: pause} }

// Reset breaks the TCP connection with RST instead of answering. A serial line has nothing to break: no answer is sent there.
func Reset() Fault { return Fault{kind: reset} }

// OldTransaction answers on TCP with the transaction id of the request n before this one. On a serial line the answer is as usual.
func OldTransaction(n uint16) Fault { return Fault{kind: oldTransaction, number: int(n)} }

// StaleFirst sends on TCP a copy of the answer under the transaction id of the request n before this one, and then the
// right answer: what a master finds that gave up waiting and kept the connection. On a serial line the answer is as usual.
func StaleFirst(n uint16) Fault { return Fault{kind: staleFirst, number: int(n)} }

// Echo sends the request back in front of the answer, as an RS-485 adapter does that hears itself. TCP has no such adapters, so there the
// answer is as usual.
func Echo() Fault { return Fault{kind: localEcho} }

// HalfOpen leaves this and all further requests of the TCP connection without an answer and does not carry them out, as when the device
// has lost its power: the connection neither works nor ends. A serial line has no connection: only this request stays without an answer there.
func HalfOpen() Fault { return Fault{kind: halfOpen} }

// silent tells whether the fault keeps a request from being carried out and answered.
func (f Fault) silent() bool { return f.kind == noAnswer || f.kind == reset || f.kind == halfOpen }

// exchange is what became of one request: the answer before it is framed, and the fault to frame it with.
type exchange struct {
	request []byte // as it came
	pdu     []byte // nil: no answer
	fault   Fault
}

// piece is a part of what is sent for one answer; the pause comes before it.
type piece struct {
	pause time.Duration
	data  []byte
}

// distort applies those faults that change the protocol data unit and are the same for every framing.
func (f Fault) distort(answer []byte) []byte {
	if len(answer) < 2 {
		return answer
	}
	switch f.kind {
	case wrongFunction:
		answer[0] = byte(f.number)
	case shortAnswer:
		return shorten(answer, 2*max(f.number, 0))
	case longAnswer:
		return lengthen(answer, 2*max(f.number, 0))
	}
	return answer
}

// shorten cuts the data of a read answer to size bytes.
func shorten(answer []byte, size int) []byte {
	if holdsData(answer) {
		size = min(size, int(answer[1]))
		answer[1] = byte(size)
		return answer[:2+size]
	}
	return answer
}

// lengthen puts bytes of 0 behind the data of a read answer.
func lengthen(answer []byte, more int) []byte {
	if holdsData(answer) {
		more = min(more, maxPDU-len(answer))
		answer[1] += byte(more)
		return append(answer, make([]byte, more)...)
	}
	return answer
}

// holdsData tells whether an answer is a byte count and so many bytes.
func holdsData(answer []byte) bool {
	switch answer[0] {
	case readCoils, readDiscreteInputs, readHoldingRegisters, readInputRegisters, readWriteRegisters:
		return true
	}
	return false
}

// rtuPieces frames the answer for a serial line.
func (x exchange) rtuPieces(unit byte) []piece {
	if x.pdu == nil {
		return nil
	}
	frame := appendCRC(append([]byte{x.unit(unit)}, x.pdu...))
	if x.fault.kind == badCRC {
		frame[len(frame)-1] ^= 0xFF
	}
	if x.fault.kind == localEcho {
		frame = append(appendCRC(append([]byte{unit}, x.request...)), frame...)
	}
	return x.fault.pieces(frame)
}

// tcpPieces frames the answer for TCP.
func (x exchange) tcpPieces(transaction uint16, unit byte) []piece {
	if x.pdu == nil {
		return nil
	}
	older := transaction - uint16(x.fault.number)
	switch x.fault.kind {
	case oldTransaction:
		return []piece{{data: appendADU(nil, older, unit, x.pdu)}}
	case staleFirst:
		stale := appendADU(nil, older, unit, x.pdu)
		return []piece{{data: appendADU(stale, transaction, unit, x.pdu)}}
	}
	return x.fault.pieces(appendADU(nil, transaction, x.unit(unit), x.pdu))
}

func (x exchange) unit(unit byte) byte {
	if x.fault.kind == wrongUnit {
		return byte(x.fault.number)
	}
	return unit
}

// pieces applies those faults that work on a finished frame.
func (f Fault) pieces(frame []byte) []piece {
	switch f.kind {
	case garbageBefore:
		frame = append(slices.Clone(f.bytes), frame...)
	case garbageAfter:
		frame = append(frame, f.bytes...)
	case late:
		return []piece{{pause: f.delay, data: frame}}
	case split:
		n := min(max(f.number, 1), len(frame)-1)
		return []piece{{data: frame[:n]}, {pause: f.delay, data: frame[n:]}}
	}
	return []piece{{data: frame}}
}
