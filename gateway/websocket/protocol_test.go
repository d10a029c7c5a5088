package websocket_test

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
)

// TestWhoBreaksTheProtocolIsTold sends frames that RFC 6455 forbids: each ends the connection with status 1002 (7.4.1), and the reader of the
// other side learns what was wrong.
func TestWhoBreaksTheProtocolIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		frames []byte
		err    string // a part of it
	}{
		"unmasked (5.1)":                  {[]byte{0x82, 2, 0xc0, 0}, "unmasked frame"},
		"unmasked, and empty":             {[]byte{0x82, 0}, "unmasked frame"},
		"unmasked in a message":           {[]byte{0x02, 0x80, 0, 0, 0, 0, 0x80, 1, 'x'}, "unmasked frame"},
		"an unmasked close frame":         {[]byte{0x88, 0}, "unmasked frame"},
		"a reserved bit (5.2)":            {[]byte{0xa2, 0x80, 0, 0, 0, 0}, "rsv bits"},
		"a reserved opcode (5.2)":         {[]byte{0x83, 0x80, 0, 0, 0, 0}, "unknown opcode"},
		"a negative length (5.2)":         {[]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}, "negative payload length"},
		"a fragmented ping (5.5)":         {[]byte{0x09, 0x80, 0, 0, 0, 0}, "fragmented control frame"},
		"a long ping (5.5)":               {[]byte{0x89, 0xfe, 0, 126, 0, 0, 0, 0}, "invalid length"},
		"a continuation of nothing (5.4)": {[]byte{0x80, 0x80, 0, 0, 0, 0}, "continuation frame"},
		"a message within another (5.4)":  {[]byte{0x02, 0x80, 0, 0, 0, 0, 0x82, 0x80, 0, 0, 0, 0}, "without finishing the previous"},
		"half a status (5.5.1)":           {[]byte{0x88, 0x81, 0, 0, 0, 0, 3}, "close payload"},
	} {
		t.Run(name, func(t *testing.T) {
			addr, result := serveOnce(t, paths)
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			if _, err := c.Write(append([]byte(handshake("/mqtt")), tt.frames...)); err != nil {
				t.Fatal(err)
			}
			if err := c.(*net.TCPConn).CloseWrite(); err != nil { // no answer to the close frame comes, and need not be waited for
				t.Fatal(err)
			}
			got := <-result
			if got.err != nil {
				t.Fatal(got.err)
			}
			defer cut(got.conn)
			if _, err := got.conn.Read(make([]byte, 10)); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("the reader gets %v, want it to say %q", err, tt.err)
			}
			_ = got.conn.Close()
			checkClose(t, c, coder.StatusProtocolError)
		})
	}
}

// checkClose expects one close frame behind the answer to the handshake, and the end of the connection.
func checkClose(t *testing.T, c net.Conn, want coder.StatusCode) {
	t.Helper()
	b, err := io.ReadAll(c)
	_, frame, found := strings.Cut(string(b), "\r\n\r\n")
	if err != nil || !found || len(frame) < 4 || frame[0] != 0x88 || int(frame[1]) != len(frame)-2 {
		t.Fatalf("got %q (%v), want a close frame", b, err)
	}
	if got := coder.StatusCode(binary.BigEndian.Uint16([]byte(frame[2:4]))); got != want {
		t.Errorf("the close frame has status %v, want %v", got, want)
	}
}
