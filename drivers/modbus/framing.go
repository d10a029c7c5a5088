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
	// overhead is how many bytes a frame has beyond its protocol data unit.
	overhead() int
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
	echo     bool // the adapter hears what it sends, as the last read has shown
}

func newRTUFraming() *rtuFraming { return &rtuFraming{packager: modbus.NewRTUClientHandler("")} }

func (f *rtuFraming) encode(unit byte, q request) ([]byte, error) {
	f.packager.SlaveId = unit
	return f.packager.Encode(&modbus.ProtocolDataUnit{FunctionCode: q.function, Data: q.data})
}

func (f *rtuFraming) reply(frame []byte, q request) reply { return newRTUReply(f, frame, q) }

func (f *rtuFraming) decode(frame, answer []byte) (*modbus.ProtocolDataUnit, error) {
	if err := f.packager.Verify(frame, answer); err != nil { // reply has seen to the length, without which this would panic
		return nil, framef("%v", err)
	}
	pdu, err := f.packager.Decode(answer)
	if err != nil {
		return nil, framef("%v", err)
	}
	return pdu, nil
}

func (f *rtuFraming) overhead() int { return 3 }

// tcpFraming is the frame of Modbus TCP: the MBAP header and the data unit (Modbus Messaging on TCP/IP V1.0b, 3.1.3).
type tcpFraming struct{ packager *modbus.TCPClientHandler }

func newTCPFraming() *tcpFraming { return &tcpFraming{packager: modbus.NewTCPClientHandler("")} }

// encode takes the next transaction id; the counter is the packager's and common to all units of the endpoint.
func (f *tcpFraming) encode(unit byte, q request) ([]byte, error) {
	f.packager.SlaveId = unit
	return f.packager.Encode(&modbus.ProtocolDataUnit{FunctionCode: q.function, Data: q.data})
}

func (f *tcpFraming) reply(frame []byte, _ request) reply { return newTCPReply(frame) }

func (f *tcpFraming) decode(frame, answer []byte) (*modbus.ProtocolDataUnit, error) {
	if got, want := answer[mbapUnit], frame[mbapUnit]; got != want {
		return nil, framef("unit %d answered, asked unit %d", got, want)
	}
	if err := f.packager.Verify(frame, answer); err != nil {
		return nil, framef("%v", err)
	}
	pdu, err := f.packager.Decode(answer)
	if err != nil {
		return nil, framef("%v", err)
	}
	return pdu, nil
}

func (f *tcpFraming) overhead() int { return mbapSize }
