package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// BufferReader looks into a buffer and changes nothing. Each method may be called from any goroutine, ends early with an error when ctx
// ends, and does not hold up the gateway.
type BufferReader interface {
	// Overview returns a snapshot with all queues.
	Overview(ctx context.Context) (gateway.BufferStats, error)
	// Scan calls fn with each delivery of the queue of that name behind the position after, in order. It ends with fn's first error.
	Scan(ctx context.Context, queue string, after uint64, fn func(gateway.Delivery) error) error
	// Verify reads everything and checks it. progress, which may be nil, is told now and then how much of the work is done.
	Verify(ctx context.Context, progress func(done, total int64)) (gateway.Verdict, error)
	// Dead calls fn with each record that was set aside, the oldest first. It ends with fn's first error.
	Dead(ctx context.Context, fn func(gateway.DeadRecord) error) error
}

// Buffer looks into a buffer and gives up or takes back what is in it. What a method has done is committed when it returns.
type Buffer interface {
	BufferReader
	// Purge gives up the deliveries of a queue through that position, 0 for all of them, and returns how many there were.
	Purge(ctx context.Context, queue string, through uint64) (uint64, error)
	// DropDead deletes records that were set aside, by their numbers, and returns how many there were.
	DropDead(ctx context.Context, n ...int64) (int64, error)
	// RetryDead puts records that were set aside behind the end of the queue that they came from, and returns how many.
	RetryDead(ctx context.Context, n ...int64) (int64, error)
}

// ControlOptions are what a ControlServer needs to know.
type ControlOptions struct {
	Buffer    Buffer
	Snapshots Snapshots
	Version   string
	GatewayID string
	Logger    *slog.Logger // nil: nowhere
}

// ControlServer answers the command line of the same machine: HTTP on a unix socket, see [ListenControl]. Whoever may open the socket may
// do everything; there is no other authentication.
//
//	GET  /v1/status                          what the gateway is doing
//	GET  /v1/buffer/stats                    BufferStats
//	GET  /v1/buffer/scan?queue=&after=&limit=  lines: {"delivery":{...}}
//	GET  /v1/buffer/verify                   lines: {"progress":{"done":1,"total":2}}, at the end {"verdict":{...}}
//	POST /v1/buffer/purge                    {"queue":"upstream/cloud","through":0} -> {"count":17}
//	GET  /v1/buffer/dead                     lines: {"dead":{...}}
//	POST /v1/buffer/dead/drop, .../retry     {"numbers":[1,2]} -> {"count":2}
//
// Lines are JSON, one value in each. The last is {"end":true}, or {"error":"..."} when something went wrong on the way: an answer without
// either was cut off. An error before the first line has an HTTP status of its own and the same body. A record is the base64 of its
// stored form (payload.AppendRecord), so that nothing of it gets lost; [Client] is the other end.
type ControlServer struct {
	opts    ControlOptions
	started time.Time
	long    chan struct{} // holds one token for each long answer under way
	handler http.Handler
}

// Bounds on the clients of the socket, which are trusted but may hang.
const (
	controlBody  = 1 << 20          // bytes of a request
	bodyTimeout  = 10 * time.Second // for a request to arrive
	stallTimeout = 30 * time.Second // for a client to take what was written
	longAnswers  = 4                // scans and checks at the same time
)

// NewControl returns a server that answers nothing until Serve is called.
func NewControl(o ControlOptions) *ControlServer {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &ControlServer{opts: o, started: time.Now(), long: make(chan struct{}, longAnswers)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", s.status)
	mux.HandleFunc("GET /v1/buffer/stats", s.bufferStats)
	mux.HandleFunc("GET /v1/buffer/scan", s.scan)
	mux.HandleFunc("GET /v1/buffer/verify", s.verify)
	mux.HandleFunc("GET /v1/buffer/dead", s.dead)
	mux.HandleFunc("POST /v1/buffer/purge", s.purge)
	mux.HandleFunc("POST /v1/buffer/dead/drop", s.numbered(o.Buffer.DropDead))
	mux.HandleFunc("POST /v1/buffer/dead/retry", s.numbered(o.Buffer.RetryDead))
	s.handler = mux
	return s
}

// Handler returns the routes, for tests.
func (s *ControlServer) Handler() http.Handler { return s.handler }

// Serve answers on l until ctx ends, which also ends the answers under way, and closes l.
func (s *ControlServer) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(s.opts.Logger.Handler(), slog.LevelDebug),
	}
	return serve(ctx, srv, l)
}

// answer writes v as the whole answer.
func (s *ControlServer) answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(stallTimeout)) // not every writer has one
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.opts.Logger.Debug("answer on the control socket was not taken", "error", err)
	}
}

// refuse answers with an error.
func (s *ControlServer) refuse(w http.ResponseWriter, code int, err error) {
	s.answer(w, code, line{Error: err.Error()})
}

// request reads the body of r into v. On an error it has answered.
func (s *ControlServer) request(w http.ResponseWriter, r *http.Request, v any) bool {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }() // the handler may take longer
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, controlBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		code := http.StatusBadRequest
		if errors.As(err, new(*http.MaxBytesError)) {
			code = http.StatusRequestEntityTooLarge
		}
		s.refuse(w, code, fmt.Errorf("read the request: %w", err))
		return false
	}
	return true
}
