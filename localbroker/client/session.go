package client

import (
	"sync"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// Session is what a client must remember of its session beyond one connection, so that a QoS 2 message that was begun on one and ends on
// the next is received once. The zero value is an empty session. It serves one connection at a time.
type Session struct {
	mu sync.Mutex
	// received holds the ids of QoS 2 messages that the server has not released yet (MQTT 5, 4.3.3, method B). The value tells whether the
	// message was acknowledged: if it was not, the next connection brings it again, and it counts.
	received map[packetID]bool
}

type packetID = uint16

// resume prepares the session for a new connection. present is the server's word that it remembers the session too.
func (s *Session) resume(present bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !present || s.received == nil {
		s.received = map[packetID]bool{}
	}
	for id, acknowledged := range s.received {
		if !acknowledged {
			delete(s.received, id)
		}
	}
}

// arrived notes a QoS 2 message. again tells that it was there before, and acknowledged that it was acknowledged then.
func (s *Session) arrived(id packetID) (again, acknowledged bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	acknowledged, again = s.received[id]
	if !again {
		s.received[id] = false
	}
	return again, acknowledged
}

func (s *Session) acknowledge(id packetID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received[id] = true
}

// release forgets a message at its PUBREL and tells whether it was known.
func (s *Session) release(id packetID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.received[id]
	delete(s.received, id)
	return known
}

// releaseCode is the reason code of the PUBCOMP.
func releaseCode(known bool) packet.ReasonCode {
	if known {
		return packet.ReasonSuccess
	}
	return packet.ReasonPacketIDNotFound
}
