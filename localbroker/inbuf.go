package localbroker

import "sync"

// The sizes of a connection's input buffer: a small one of its own while little comes, a large one from the pool while much does. Only a
// packet that is larger gets more, and that as its bytes arrive, never because it claims to be large.
const (
	smallInput = 512
	largeInput = 16 << 10
	quietReads = 4 // so many small reads in a row give the large buffer back
)

var largeInputs = sync.Pool{New: func() any { return new([largeInput]byte) }}

// inbuf is the input of one connection that was read and not yet handled.
type inbuf struct {
	b     []byte
	r, w  int
	small []byte
	large *[largeInput]byte
	quiet int
	lazy  bool // nothing is held while there is nothing: see rest
}

// data is what was read and not yet handled.
func (in *inbuf) data() []byte { return in.b[in.r:in.w] }

// skip marks n bytes as handled.
func (in *inbuf) skip(n int) { in.r += n }

// space returns where to read to; it is never empty.
func (in *inbuf) space() []byte {
	switch {
	case in.b != nil:
	case in.lazy:
		in.grow()
	default:
		in.small = make([]byte, smallInput)
		in.b = in.small
	}
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
	if in.w == len(in.b) && in.r > 0 {
		in.w = copy(in.b, in.b[in.r:in.w])
		in.r = 0
	}
	if in.w == len(in.b) {
		in.grow()
	}
	return in.b[in.w:]
}

// isFull reports whether a read has found no more room than it has used.
func (in *inbuf) isFull() bool { return in.w == len(in.b) }

// filled notes that n bytes were read to space.
func (in *inbuf) filled(n int) {
	in.w += n
	if in.large == nil {
		return
	}
	if n < smallInput {
		in.quiet++
	} else {
		in.quiet = 0
	}
}

// rest holds no more than is needed while nothing comes.
func (in *inbuf) rest() {
	n := in.w - in.r
	switch {
	case n == 0:
		in.free()
		in.b, in.small = nil, nil
	case n <= smallInput/2 && in.large != nil:
		in.small = make([]byte, smallInput)
		copy(in.small, in.data())
		in.free()
		in.b = in.small
	default:
		return
	}
	in.r, in.w = 0, n
}

// settle chooses the buffer for the next read, when all that fits was handled.
func (in *inbuf) settle() {
	switch {
	case in.large == nil && in.w == len(in.b) && len(in.b) == smallInput:
		in.grow() // it came faster than we read
	case in.r < in.w || in.large == nil:
	case in.quiet >= quietReads:
		in.shrink()
	case len(in.b) > largeInput:
		in.b = in.large[:]
		in.r, in.w = 0, 0
	}
}

// grow moves on to the large buffer, or to one twice as large.
func (in *inbuf) grow() {
	rest := in.data()
	if in.large == nil {
		in.large = largeInputs.Get().(*[largeInput]byte)
		in.quiet = 0
		in.b = in.large[:]
	} else {
		in.b = make([]byte, 2*len(in.b))
	}
	in.r, in.w = 0, copy(in.b, rest)
}

// shrink returns to the small buffer. There is nothing left in the large one.
func (in *inbuf) shrink() {
	in.b, in.r, in.w = in.small, 0, 0
	in.free()
}

// free gives the large buffer back.
func (in *inbuf) free() {
	if in.large != nil {
		largeInputs.Put(in.large)
		in.large = nil
	}
}
