package app_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// wsPeer is a client that decides for itself which bytes go into which frame.
type wsPeer struct {
	t   testing.TB
	ctx context.Context
	c   *coder.Conn
}

// dialWS opens a WebSocket at a listener of s, over TLS if the URL's scheme says so.
func (s *site) dialWS(scheme string, i int) *wsPeer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.t.Cleanup(cancel)
	trust := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.pool()}}}
	c, _, err := coder.Dial(ctx, scheme+"://localhost:"+s.port(i)+"/mqtt", &coder.DialOptions{Subprotocols: []string{"mqtt"}, HTTPClient: trust})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.CloseNow() })
	return &wsPeer{s.t, ctx, c}
}

func (p *wsPeer) frame(b []byte) {
	p.t.Helper()
	if err := p.c.Write(p.ctx, coder.MessageBinary, b); err != nil {
		p.t.Fatal(err)
	}
}

// expect reads frames until it has these bytes.
func (p *wsPeer) expect(want []byte) {
	p.t.Helper()
	var got []byte
	for len(got) < len(want) {
		kind, b, err := p.c.Read(p.ctx)
		if err != nil || kind != coder.MessageBinary {
			p.t.Fatalf("got % x, then %v %v", got, kind, err)
		}
		got = append(got, b...)
	}
	if string(got) != string(want) {
		p.t.Fatalf("got % x, want % x", got, want)
	}
}

// ends waits for the end of the connection and returns the status of the close frame, -1 for none.
func (p *wsPeer) ends() coder.StatusCode {
	p.t.Helper()
	for {
		if _, _, err := p.c.Read(p.ctx); err != nil {
			if p.ctx.Err() != nil {
				p.t.Fatal("the connection is still open")
			}
			return coder.CloseStatus(err)
		}
	}
}

func connectBytes(id string, keepAlive uint16) []byte {
	p := packet.Connect{Version: packet.V311, ClientID: id, CleanStart: true, KeepAlive: keepAlive}
	return p.Append(nil, packet.V311)
}

func publishBytes(topic string, payload []byte) []byte {
	p := packet.Publish{Topic: []byte(topic), Payload: payload}
	return p.Append(nil, packet.V311)
}

func subscribeBytes(filter string, id uint16) []byte {
	p := packet.Subscribe{ID: id, Subscriptions: []packet.Subscription{{Filter: filter}}}
	return p.Append(nil, packet.V311)
}

// TestPacketsAndFramesHaveTheirOwnBoundaries sends each byte in a frame of its own, and then all packets in one, over both kinds of
// WebSockets.
func TestPacketsAndFramesHaveTheirOwnBoundaries(t *testing.T) {
	s := startSite(t, allKinds)
	payload := []byte(strings.Repeat("frames ", 30))
	all := append(connectBytes("c", 60), subscribeBytes("a/#", 1)...)
	all = append(all, publishBytes("a/b", payload)...)
	want := append([]byte{0x20, 2, 0, 0, 0x90, 3, 0, 1, 0}, publishBytes("a/b", payload)...)
	for i, scheme := range []string{"ws", "wss"} {
		t.Run("MQTT-6.0.0-2 over "+scheme, func(t *testing.T) {
			peer := s.dialWS(scheme, 2+i)
			for k := range all {
				peer.frame(all[k : k+1])
			}
			peer.expect(want)
			again := s.dialWS(scheme, 2+i) // and takes over
			again.frame(all)
			again.expect(want)
			peer.ends()
		})
	}
}

func TestTextFrameIsRefused(t *testing.T) {
	s := startSite(t, allKinds)
	peer := s.dialWS("ws", 2)
	if err := peer.c.Write(peer.ctx, coder.MessageText, connectBytes("c", 60)); err != nil {
		t.Fatal(err)
	}
	if got := peer.ends(); got != coder.StatusUnsupportedData {
		t.Errorf("the connection ends with status %v", got)
	}
	s.logged("the peer sent a text message")
}

// TestClosesAreUnderstood ends WebSockets from both sides: each ends with a close frame.
func TestClosesAreUnderstood(t *testing.T) {
	s := startSite(t, allKinds)
	ours := s.dialWS("ws", 2)
	ours.frame(connectBytes("ours", 60))
	ours.expect([]byte{0x20, 2, 0, 0})
	if err := ours.c.Close(coder.StatusNormalClosure, ""); err != nil {
		t.Errorf("close by the client: %v", err)
	}
	s.logged("client=ours", "without DISCONNECT")
	theirs := s.dialWS("ws", 2)
	theirs.frame(append(connectBytes("theirs", 60), 0xe0, 0)) // DISCONNECT
	if got := theirs.ends(); got != coder.StatusNormalClosure {
		t.Errorf("after DISCONNECT the connection ends with status %v", got)
	}
}

