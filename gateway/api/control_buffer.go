package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// errEnough ends a scan that has given as many deliveries as were asked for.
var errEnough = errors.New("as many as were asked for")

// progressEvery is how often a client hears how far a check is.
const progressEvery = 100 * time.Millisecond

func (s *ControlServer) bufferStats(w http.ResponseWriter, r *http.Request) {
	stats, err := s.opts.Buffer.Overview(r.Context())
	if err != nil {
		s.refuse(w, http.StatusInternalServerError, err)
		return
	}
	s.answer(w, http.StatusOK, newBufferDoc(stats))
}

func (s *ControlServer) scan(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	after, err1 := number(query.Get("after"))
	limit, err2 := number(query.Get("limit"))
	if err := errors.Join(err1, err2); err != nil {
		s.refuse(w, http.StatusBadRequest, err)
		return
	}
	s.stream(w, func(out *stream) error {
		left := limit
		err := s.opts.Buffer.Scan(r.Context(), query.Get("queue"), after, func(d gateway.Delivery) error {
			if err := out.put(line{Delivery: newDelivery(d)}); err != nil {
				return err
			}
			if left--; left == 0 { // a limit of 0 is none: it wraps and never comes back to 0
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		return err
	})
}

// number parses a parameter that may be missing.
func number(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	return strconv.ParseUint(text, 10, 64)
}

func (s *ControlServer) verify(w http.ResponseWriter, r *http.Request) {
	s.stream(w, func(out *stream) error {
		var told time.Time
		v, err := s.opts.Buffer.Verify(r.Context(), func(done, total int64) {
			if now := time.Now(); done == total || now.Sub(told) >= progressEvery {
				told = now
				_ = out.put(line{Progress: &progress{done, total}}) // the next put fails too
				_ = out.flush()
			}
		})
		if err != nil {
			return err
		}
		return out.put(line{Verdict: (*verdict)(&v)})
	})
}

func (s *ControlServer) dead(w http.ResponseWriter, r *http.Request) {
	s.stream(w, func(out *stream) error {
		return s.opts.Buffer.Dead(r.Context(), func(d gateway.DeadRecord) error {
			return out.put(line{Dead: newDead(d)})
		})
	})
}

func (s *ControlServer) purge(w http.ResponseWriter, r *http.Request) {
	var req purgeRequest
	if !s.request(w, r, &req) {
		return
	}
	n, err := s.opts.Buffer.Purge(r.Context(), req.Queue, req.Through)
	if err != nil {
		s.refuse(w, http.StatusInternalServerError, err)
		return
	}
	s.opts.Logger.Warn("deliveries were purged by command", "queue", req.Queue, "through", req.Through, "count", n)
	s.answer(w, http.StatusOK, countAnswer{n})
}

// numbered answers a request that does something with records that were set aside.
func (s *ControlServer) numbered(do func(context.Context, ...int64) (int64, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req numbersRequest
		if !s.request(w, r, &req) {
			return
		}
		if len(req.Numbers) == 0 {
			s.refuse(w, http.StatusBadRequest, errors.New("no numbers are given"))
			return
		}
		n, err := do(r.Context(), req.Numbers...)
		if err != nil {
			s.refuse(w, http.StatusInternalServerError, err)
			return
		}
		s.answer(w, http.StatusOK, countAnswer{uint64(n)})
	}
}

// stream answers with lines that fill writes, and ends them. Only a few are written at a time: they read the disk.
func (s *ControlServer) stream(w http.ResponseWriter, fill func(*stream) error) {
	select {
	case s.long <- struct{}{}:
		defer func() { <-s.long }()
	default:
		s.refuse(w, http.StatusServiceUnavailable, fmt.Errorf("%d long answers are under way already, try again when one has ended", longAnswers))
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	out := &stream{rc: http.NewResponseController(w), w: w}
	out.buf = bufio.NewWriterSize(out, 32<<10)
	out.enc = json.NewEncoder(out.buf)
	last := line{End: true}
	if err := fill(out); err != nil {
		last = line{Error: err.Error()}
	}
	if err := errors.Join(out.put(last), out.flush()); err != nil {
		s.opts.Logger.Debug("answer on the control socket was not taken", "error", err)
	}
}

// stream writes lines. A client has stallTimeout to take what is written at a time, however long the answer is.
type stream struct {
	rc  *http.ResponseController
	w   http.ResponseWriter
	buf *bufio.Writer
	enc *json.Encoder
}

func (s *stream) put(l line) error { return s.enc.Encode(l) }

// Write implements io.Writer for buf.
func (s *stream) Write(b []byte) (int, error) {
	_ = s.rc.SetWriteDeadline(time.Now().Add(stallTimeout)) // not every writer has one
	return s.w.Write(b)
}

func (s *stream) flush() error {
	if err := s.buf.Flush(); err != nil {
		return err
	}
	return s.rc.Flush()
}
