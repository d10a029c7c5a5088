package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/coder/websocket"
)

// maxRefusal is how much of the page that a server sends instead of a WebSocket is told in the error, in bytes.
const maxRefusal = 200

// Client makes a WebSocket for MQTT of the connection raw, over which nothing has been sent yet, by asking the server for u. The scheme of u,
// ws or wss, only tells which port goes without saying: for wss the caller has done the TLS handshake. header is sent along; it may be nil.
// When it fails, raw is closed. ctx bounds the handshake only.
func Client(ctx context.Context, raw net.Conn, u *url.URL, header http.Header) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	ws, answer, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: overConn(raw), CheckRedirect: stay},
		HTTPHeader:   header,
		Subprotocols: []string{subprotocol},
	})
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil && ws.Subprotocol() != subprotocol {
		err = fmt.Errorf("the server did not choose the sub-protocol %q: it is a WebSocket, but not one for MQTT; check the path %q", subprotocol, u.Path)
	}
	if err != nil {
		raw.Close()
		return nil, refusal(ctx, u, answer, err)
	}
	return newConn(ws, raw, nil), nil
}

// overConn returns a transport whose only connection is raw.
func overConn(raw net.Conn) *http.Transport {
	open := func(context.Context, string, string) (net.Conn, error) { return raw, nil }
	return &http.Transport{DialContext: open, DialTLSContext: open, DisableKeepAlives: true}
}

// stay refuses redirects: they would be followed over the same connection, to a server that did not send them.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// refusal explains why there is no WebSocket.
func refusal(ctx context.Context, u *url.URL, answer *http.Response, err error) error {
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("no answer: %w", context.Cause(ctx))
	case answer == nil:
		var request *url.Error // its text repeats method and URL
		if errors.As(err, &request) {
			err = request.Err
		}
	case answer.StatusCode == http.StatusSwitchingProtocols:
	default:
		err = errors.New("the server answered " + told(answer) + hint(answer.StatusCode))
	}
	return fmt.Errorf("open websocket %s: %w", u.Redacted(), err)
}

// told returns the status line of an answer and the beginning of its text.
func told(answer *http.Response) string {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxRefusal))
	line := strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "")), " ")
	if line == "" || strings.HasPrefix(line, "<") { // nobody reads a page in a log
		return answer.Status
	}
	return answer.Status + ": " + line
}

func hint(status int) string {
	switch {
	case status == http.StatusNotFound:
		return "; the path is probably another one: /mqtt is usual, some have /ws or /"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "; it asks for other credentials, or forbids this origin or path"
	case status >= 300 && status < 400:
		return "; it sends the client elsewhere: put that address into servers"
	case status >= 500:
		return "; the server behind it is out of order for now"
	case status == http.StatusOK:
		return "; it is a web server, but no WebSocket: check port and path"
	}
	return ""
}
