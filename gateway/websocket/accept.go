package websocket

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// AcceptOptions say whose requests are accepted.
type AcceptOptions struct {
	// Origins are the hosts, path.Match patterns such as "*.example.com", whose pages may connect, beside the pages on any port of the host
	// that the request is for. A port other than the scheme's own belongs to the pattern, and "https://" may stand before it. "*" allows all
	// pages. A request without an Origin header comes from no page and is always allowed.
	Origins []string
}

// Accept makes a WebSocket for MQTT of a request. On an error it has answered the request with the reason.
func Accept(w http.ResponseWriter, r *http.Request, o AcceptOptions) (net.Conn, error) {
	if err := checkSubprotocol(r); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return nil, err
	}
	if err := checkOrigin(r, o.Origins); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return nil, err
	}
	h := &hijacker{ResponseWriter: w}
	ws, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol, subprotocol31},
		InsecureSkipVerify: true, // the origin was checked
	})
	if err != nil {
		return nil, fmt.Errorf("accept websocket: %w", errors.Unwrap(err))
	}
	return newConn(ws, h.raw, h.out), nil
}

// checkSubprotocol refuses a client that asks for something else than MQTT. One that asks for nothing is let in: small clients forget it.
func checkSubprotocol(r *http.Request) error {
	asked := strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ",")
	if asked == "" {
		return nil
	}
	for name := range strings.SplitSeq(asked, ",") {
		if name = strings.TrimSpace(name); strings.EqualFold(name, subprotocol) || strings.EqualFold(name, subprotocol31) {
			return nil
		}
	}
	return fmt.Errorf("the client asks for the WebSocket sub-protocol %s; here is %q", shown(asked), subprotocol)
}

// hijacker keeps the connection that is taken over, for its deadlines and addresses, and gets between it and what is written.
type hijacker struct {
	http.ResponseWriter
	raw net.Conn
	out *gatherer
}

// Hijack takes the connection over from the HTTP server.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	raw, buf, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err == nil {
		err = buf.Flush()
	}
	if err != nil {
		return nil, nil, err
	}
	h.raw, h.out = raw, &gatherer{raw: raw}
	buf.Writer.Reset(h.out)
	return raw, buf, nil
}
