package localbroker

import (
	"sort"

	"github.com/tidegate/tidegate/gateway"
)

// maxInflight bounds the window so that the packet ids in it can be told apart by position for sure.
const maxInflight = 32767

// packetIDs is the number of packet identifiers: 1 to 65535.
const packetIDs = 65535

// packetID derives the packet identifier of the delivery at a position, so that it needs no storing: the same after a crash as
// before it. The positions of a window never span 65535, therefore its ids differ.
func packetID(pos uint64) uint16 { return uint16((pos-1)%packetIDs + 1) }

// stage is how far a delivery in the window has come.
type stage uint8

const (
	stageDone     stage = iota // confirmed, behind one that is not
	stageSent                  // QoS 1: PUBLISH sent, PUBACK awaited
	stageSent2                 // QoS 2: PUBLISH sent, PUBREC awaited
	stageReleased              // QoS 2: PUBREC received, PUBCOMP awaited
)

// flight is one delivery in the window.
type flight struct {
	pos   uint64
	stage stage
}

// window holds the QoS 1 and 2 deliveries that were sent and are not yet confirmed, in the order of their positions. Its ids are the
// server's own: those that the client chooses for its packets are kept apart (MQTT 3.1.1, 2.3.1).
type window struct {
	ring []flight // length a power of two
	head int
	n    int
	live int // those not yet done
}

func (w *window) at(i int) *flight { return &w.ring[(w.head+i)&(len(w.ring)-1)] }

// room returns how many deliveries may still be sent when limit may be in flight. A delivery that is never confirmed stops
// the flow long before ids could repeat.
func (w *window) room(limit int) int {
	if w.n >= 2*limit {
		return 0
	}
	return limit - w.live
}

// fits reports whether a delivery at pos has a packet id of its own beside those in the window.
func (w *window) fits(pos uint64) bool { return w.n == 0 || pos-w.at(0).pos < packetIDs }

// push adds a delivery. Positions rise.
func (w *window) push(pos uint64, s stage) {
	if w.n == len(w.ring) {
		w.grow()
	}
	w.n++
	w.live++
	*w.at(w.n - 1) = flight{pos, s}
}

func (w *window) grow() {
	ring := make([]flight, max(8, 2*len(w.ring)))
	for i := range w.n {
		ring[i] = *w.at(i)
	}
	w.ring, w.head = ring, 0
}

// find returns the delivery with this packet id that is not yet done, nil when there is none.
func (w *window) find(id uint16) *flight {
	if w.n == 0 || id == 0 {
		return nil
	}
	base := w.at(0).pos
	ahead := (int(id) - int(packetID(base)) + packetIDs) % packetIDs
	pos := base + uint64(ahead)
	i := ahead
	if i >= w.n || w.at(i).pos != pos { // positions may have holes
		i = sort.Search(w.n, func(i int) bool { return w.at(i).pos >= pos })
	}
	if i >= w.n || w.at(i).pos != pos || w.at(i).stage == stageDone {
		return nil
	}
	return w.at(i)
}

// finish marks a delivery as confirmed and lets go of the confirmed ones at the head.
func (w *window) finish(f *flight) {
	f.stage = stageDone
	w.live--
	for w.n > 0 && w.at(0).stage == stageDone {
		w.head = (w.head + 1) & (len(w.ring) - 1)
		w.n--
	}
}

// sentStage is the stage of a delivery whose PUBLISH has been sent.
func sentStage(qos gateway.QoS) stage {
	if qos == 2 {
		return stageSent2
	}
	return stageSent
}
