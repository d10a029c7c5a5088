package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// A chunk is the stored form of records that were committed together and that the same queues wait for:
//
//	chunk  = version crc(head) length(head) head body...
//	head   = count queue... count record...
//	queue  = id, position of the first record in it
//	record = refs, length and crc of its body
//	refs   = 0: as the record before, each one position further | count ref...
//	ref    = index of the queue, positions skipped since the last one in it, flags
//
// Numbers are unsigned varints, check sums are CRC-32C in four bytes, least first. So the refs of a record that goes where its
// predecessor went take one byte, be it to one queue or to fifty.
const chunkVersion = 1

// errChunk says that the head of a chunk cannot be trusted, and with it none of its records.
var errChunk = errors.New("chunk is damaged")

// checksum is the CRC-32C (Castagnoli) of b.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// live is a reference of a record that its consumer had not acknowledged when the commit began.
type live struct {
	queue *queue
	pos   uint64
	ref   gateway.Ref
}

// shapeRef is a reference apart from its position.
type shapeRef struct {
	index int // in the chunk's list of queues
	flags uint64
}

func packFlags(r gateway.Ref) uint64 {
	flags := uint64(r.View)<<3 | uint64(r.QoS&3)
	if r.Retain {
		flags |= 4
	}
	return flags
}

func unpackFlags(q gateway.QueueID, flags uint64) gateway.Ref {
	return gateway.Ref{Queue: q, View: uint16(flags >> 3), QoS: gateway.QoS(flags & 3), Retain: flags&4 != 0}
}

// chunkBuilder puts a chunk together. The zero value is not ready: use reset.
type chunkBuilder struct {
	queues      []gateway.QueueID
	first, last []uint64 // positions in each queue
	next        []uint64 // room for continues
	shape       []shapeRef
	count       int
	records     []byte // the records' part of the head
	bodies      []byte
}

// reset makes the builder begin a chunk for the queues of refs.
func (b *chunkBuilder) reset(refs []live) {
	b.queues, b.first, b.last, b.shape = b.queues[:0], b.first[:0], b.last[:0], b.shape[:0]
	b.records, b.bodies, b.count = b.records[:0], b.bodies[:0], 0
	for i := range refs {
		if b.index(refs[i].ref.Queue) < 0 {
			b.queues = append(b.queues, refs[i].ref.Queue)
			b.first = append(b.first, refs[i].pos)
			b.last = append(b.last, refs[i].pos-1)
		}
	}
}

func (b *chunkBuilder) index(q gateway.QueueID) int {
	for i, have := range b.queues {
		if have == q {
			return i
		}
	}
	return -1
}

// fits reports whether a record with these references belongs here: its queues are those of the chunk, in the same order.
func (b *chunkBuilder) fits(refs []live) bool {
	known := 0
	for i := range refs {
		q := refs[i].ref.Queue
		if known < len(b.queues) && b.queues[known] == q {
			known++
		} else if at := b.index(q); at < 0 || at >= known {
			return false
		}
	}
	return known == len(b.queues)
}

// add appends a record.
func (b *chunkBuilder) add(refs []live, rec *gateway.Record) {
	b.addRefs(refs)
	at := len(b.bodies)
	b.bodies = payload.AppendRecord(b.bodies, rec)
	b.records = binary.AppendUvarint(b.records, uint64(len(b.bodies)-at))
	b.records = binary.LittleEndian.AppendUint32(b.records, checksum(b.bodies[at:]))
	b.count++
}

func (b *chunkBuilder) addRefs(refs []live) {
	if b.continues(refs) {
		b.records = append(b.records, 0)
		b.last, b.next = b.next, b.last
		return
	}
	b.shape = b.shape[:0]
	b.records = binary.AppendUvarint(b.records, uint64(len(refs)))
	for i := range refs {
		s := shapeRef{b.index(refs[i].ref.Queue), packFlags(refs[i].ref)}
		b.shape = append(b.shape, s)
		b.records = binary.AppendUvarint(b.records, uint64(s.index))
		b.records = binary.AppendUvarint(b.records, refs[i].pos-b.last[s.index]-1)
		b.records = binary.AppendUvarint(b.records, s.flags)
		b.last[s.index] = refs[i].pos
	}
}

// continues reports whether refs are those of the record before, each at the next position of its queue; next then holds the
// positions that they lead to. A queue may occur several times, each time with one position more.
func (b *chunkBuilder) continues(refs []live) bool {
	if len(refs) != len(b.shape) {
		return false
	}
	b.next = append(b.next[:0], b.last...)
	for i, s := range b.shape {
		b.next[s.index]++
		if b.queues[s.index] != refs[i].ref.Queue || refs[i].pos != b.next[s.index] || packFlags(refs[i].ref) != s.flags {
			return false
		}
	}
	return true
}

// shrink lets go of room that a single large record has needed.
func (b *chunkBuilder) shrink() {
	if cap(b.bodies) > 8*segmentBytes {
		b.bodies = nil
	}
}

