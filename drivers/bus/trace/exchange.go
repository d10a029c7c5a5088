package trace

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Outcome says in a word how a conversation ended.
type Outcome string

// The outcomes. An answer is one that the framing has recognised: it may still be an exception of the device.
const (
	Answer    Outcome = "answer"    // a frame came that answers the request; also a broadcast that was sent
	Timeout   Outcome = "timeout"   // nothing came in time
	Garbage   Outcome = "garbage"   // something came in time, but no answer
	Damaged   Outcome = "damaged"   // the answer came, and its check sum was wrong
	Busy      Outcome = "busy"      // nothing was sent, because the line never fell silent
	Offline   Outcome = "offline"   // nothing was sent, because the port or connection was not open
	Lost      Outcome = "lost"      // the port or connection was lost after the request was sent, or closed because what came is no such protocol
	Cancelled Outcome = "cancelled" // the gateway ended the conversation, because it was told to stop
	Panic     Outcome = "panic"     // a mistake in the program, caught at the bus
)

// The bounds of what is kept of one conversation, which a line that is never silent would fill without end.
const (
	maxBytes  = 2048
	maxChunks = 512
)

// Exchange is one conversation on a bus.
type Exchange struct {
	Time     time.Time     // when it began: the silence before the request is a part of it
	Bus      string        // its name
	SentAt   time.Duration // offset of the request; 0 when nothing was sent
	Sent     []byte        // the request; nil when nothing was sent
	Received []Chunk       // in the order in which they came
	Cut      int           // bytes that were received and not kept
	Took     time.Duration
	Outcome  Outcome
	Error    string // in words; "" after an answer
	Dropped  uint64 // conversations before this one that are missing
}

// Chunk is what one read brought.
type Chunk struct {
	At    time.Duration // since the Exchange's Time
	Bytes []byte
}

// Receive appends a copy of what a read brought.
func (x *Exchange) Receive(at time.Duration, p []byte) {
	size := 0
	for _, c := range x.Received {
		size += len(c.Bytes)
	}
	if len(x.Received) == maxChunks || size+len(p) > maxBytes {
		x.Cut += len(p)
		return
	}
	x.Received = append(x.Received, Chunk{At: at, Bytes: append([]byte(nil), p...)})
}

// line is an Exchange as it is written.
type line struct {
	Time     time.Time   `json:"time,omitzero"`
	Bus      string      `json:"bus,omitempty"`
	SentUS   int64       `json:"sent_us,omitempty"`
	Sent     string      `json:"sent,omitempty"`
	Received []chunkLine `json:"received,omitempty"`
	Cut      int         `json:"cut,omitempty"`
	TookUS   int64       `json:"took_us,omitempty"`
	Outcome  Outcome     `json:"outcome"`
	Error    string      `json:"error,omitempty"`
	Dropped  uint64      `json:"dropped,omitempty"`
}

type chunkLine struct {
	US    int64  `json:"us"`
	Bytes string `json:"bytes"`
}

// AppendJSON appends the exchange as one line, its newline included.
func (x *Exchange) AppendJSON(b []byte) ([]byte, error) {
	l := line{
		SentUS: x.SentAt.Microseconds(), Sent: spaced(x.Sent), Cut: x.Cut, Bus: x.Bus,
		TookUS: x.Took.Microseconds(), Outcome: x.Outcome, Error: x.Error, Dropped: x.Dropped,
	}
	if !x.Time.IsZero() {
		l.Time = x.Time.UTC().Round(time.Microsecond)
	}
	for _, c := range x.Received {
		l.Received = append(l.Received, chunkLine{US: c.At.Microseconds(), Bytes: spaced(c.Bytes)})
	}
	text, err := json.Marshal(l)
	if err != nil {
		return b, fmt.Errorf("encode conversation: %w", err)
	}
	return append(append(b, text...), '\n'), nil
}

func spaced(p []byte) string { return fmt.Sprintf("% x", p) }

// maxLine is longer than any line that AppendJSON makes.
const maxLine = 64 << 10

// Read reads conversations until the end of r. Its errors name the line. A last line that does not end, as a power cut leaves it, is left out.
func Read(r io.Reader) ([]Exchange, error) {
	in := bufio.NewReaderSize(r, maxLine)
	var all []Exchange
	for number := 1; ; number++ {
		text, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read line %d of the trace: %w", number, err)
		}
		x, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("read line %d of the trace: %w", number, err)
		}
		all = append(all, x)
	}
}

func parse(text []byte) (Exchange, error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return Exchange{}, err
	}
	sent, err := bytesOf(l.Sent)
	if err != nil {
		return Exchange{}, fmt.Errorf("sent: %w", err)
	}
	x := Exchange{
		Time: l.Time, Bus: l.Bus, SentAt: micros(l.SentUS), Sent: sent, Cut: l.Cut, Took: micros(l.TookUS),
		Outcome: l.Outcome, Error: l.Error, Dropped: l.Dropped,
	}
	for _, c := range l.Received {
		p, err := bytesOf(c.Bytes)
		if err != nil {
			return Exchange{}, fmt.Errorf("received: %w", err)
		}
		x.Received = append(x.Received, Chunk{At: micros(c.US), Bytes: p})
	}
	return x, nil
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// bytesOf reads hexadecimal with spaces where one likes; nil for none.
func bytesOf(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	return hex.DecodeString(strings.ReplaceAll(s, " ", ""))
}
