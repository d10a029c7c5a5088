package modbus

import (
	"github.com/goburrow/modbus"

	"github.com/tidegate/tidegate/drivers/bus"
)

// framing wraps protocol data units for one kind of bus. It is used by one conversation at a time.
type framing interface {
	// encode returns the frame of a request.
	encode(unit byte, q request) ([]byte, error)
	// reply returns what recognises the answer to the request that is in frame.
	reply(frame []byte, q request) reply
	// decode takes an answer apart that reply has found.
	decode(frame, answer []byte) (*modbus.ProtocolDataUnit, error)
	// expect is how many bytes the frame of the right answer usually has.
	expect(q request) int
	// tagged reports whether an answer carries the id of its request, so that a late one cannot be taken for a new one.
	tagged() bool
}

// reply recognises one answer.
type reply interface {
	find(received []byte) (bus.Found, error)
	// blame says what the bytes are that came in place of a valid answer.
	blame(received []byte) *failure
}

// The packagers of goburrow come as parts of its handlers; these never open anything. Each framing has its own, because a
// packager holds the unit and the transaction counter.

// rtuFraming is the frame of a serial line: unit, function, data, CRC (Modbus over Serial Line V1.02, 2.5.1).
type rtuFraming struct {
	packager *modbus.RTUClientHandler
	echo     echo
}

func newRTUFraming() *rtuFraming { return &rtuFraming{packager: modbus.NewRTUClientHandler("")} }

func (f *rtuFraming) encode(unit byte, q request) ([]byte, error) {
	f.packager.SlaveId = unit
	return f.packager.Encode(&modbus.ProtocolDataUnit{FunctionCode: q.function, Data: q.data})
}

func (f *rtuFraming) reply(frame []byte, q request) reply {
	if q.open() {
		return &openReply{newRTUReply(f, frame, q)}
	}
	return newRTUReply(f, frame, q)
}

func (f *rtuFraming) decode(frame, answer []byte) (*modbus.ProtocolDataUnit, error) {
	return unwrap(f.packager, frame, answer)
}

func (f *rtuFraming) expect(q request) int { return rtuOverhead + q.answerSize() }
func (f *rtuFraming) tagged() bool         { return false }

// rtuOverhead is what an RTU frame has beyond its protocol data unit: unit and check sum.
const rtuOverhead = 3

// unwrap takes an answer apart whose length reply has seen to, without which the packagers would panic.
func unwrap(p modbus.Packager, frame, answer []byte) (*modbus.ProtocolDataUnit, error) {
	if err := p.Verify(frame, answer); err != nil {
		return nil, framef("%v", err)
	}
	pdu, err := p.Decode(answer)
	if err != nil {
		return nil, framef("%v", err)
	}
	return pdu, nil
}

// tcpFraming is the frame of Modbus TCP: the MBAP header and the data unit (Modbus Messaging on TCP/IP V1.0b, 3.1.3).
type tcpFraming struct {
	packager  *modbus.TCPClientHandler
	datagrams bool // each frame comes by itself, and what is none is no reason to give up
}

func newTCPFraming() *tcpFraming { return &tcpFraming{packager: modbus.NewTCPClientHandler("")} }

// encode takes the next transaction id; the counter is the packager's and common to all units of the endpoint.
func (f *tcpFraming) encode(unit byte, q request) ([]byte, error) {
	f.packager.SlaveId = unit
	return f.packager.Encode(&modbus.ProtocolDataUnit{FunctionCode: q.function, Data: q.data})
}

func (f *tcpFraming) reply(frame []byte, q request) reply {
	if f.datagrams {
		return newUDPReply(frame)
	}
	return newTCPReply(frame, q)
}

// decode does not ask the packager to verify: reply has seen to the transaction, the protocol and the length, and the packager refuses
// gateways that answer as unit 0 or 255 for every unit behind them, which the transaction id tells well enough.
func (f *tcpFraming) decode(frame, answer []byte) (*modbus.ProtocolDataUnit, error) {
	if got, want := answer[mbapUnit], frame[mbapUnit]; got != want && got != 0 && got != 255 {
		return nil, framef("unit %d answered, asked unit %d", got, want)
	}
	pdu, err := f.packager.Decode(answer)
	if err != nil {
		return nil, framef("%v", err)
	}
	return pdu, nil
}

func (f *tcpFraming) expect(q request) int { return mbapSize + q.answerSize() }
func (f *tcpFraming) tagged() bool         { return true }
