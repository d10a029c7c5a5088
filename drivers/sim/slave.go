package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// broadcastUnit is the unit id of a request to all (Modbus over Serial Line V1.02, section 2.2).
const broadcastUnit = 0

// SlaveOptions say how a [Slave] behaves; the zero value is an unpaced line that forgives everything.
type SlaveOptions struct {
	Line       Line          // speed and character format
	Processing time.Duration // from the end of the silence behind a request to the first character of its answer
	StrictGap  bool          // ignore requests that begin sooner than t3.5 after an answer, instead of only counting them
	// Ask leads to devices that are not simulated, and answer in place of the units. It is given each whole frame, from the unit to the CRC, after the silence
	// behind it, and returns the frame that answers it, empty for none, whose first character then starts. The line waits meanwhile; nil for no such devices.
	Ask func(frame []byte) (answer []byte)
	Log *slog.Logger // nil: none
}

// LineStats counts what happened on a line since its [Slave] was made.
type LineStats struct {
	Frames        uint64 // whole frames with a right CRC, to whatever unit
	BadFrames     uint64 // what was no frame, or had a wrong CRC
	GapViolations uint64 // frames that began sooner than t3.5 after an answer, or in the middle of it
	LostBytes     uint64 // bytes of answers that the pty had no room for, because nobody reads them
}

// Slave serves units as RTU slaves on one line. All units of the line belong to one Slave, as all share its time.
// Requests to units that it does not have are not answered; requests to unit 0 are carried out by all.
type Slave struct {
	port  linePort
	units map[byte]*Unit
	opts  SlaveOptions
	log   *slog.Logger
	pacer *pacer           // belongs to Run
	late  gateway.Lateness // of the waits of Run

	mu       sync.Mutex
	stats    LineStats
	answered time.Time // see Answered
}

// linePort is the slaves' end of a line: a [PTY], or a fake in tests.
type linePort interface {
	// readUntil waits for bytes, but not longer than until the deadline (zero: without end), for which it returns 0 and no error.
	// It fails with errStopped after stop.
	readUntil(p []byte, deadline time.Time) (int, error)
	// write hands over what there is room for, without waiting.
	write(p []byte) (int, error)
	// stop ends the wait of a readUntil, now or the next; clear takes that back.
	stop()
	clear()
}

// errStopped ends a read that the context of Run has ended.
var errStopped = errors.New("stopped")

// NewSlave makes the slaves of a line. The units map must not be changed afterwards. The pty stays the caller's to close,
// after Run has returned.
func NewSlave(pty *PTY, units map[byte]*Unit, opts SlaveOptions) *Slave {
	return newSlave(pty, units, opts)
}

func newSlave(port linePort, units map[byte]*Unit, opts SlaveOptions) *Slave {
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Slave{port: port, units: units, opts: opts, log: log, pacer: newPacer(opts.Line)}
}

// Run serves until the context ends, and then returns nil. It fails when the pty does. It occupies an operating system
// thread, because Go's own timers are up to a millisecond late, which is ten characters at 115200 baud. It may be called
// again after it has returned, but not twice at once.
func (s *Slave) Run(ctx context.Context) error {
	defer sharpenTimers()()
	s.port.clear()
	defer context.AfterFunc(ctx, s.port.stop)()

	var buf [2 * maxFrame]byte
	for {
		n, err := s.await(buf[:], s.pacer.next())
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errStopped) { // by a Run before this one
			s.port.clear()
			continue
		}
		if err != nil {
			return fmt.Errorf("read from pty: %w", err)
		}
		now := time.Now()
		for _, frame := range s.pacer.receive(now, buf[:n]) {
			s.handle(frame)
		}
		if err := s.transmit(now); err != nil {
			return err
		}
	}
}

// Stats returns the counters.
func (s *Slave) Stats() LineStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Answered tells when the last character of the newest answer was handed over to the master; the zero time if there was none.
func (s *Slave) Answered() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered
}

// transmit hands over the characters that are due.
func (s *Slave) transmit(now time.Time) error {
	chunk := s.pacer.due(now)
	if len(chunk) == 0 {
		return nil
	}
	if s.pacer.txEnd.Equal(now) {
		s.mu.Lock()
		s.answered = now
		s.mu.Unlock()
	}
	n, err := s.port.write(chunk)
	if err != nil {
		return fmt.Errorf("write to pty: %w", err)
	}
	s.count(&s.stats.LostBytes, len(chunk)-n)
	return nil
}

// handle plays the slaves for one frame.
func (s *Slave) handle(f received) {
	if f.early {
		s.count(&s.stats.GapViolations, 1)
		s.log.Debug("request begun within t3.5 of the answer before it", "silence", s.opts.Line.T35(), "ignored", s.opts.StrictGap)
		if s.opts.StrictGap {
			return
		}
	}
	if !validFrame(f.data) {
		s.count(&s.stats.BadFrames, 1)
		s.log.Debug("no frame or wrong CRC", "bytes", fmt.Sprintf("% x", f.data))
		return
	}
	s.count(&s.stats.Frames, 1)
	if s.opts.Ask != nil {
		answer := s.opts.Ask(f.data)
		s.pacer.send(time.Now(), []piece{{data: answer}})
		return
	}
	s.answer(f.data[0], f.data[1:len(f.data)-2], f.end)
}

// answer lets the unit answer, as early as it can after the end of the silence.
func (s *Slave) answer(id byte, pdu []byte, end time.Time) {
	if id == broadcastUnit {
		for _, u := range s.units {
			u.broadcast(pdu)
		}
		return
	}
	if u, ok := s.units[id]; ok {
		s.pacer.send(end.Add(s.opts.Processing), u.handle(pdu).rtuPieces(id))
	}
}

func (s *Slave) count(counter *uint64, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*counter += uint64(n)
}
