package websocket

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// Bounds of a handshake. Browsers send about 1 KiB, with the cookies of the host behind that.
const (
	maxRequest  = 16 << 10    // bytes of the request line and the headers
	lingerTime  = time.Second // for the peer to read why it was refused
	lingerBytes = 64 << 10
	bufferSize  = 1 << 10 // of each direction, for as long as the connection lives
	maxShown    = 80      // bytes of what the peer sent that an error may show
)

// What comes first of peers that do not speak HTTP.
const (
	firstOfMQTT = 0x10 // CONNECT (MQTT 3.1.1, 2.2)
	firstOfTLS  = 0x16 // a handshake record (RFC 8446, 5.1)
)

// ServeOptions say which requests become WebSockets.
type ServeOptions struct {
	Paths []string // at which there is MQTT; others are not found
	AcceptOptions
}

// Serve makes a WebSocket for MQTT of a connection that was just accepted: it reads one HTTP request from raw and answers it. ctx, and the
// deadline that raw has, bound that. On an error the peer has been told the reason, as far as it would understand it; raw is left to the
// caller to close. The error is io.EOF when the peer has closed without a word.
//
// It does without an http.Server, whose buffers and goroutines would stay with each of thousands of connections.
func Serve(ctx context.Context, raw net.Conn, o ServeOptions) (net.Conn, error) {
	defer context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })()
	bounded := &boundedReader{r: raw, left: maxRequest}
	in := bufio.NewReaderSize(bounded, bufferSize)
	out := &answer{raw: raw, in: in, header: http.Header{}}
	r, err := request(in, bounded)
	if err == nil {
		r.RemoteAddr = raw.RemoteAddr().String()
		r = r.WithContext(context.WithValue(ctx, http.LocalAddrContextKey, raw.LocalAddr()))
		var c net.Conn
		if c, err = upgrade(out, r, o); err == nil {
			return c, nil
		}
	}
	out.refuse(err)
	return nil, err
}

// upgrade answers the request.
func upgrade(w http.ResponseWriter, r *http.Request, o ServeOptions) (net.Conn, error) {
	switch {
	case !slices.Contains(o.Paths, r.URL.Path):
		err := fmt.Errorf("there is no MQTT at the path %s, it is at %s", shown(r.URL.Path), strings.Join(o.Paths, " and "))
		http.Error(w, err.Error(), http.StatusNotFound)
		return nil, err
	case r.Header.Get("Upgrade") == "":
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "This is an MQTT broker, reached over WebSocket. There is no page to see here: point an MQTT client such as MQTT.js at "+
			"ws:// (or wss://), this host and port, and the path "+o.Paths[0]+".", http.StatusUpgradeRequired)
		return nil, fmt.Errorf("the client sent a plain HTTP request, %s %s: a browser shows no page here, only an MQTT client connects", shown(r.Method), shown(r.URL.Path))
	}
	return Accept(w, r, o.AcceptOptions)
}

// boundedReader reads what a request may have, and keeps why it ended: http.ReadRequest makes a malformed request of any end.
type boundedReader struct {
	r    io.Reader
	left int
	err  error
}

var errTooLong = fmt.Errorf("the HTTP request has more than %d KiB of headers", maxRequest>>10)

// Read implements io.Reader.
func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left == 0 {
		b.err = errTooLong
		return 0, b.err
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	b.err = err
	return n, err
}

// request reads a request and says what came instead of one.
func request(in *bufio.Reader, from *boundedReader) (*http.Request, error) {
	first, err := in.Peek(1)
	switch {
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case err != nil:
		return nil, unread("nothing came", err)
	case first[0] == firstOfMQTT:
		return nil, errors.New("the client speaks MQTT without WebSocket: it must use a ws:// URL, or the port of another listener")
	case first[0] == firstOfTLS:
		return nil, errors.New("the client speaks TLS, and this listener is without: it must use ws:// and not wss://, or the listener be given tls")
	}
	r, err := http.ReadRequest(in)
	switch {
	case err == nil:
		return r, nil
	case errors.Is(from.err, errTooLong):
		return nil, &statusError{http.StatusRequestHeaderFieldsTooLarge, errTooLong}
	case errors.Is(from.err, io.EOF):
		return nil, errors.New("the client closed the connection in the middle of its HTTP request")
	case from.err != nil:
		return nil, unread("the HTTP request did not come to its end", from.err)
	}
	return nil, &statusError{http.StatusBadRequest, fmt.Errorf("what came is no HTTP request: %s", shown(err.Error()))}
}

func unread(what string, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%s within the connect timeout: %w", what, os.ErrDeadlineExceeded)
	}
	return fmt.Errorf("read HTTP request: %w", err)
}

// shown is what a peer sent, made fit for a message.
func shown(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxShown)], "?")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// statusError is a reason that the peer can be told in HTTP.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }

func (e *statusError) Unwrap() error { return e.err }

// answer is the response to the one request of a connection.
type answer struct {
	raw    net.Conn
	in     *bufio.Reader
	header http.Header
	text   []byte // what is to be sent
}

// Header returns the headers that WriteHeader sends.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader begins the response. Only the first call counts.
func (a *answer) WriteHeader(status int) {
	if a.text != nil {
		return
	}
	if status != http.StatusSwitchingProtocols {
		a.header.Set("Connection", "close")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = a.header.Write(&b) // to memory
	a.text = append([]byte(b.String()), "\r\n"...)
}

// Write adds to the body.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.text = append(a.text, p...)
	return len(p), nil
}

// Hijack sends the response and hands out the connection, without the bound of the request.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := a.send(); err != nil {
		return nil, nil, err
	}
	return a.raw, bufio.NewReadWriter(a.in, bufio.NewWriterSize(a.raw, bufferSize)), nil
}

func (a *answer) send() error {
	_, err := a.raw.Write(a.text)
	return err
}

// refuse tells the peer why there is no WebSocket, and reads on for a moment: closing with input unread would reset the connection, and the
// peer might never see the answer.
func (a *answer) refuse(err error) {
	var known *statusError
	if a.text == nil && errors.As(err, &known) {
		http.Error(a, known.Error(), known.status)
	}
	if a.text == nil || a.raw.SetDeadline(time.Now().Add(lingerTime)) != nil || a.send() != nil {
		return
	}
	if half, ok := a.raw.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(a.raw, lingerBytes)) // whatever ends it, the caller closes next
	}
}