// append appends the finished chunk to dst.
func (b *chunkBuilder) append(dst []byte) []byte {
	var head []byte
	head = binary.AppendUvarint(head, uint64(len(b.queues)))
	for i, q := range b.queues {
		head = binary.AppendUvarint(head, uint64(q))
		head = binary.AppendUvarint(head, b.first[i])
	}
	head = binary.AppendUvarint(head, uint64(b.count))
	head = append(head, b.records...)
	dst = append(dst, chunkVersion)
	dst = binary.LittleEndian.AppendUint32(dst, checksum(head))
	dst = binary.AppendUvarint(dst, uint64(len(head)))
	return append(append(dst, head...), b.bodies...)
}

// refs returns the last position in each queue as it is stored beside the chunk, nil when there is only one.
func (b *chunkBuilder) refs() []byte {
	if len(b.queues) == 1 {
		return nil
	}
	var dst []byte
	for i, q := range b.queues {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(q)), b.last[i])
	}
	return dst
}

// allThrough reports whether each queue that refs lists is through with its last position there.
func allThrough(refs []byte, through func(q gateway.QueueID, last uint64) (bool, error)) (bool, error) {
	d := decoder{b: refs}
	for len(d.b) > 0 && d.err == nil {
		q, last := gateway.QueueID(d.uvarint()), d.uvarint()
		if is, err := through(q, last); !is || err != nil {
			return false, err
		}
	}
	return d.err == nil, nil
}

// item is one record of a chunk as one queue sees it.
type item struct {
	pos  uint64
	ref  gateway.Ref
	crc  uint32
	body []byte // within the chunk's bytes
}

// record checks the body and parses it.
func (it *item) record() (*gateway.Record, error) {
	if got := checksum(it.body); got != it.crc {
		return nil, fmt.Errorf("check sum of the record is %08x, stored was %08x", got, it.crc)
	}
	return payload.ParseRecord(it.body)
}

// decodeChunk appends to items what the chunk b holds for q. On an error items are returned as they were.
func decodeChunk(b []byte, q gateway.QueueID, items []item) ([]item, error) {
	if len(b) < 5 || b[0] != chunkVersion {
		return items, fmt.Errorf("%w: its version is unknown", errChunk)
	}
	d := decoder{b: b[5:]}
	head := d.bytes(d.uvarint())
	if d.err != nil || checksum(head) != binary.LittleEndian.Uint32(b[1:]) {
		return items, fmt.Errorf("%w: check sum of its head is wrong", errChunk)
	}
	found, err := decodeHead(head, d.b, q, items)
	if err != nil {
		return items, err
	}
	return found, nil
}

// decodeHead reads the head of a chunk whose records' bodies follow each other in bodies.
func decodeHead(head, bodies []byte, q gateway.QueueID, items []item) ([]item, error) {
	d := decoder{b: head}
	mine, last := -1, []uint64(nil)
	for i := range d.count() {
		if gateway.QueueID(d.uvarint()) == q {
			mine = i
		}
		last = append(last, d.uvarint()-1)
	}
	shape := []shapeRef(nil)
	for range d.count() {
		from := len(items)
		shape, items = decodeRefs(&d, shape, last, mine, q, items)
		size := d.uvarint()
		crc := d.uint32()
		if d.err == nil && size > uint64(len(bodies)) {
			d.err = errChunk
		}
		if d.err != nil {
			return nil, fmt.Errorf("%w: its head does not fit its bodies", errChunk)
		}
		for i := from; i < len(items); i++ {
			items[i].crc, items[i].body = crc, bodies[:size:size]
		}
		bodies = bodies[size:]
	}
	return items, nil
}

// decodeRefs reads the references of one record and appends those to the queue at index mine.
func decodeRefs(d *decoder, shape []shapeRef, last []uint64, mine int, q gateway.QueueID, items []item) ([]shapeRef, []item) {
	n := d.count()
	explicit := n > 0
	if explicit {
		shape = shape[:0]
	} else {
		n = len(shape)
	}
	for i := range n {
		skip := uint64(0)
		if explicit {
			s := shapeRef{index: int(min(d.uvarint(), 1<<31-1))}
			skip, s.flags = d.uvarint(), d.uvarint()
			shape = append(shape, s)
		}
		s := shape[i]
		if d.err != nil || s.index >= len(last) {
			d.err = errChunk
			return shape, items
		}
		last[s.index] += skip + 1
		if s.index == mine {
			items = append(items, item{pos: last[s.index], ref: unpackFlags(q, s.flags)})
		}
	}
	return shape, items
}

// decoder takes b apart. After an error everything reads as zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || d.err != nil {
		d.err = errChunk
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads how many things follow; each takes a byte at least.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.err = errChunk
		return 0
	}
	return int(n)
}

func (d *decoder) bytes(n uint64) []byte {
	if d.err != nil || n > uint64(len(d.b)) {
		d.err = errChunk
		return nil
	}
	taken := d.b[:n:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) uint32() uint32 {
	b := d.bytes(4)
	if d.err != nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}