// TestKeepAliveOverWebSocket leaves a client silent, as one whose machine has lost its power is.
func TestKeepAliveOverWebSocket(t *testing.T) {
	s := startSite(t, allKinds)
	for i, scheme := range []string{"ws", "wss"} {
		peer := s.dialWS(scheme, 2+i)
		peer.frame(connectBytes("silent-"+scheme, 1))
		peer.expect([]byte{0x20, 2, 0, 0})
		s.logged("client=silent-"+scheme, "one and a half times the keep alive")
	}
}

// TestWhoComesToTheWrongPort is told in the log which port it is, and a browser sees a sentence.
func TestWhoComesToTheWrongPort(t *testing.T) {
	const mqtt, mqtts, ws, wss = 0, 1, 2, 3
	hello := func(_ *site, addr string) (from string) { // the first message of TLS
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		_ = tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake()
		return c.LocalAddr().String()
	}
	get := "GET /mqtt HTTP/1.1\r\nHost: gateway\r\nUser-Agent: a browser that says what it is\r\nAccept: */*\r\n\r\n"
	for name, tt := range map[string]struct {
		listener int
		come     func(s *site, addr string) (from string)
		log      string
	}{
		"TLS to mqtt":        {mqtt, hello, "this looks like TLS"},
		"HTTP to mqtt":       {mqtt, func(s *site, a string) string { return s.say(a, get) }, "this looks like HTTP"},
		"a short request":    {mqtt, func(s *site, a string) string { return s.say(a, "GET / HTTP/1.1\r\n\r\n") }, "this looks like HTTP"},
		"MQTT to mqtts":      {mqtts, func(s *site, a string) string { return s.say(a, string(connectBytes("c", 60))) }, "speaks MQTT without TLS"},
		"HTTP to wss":        {wss, func(s *site, a string) string { return s.say(a, get) }, "it must use wss:// and not ws://"},
		"MQTT to ws":         {ws, func(s *site, a string) string { return s.say(a, string(connectBytes("c", 60))) }, "speaks MQTT without WebSocket"},
		"TLS to ws":          {ws, hello, "it must use ws:// and not wss://"},
		"a browser to ws":    {ws, func(s *site, a string) string { return s.say(a, get) }, "a browser shows no page here"},
		"another path of ws": {ws, func(s *site, a string) string { return s.say(a, strings.Replace(get, "/mqtt", "/live", 1)) }, "no MQTT at the path /live"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSite(t, allKinds) // one each: the same from one address is told once a minute
			from := tt.come(s, s.addr(tt.listener))
			s.logged("level=WARN", "remote="+from, tt.log)
		})
	}
}

// say sends a text, reads what comes until the connection ends, and returns the client's own address.
func (s *site) say(addr, text string) (from string) {
	s.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, text)
	r := bufio.NewReader(c)
	if answer, err := http.ReadResponse(r, nil); err == nil {
		_, _ = io.Copy(io.Discard, answer.Body) // a client of HTTP closes when it has its answer
		return c.LocalAddr().String()
	}
	_, _ = io.Copy(io.Discard, r)
	return c.LocalAddr().String()
}

// TestPagesOfOtherHosts may connect where a password is asked for, and not where anybody is let in.
func TestPagesOfOtherHosts(t *testing.T) {
	const listeners = `
[broker]
password_file = "passwords"
[[broker.listener]]
address = "PORT"
protocol = "websocket"
allow_anonymous = true
[[broker.listener]]
address = "PORT"
protocol = "websocket"
[[broker.listener]]
address = "PORT"
protocol = "websocket"
allow_anonymous = true
origins = ["*.example.com"]
`
	s := startSiteWith(t, listeners, map[string]string{"passwords": "ann:$7$101$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n"})
	for name, tt := range map[string]struct {
		listener int
		origin   string
		want     bool
	}{
		"none, anonymous":            {0, "", true},
		"this machine, anonymous":    {0, "http://localhost:8080", true},
		"elsewhere, anonymous":       {0, "https://evil.example", false},
		"a name for this, anonymous": {0, "http://localhost.evil.example:8080", false},
		"a file, anonymous":          {0, "null", false},
		"elsewhere, password":        {1, "https://panel.example", true},
		"named":                      {2, "https://panel.example.com", true},
		"not named":                  {2, "https://panel.example.org", false},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			if tt.origin != "" {
				header.Set("Origin", tt.origin)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c, answer, err := coder.Dial(ctx, "ws://"+s.addr(tt.listener)+"/", &coder.DialOptions{HTTPHeader: header})
			if err == nil {
				_ = c.CloseNow()
			}
			if (err == nil) != tt.want || err != nil && answer.StatusCode != http.StatusForbidden {
				t.Errorf("got %v", err)
			}
		})
	}
}
