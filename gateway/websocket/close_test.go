package websocket_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway/websocket"
)

// TestCloseOfADeadPeer closes towards a peer that takes what is sent and answers nothing, by a clock of its own: a gateway that changes
// its server must not wait for the dead one.
func TestCloseOfADeadPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		go upgradeAndIgnore(theirs)
		c, err := websocket.Client(t.Context(), ours, &url.URL{Scheme: "ws", Host: "broker", Path: "/mqtt"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("Close took %v, want the second that it gives the peer", took)
		}
	})
}

// upgradeAndIgnore answers the handshake (RFC 6455, 4.2.2) and then only reads.
func upgradeAndIgnore(c net.Conn) {
	defer c.Close()
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	_, _ = io.Copy(io.Discard, c)
}
