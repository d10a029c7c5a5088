package modbus

import (
	"encoding/binary"

	"github.com/tidegate/tidegate/drivers/bus"
)

// udpReply recognises the answer with the request's transaction id among datagrams, of which each is one frame. What is none, and what
// answers another request, is passed over: anybody may send a datagram, and an old one may come late.
type udpReply struct{ transaction uint16 }

func newUDPReply(frame []byte) *udpReply {
	return &udpReply{transaction: binary.BigEndian.Uint16(frame)}
}

func (r *udpReply) find(datagram []byte) (bus.Found, error) {
	other := bus.Found{Skip: len(datagram), Need: mbapSize}
	if len(datagram) < mbapSize {
		return other, nil
	}
	if size, err := frameSize(datagram); err != nil || size != len(datagram) || binary.BigEndian.Uint16(datagram) != r.transaction {
		return other, nil
	}
	return bus.Found{Frame: datagram}, nil
}

// blame has nothing to look at: a datagram that is not the answer says nothing about the device.
func (r *udpReply) blame([]byte) *failure { return nil }
