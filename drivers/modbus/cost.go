package modbus

import (
	"cmp"
	"time"

	"github.com/tidegate/tidegate/drivers/bus"
)

// What a read of n registers takes on a serial line, with c the time of a character:
//
//	c (13+2n) + 2 t3.5 + Ts
//
// 8 characters of request, 5+2n of answer, the silence before each, and the time Ts that the device takes beyond that. So two blocks that lie
// g registers apart are cheaper in one request when 2g c < 13c + 2 t3.5 + Ts. On a network the characters take next to nothing and
// the answer is what is waited for, so that whatever fits is asked for together.

// The characters of a read beside its data: unit, function, address, quantity and check sum of the request, and unit, function,
// byte count and check sum of the answer (Modbus over Serial Line V1.02, 2.5.1).
const (
	requestChars = 8
	answerChars  = 5
)

// What is assumed of a network before anything was measured: the time to an answer, and that of a byte at 100 Mbit/s.
const (
	networkResponse = time.Millisecond
	networkByte     = 80 * time.Nanosecond
)

// pace is the time that characters and silences take on a bus.
type pace struct {
	char    int64         // picoseconds of one character: nanoseconds would spoil the sum of many
	silence time.Duration // before a request
	usual   time.Duration // to an answer before any was measured: the silence before it on a serial line
	serial  bool
}

func newPace(o bus.Options) pace {
	if o.Port == "" {
		return pace{char: networkByte.Nanoseconds() * 1000, silence: o.Gap, usual: networkResponse}
	}
	// The time of one character would be rounded.
	const many = 1000
	silence := o.Mode.Silence() + time.Nanosecond // which was rounded down
	return pace{
		char:    o.Mode.Chars(many).Nanoseconds() * 1000 / many,
		silence: max(silence, o.Gap), usual: silence, serial: true,
	}
}

// chars returns the time of n characters.
func (p pace) chars(n int) time.Duration { return time.Duration(int64(n) * p.char / 1000) }

// cost is what reads take on a bus from a device, in picoseconds.
type cost struct {
	request int64 // of each, whatever it asks for
	char    int64 // of each byte of data
}

// cost returns the cost of reads from a device that takes response to answer.
func (p pace) cost(response time.Duration) cost {
	return cost{request: (requestChars+answerChars)*p.char + 1000*int64(p.silence+response), char: p.char}
}

// read returns the cost of one read.
func (c cost) read(t Table, count int) int64 {
	return c.request + c.char*int64(dataSize(t, count))
}

// total returns the cost of asking for all blocks once.
func (c cost) total(blocks []*block) (sum int64) {
	for _, b := range blocks {
		sum += c.read(b.table, b.count)
	}
	return sum
}

// dataSize returns the bytes of so many bits or registers in an answer.
func dataSize(t Table, count int) int {
	if t.bits() {
		return (count + 7) / 8
	}
	return 2 * count
}

// response is a running estimate of how long a device takes to answer: from the end of the request to the beginning of the answer.
type response struct {
	mean    time.Duration
	samples int
}

// enoughSamples is how many answers make an estimate.
const enoughSamples = 8

// add takes one more measurement. One that is far off is an accident, such as a connection that had to be opened anew, and moves the
// estimate by as much as one that is twice as long.
func (r *response) add(d time.Duration) {
	d = max(d, 0)
	if r.samples >= enoughSamples {
		d = min(d, 2*r.mean+time.Millisecond)
	}
	r.samples++
	r.mean += (d - r.mean) / time.Duration(min(r.samples, enoughSamples))
}

// or returns the estimate, or usual while there is none.
func (r *response) or(usual time.Duration) time.Duration {
	if r.samples < enoughSamples {
		return usual
	}
	return r.mean
}

// pays reports whether a plan is so much cheaper than the one in use that it is worth changing: small changes would come and go.
func (c cost) pays(used, better []*block) bool {
	const worthwhile = 20 // one part in
	before := c.total(used)
	return (before-c.total(better))*worthwhile > before
}

// near reports whether two costs are so much alike that their plans need not be compared.
func (c cost) near(other cost) bool {
	const alike = 10 // one part in
	difference := c.request - other.request
	return max(difference, -difference)*alike < cmp.Or(other.request, 1)
}
