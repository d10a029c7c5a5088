package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// readSize is how many bytes a read asks for at least.
const readSize = 4096

// reader cuts a connection into frames.
type reader struct {
	nc      net.Conn
	buf     []byte        // read and not yet cut
	limit   int           // bytes of a packet; 0: none
	silence time.Duration // of the server that is the end; 0: any is fine
}

// next returns the next frame, whose body is nobody else's.
func (r *reader) next() (packet.Frame, error) {
	for {
		f, n, err := packet.NextFrame(r.buf, r.limit)
		if err != nil {
			return f, err
		}
		if n > 0 {
			f.Body = bytes.Clone(f.Body)
			r.buf = r.buf[n:]
			return f, nil
		}
		if err := r.fill(); err != nil {
			return f, err
		}
	}
}

// fill reads once. The deadline counts only while we read: a program that takes no messages holds up the answers to its own pings.
func (r *reader) fill() error {
	if r.silence > 0 {
		if err := r.nc.SetReadDeadline(time.Now().Add(r.silence)); err != nil {
			return err
		}
	}
	r.buf = slices.Grow(r.buf, readSize)
	n, err := r.nc.Read(r.buf[len(r.buf):cap(r.buf)])
	r.buf = r.buf[:len(r.buf)+n]
	switch {
	case n > 0:
		return nil
	case errors.Is(err, io.EOF):
		return ErrLost
	case errors.Is(err, os.ErrDeadlineExceeded) && r.silence > 0:
		return fmt.Errorf("the server has been silent for %v, although it was pinged: %w", r.silence, err)
	}
	return err
}

// isHTTP tells whether what was read is an answer of a web server, which as MQTT is a frame of nonsense, f, or the beginning of one.
func (r *reader) isHTTP(f packet.Frame) bool {
	if f.First == 'H' {
		return bytes.HasPrefix(f.Body, []byte("TP/")) // its second T was taken for a length
	}
	return bytes.HasPrefix(r.buf, []byte("HTTP/"))
}
