package modbus

import (
	"cmp"
	"time"

	"github.com/tidegate/tidegate/drivers/bus"
)

// What a read of n registers takes on a serial line, with c the time of a character:
//
//	RTU    c (13+2n) + 2 t3.5 + Ts
//	ASCII  c (28+4n) + Ts
//
// 8 characters of request, 5+2n of answer, the silence before each, and the time Ts that the device takes beyond that; of ASCII 17 and 11+4n, and
// no silences. So two blocks that lie g registers apart are cheaper in one request when 2g c < 13c + 2 t3.5 + Ts. A longer silence that bus or
// device ask for takes the place of the first t3.5.
//
// On a network the characters take next to nothing and the answer is what is waited for, so that whatever fits is asked for together. Where
// several requests are under way they share the wait. A line behind a serial device server costs what it does elsewhere, if its rate is known;
// if not, the time that it takes is part of the answer that is measured.

// The characters of a read beside its data, request and answer together. RTU: unit, function, address, quantity and check sum, and unit, function,
// byte count and check sum (Modbus over Serial Line V1.02, 2.5.1); ASCII: the same but for the check sum, which has one byte, in two digits each,
// with three characters around them (2.5.2); TCP: without check sum, but with 7 bytes of header (Modbus Messaging on TCP/IP V1.0b, 3.1.3).
const (
	rtuChars   = 8 + 5
	asciiChars = 17 + 11
	tcpChars   = 12 + 9
)

// What is assumed of a network before anything was measured: the time to an answer, and that of a byte at 100 Mbit/s.
const (
	networkResponse = time.Millisecond
	networkByte     = 80 * time.Nanosecond
)

// pace is the time that characters and silences take on a bus.
type pace struct {
	char     int64         // picoseconds of one character: nanoseconds would spoil the sum of many
	frames   int           // characters of a read beside its data
	digits   int           // characters of a byte of data
	silence  time.Duration // before a request
	usual    time.Duration // to an answer before any was measured: the silence before it on a serial line
	serial   bool
	inFlight int // requests that wait for an answer at the same time
}

func newPace(o Options) pace {
	line, known := o.wire()
	p := pace{
		char: networkByte.Nanoseconds() * 1000, frames: tcpChars, digits: 1,
		silence: o.Bus.Gap, usual: networkResponse, inFlight: max(1, o.MaxInFlight),
	}
	switch o.framing() {
	case FramingRTU:
		p.frames = rtuChars
	case FramingASCII:
		p.frames, p.digits = asciiChars, 2
	}
	if !known {
		return p
	}
	// The time of one character would be rounded.
	const many = 1000
	p.char = line.Chars(many).Nanoseconds() * 1000 / many
	p.serial, p.usual = true, 0
	if o.framing() == FramingRTU {
		p.usual = line.Silence() + time.Nanosecond // which was rounded down
	}
	p.silence = max(p.silence, p.usual)
	return p
}

// wire returns how characters travel on the bus's serial line, if it has one of which that is known.
func (o Options) wire() (m bus.Mode, known bool) {
	if o.Bus.Port != "" {
		return o.Bus.Mode, true
	}
	return o.Line, o.Line.Baud > 0
}

// wireTime returns how long the characters of a read with so many bytes of data take.
func (p pace) wireTime(data int) time.Duration {
	return time.Duration(int64(p.frames+p.digits*data) * p.char / 1000)
}

// cost is what reads take on a bus from a device, in picoseconds.
type cost struct {
	request int64 // of each, whatever it asks for
	char    int64 // of each byte of data
}

// cost returns the cost of reads from a device that takes response to answer, and gap before each request.
func (p pace) cost(response, gap time.Duration) cost {
	wait := 1000 * int64(max(p.silence, gap)+response) / int64(p.inFlight)
	return cost{request: int64(p.frames)*p.char + wait, char: int64(p.digits) * p.char}
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
