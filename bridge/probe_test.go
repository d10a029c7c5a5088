package bridge

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/tidegate/tidegate/bridge/transport"
	"github.com/tidegate/tidegate/bridge/transport/transporttest"
	"github.com/tidegate/tidegate/gateway/websocket"
)

// walk returns the names of the steps, such as "dns tcp connect!" where CONNECT failed.
func walk(steps []Step) string {
	var marks []string
	for _, s := range steps {
		if s.OK {
			marks = append(marks, s.Name)
		} else {
			marks = append(marks, s.Name+"!")
		}
	}
	return strings.Join(marks, " ")
}

// probeSteps runs Probe with the real transport, unless the options bring another one.
func probeSteps(t *testing.T, server string, o ProbeOptions, topts transport.Options) []Step {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	if o.Dial == nil {
		tr, err := transport.New(topts)
		if err != nil {
			t.Fatal(err)
		}
		o.Dial, o.Proxy = tr.Dial, topts.Proxy
	}
	o.Servers = []*url.URL{u}
	if o.ClientID == "" {
		o.ClientID = "gw7"
	}
	var steps []Step
	well := Probe(t.Context(), o, func(s Step) { steps = append(steps, s) })
	for _, s := range steps {
		t.Logf("%-9s %v %s | %s", s.Name, s.OK, s.Detail, s.Advice)
		if !s.OK && well {
			t.Error("Probe says that all went well")
		}
	}
	return steps
}

// mustStep compares the walk, and the words of its last step.
func mustStep(t *testing.T, steps []Step, want, detail, advice string) {
	t.Helper()
	if got := walk(steps); got != want {
		t.Fatalf("walked %q, want %q", got, want)
	}
	last := steps[len(steps)-1]
	if !strings.Contains(last.Detail, detail) || !strings.Contains(last.Advice, advice) {
		t.Errorf("detail %q\nadvice %q\nwant   %q\nand    %q", last.Detail, last.Advice, detail, advice)
	}
}

// listen starts a server on loopback that handles each connection, and returns host and port.
func listen(t *testing.T, cfg *tls.Config, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	addr := l.Addr().String()
	if cfg != nil {
		l = tls.NewListener(l, cfg)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				handle(c)
			}()
		}
	}()
	return addr
}

// answering handles a connection as a broker that accepts everything, but gives these answers to packets of a type. nil closes.
func answering(instead map[byte][]byte) func(net.Conn) {
	return func(c net.Conn) {
		for r := bufio.NewReader(c); ; {
			p, err := packets.ReadPacket(r)
			if err != nil {
				return
			}
			kind, answer := byte(0), []byte(nil)
			id := byte(p.Details().MessageID)
			switch p.(type) {
			case *packets.ConnectPacket:
				kind, answer = packets.Connect, []byte{0x20, 2, 0, 0}
			case *packets.SubscribePacket:
				kind, answer = packets.Subscribe, []byte{0x90, 3, 0, id, 0}
			case *packets.PublishPacket:
				kind, answer = packets.Publish, []byte{0x40, 2, 0, id}
			}
			if other, ok := instead[kind]; ok {
				answer = other
			}
			if answer == nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}
}

// dynamicSecurity is a configuration of mosquitto's plug-in of that name: user admin with password pw7 may read $SYS only, and write nowhere.
const dynamicSecurity = `{"clients": [{"username": "admin", "iterations": 101, "roles": [{"rolename": "reader"}],
"password": "0Fxr2DDLkXtmCIQA6VrN4SkuTJRJ0IfZB7Nw8fVoUtVu7i+XtCfW2WG0cDjZTdkaAG2c1I6yFEHC6hefckbSwA==", "salt": "f247D/1d+55ncITt"}],
"roles": [{"rolename": "reader", "acls": [
{"acltype": "publishClientReceive", "topic": "$SYS/#", "allow": true}, {"acltype": "subscribePattern", "topic": "$SYS/#", "allow": true}]}],
"defaultACLAccess": {"publishClientSend": false, "publishClientReceive": true, "subscribe": false, "unsubscribe": true}}`

// strictMosquitto starts mosquitto with that plug-in and returns its port.
func strictMosquitto(t *testing.T) string {
	t.Helper()
	plugin, err := filepath.Glob("/usr/lib/*/mosquitto_dynamic_security.so")
	if err != nil || len(plugin) == 0 {
		t.Skip("mosquitto's dynamic security plug-in is not installed: apt-get install mosquitto")
	}
	port := transporttest.FreePort(t)
	transporttest.Mosquitto(t, fmt.Sprintf("allow_anonymous false\nlistener %s 127.0.0.1\nplugin %s\nplugin_opt_config_file %s\n",
		port, plugin[0], transporttest.WriteFile(t, dynamicSecurity)))
	return port
}

func login(user, password string) func(context.Context) (Credentials, error) {
	return func(context.Context) (Credentials, error) {
		return Credentials{Username: user, Password: password}, nil
	}
}

func TestProbeOfStrictMosquitto(t *testing.T) {
	server := "mqtt://127.0.0.1:" + strictMosquitto(t)
	for name, tt := range map[string]struct {
		o                    ProbeOptions
		want, detail, advice string
	}{
		"all is well": {
			ProbeOptions{Credentials: login("admin", "pw7"), Filters: []string{"$SYS/broker/uptime"}, Topic: "tidegate/gw7/gateway/test"},
			"dns tcp connect subscribe publish", `"tidegate/gw7/gateway/test" is acknowledged`, "no word for a refused message",
		},
		"a wrong password": {
			ProbeOptions{Credentials: login("admin", "wrong")},
			"dns tcp connect!", "return code 5, not authorised", `does not know user "admin" with this password`,
		},
		"no password": {ProbeOptions{Credentials: login("admin", "")}, "dns tcp connect!", "return code 5", "set password"},
		"no user":     {ProbeOptions{}, "dns tcp connect!", "return code 5", "set username and password"},
		"a filter is refused, and the next one tried": {
			ProbeOptions{Credentials: login("admin", "pw7"), Filters: []string{"cmd/#", "$SYS/#", "x"}},
			"dns tcp connect subscribe! subscribe subscribe!", `"x" is refused (return code 0x80)`, "may not read there",
		},
		"credentials that cannot be had": {
			ProbeOptions{Credentials: func(context.Context) (Credentials, error) {
				return Credentials{}, errors.New("the clock is not synchronised")
			}},
			"dns tcp connect!", "get credentials: the clock is not synchronised", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			mustStep(t, probeSteps(t, server, tt.o, transport.Options{}), tt.want, tt.detail, tt.advice)
		})
	}
}

// TestProbeKeepsTheGatewayConnected has a client with the gateway's own id at the broker.
func TestProbeKeepsTheGatewayConnected(t *testing.T) {
	ids := make(chan string, 2)
	addr := listen(t, nil, func(c net.Conn) {
		if p, err := packets.ReadPacket(c); err == nil {
			ids <- p.(*packets.ConnectPacket).ClientIdentifier
		}
	})
	probeSteps(t, "mqtt://"+addr, ProbeOptions{}, transport.Options{})
	probeSteps(t, "mqtt://"+addr, ProbeOptions{SameClientID: true}, transport.Options{})
	if first, second := <-ids, <-ids; first != "gw7-test" || second != "gw7" {
		t.Errorf("client ids %q and %q", first, second)
	}
}

func TestProbeOfTLS(t *testing.T) {
	ca, foreign := transporttest.NewCA(t), transporttest.NewCA(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	server := func(l transporttest.Leaf) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, l).TLS}}
	}
	day := 24 * time.Hour
	good := transporttest.Leaf{Ends: time.Now().Add(90 * day)}
	wantsClient := server(good)
	wantsClient.ClientAuth, wantsClient.ClientCAs = tls.RequireAndVerifyClientCert, pool
	wantsALPN := server(good)
	wantsALPN.NextProtos = []string{"other"}
	stranger := foreign.Issue(t, transporttest.Leaf{})
	trust := transport.TLSOptions{CAFile: ca.File}
	for name, tt := range map[string]struct {
		cfg                  *tls.Config
		o                    transport.TLSOptions
		want, detail, advice string
	}{
		"all is well":      {server(good), trust, "dns tcp tls connect", `accepted as client "gw7-test", without user name`, ""},
		"a wrong CA":       {server(good), transport.TLSOptions{CAFile: foreign.File}, "dns tcp tls!", "issued by \"tidegate test CA\"", "put the issuer's certificate into ca_file"},
		"expired":          {server(transporttest.Leaf{Begins: time.Now().Add(-2 * day), Ends: time.Now().Add(-day)}), trust, "dns tcp tls!", "expired", "the certificate ended at"},
		"not yet valid":    {server(transporttest.Leaf{Begins: time.Now().Add(day), Ends: time.Now().Add(2 * day)}), trust, "dns tcp tls!", "not yet valid", "the certificate begins at"},
		"another name":     {server(transporttest.Leaf{Name: "broker.example"}), trust, "dns tcp tls!", "127.0.0.1", "the certificate is for broker.example"},
		"no certificate":   {wantsClient, trust, "dns tcp tls connect!", "certificate required", "set cert_file and key_file"},
		"a stranger's":     {wantsClient, transport.TLSOptions{CAFile: ca.File, CertFile: stranger.CertFile, KeyFile: stranger.KeyFile}, "dns tcp tls connect!", "unknown certificate authority", "does not accept our client certificate"},
		"another protocol": {wantsALPN, transport.TLSOptions{CAFile: ca.File, ALPN: []string{"mqtt"}}, "dns tcp tls!", "no application protocol", "check alpn"},
		"no such file":     {server(good), transport.TLSOptions{CAFile: "/nonexistent/ca.pem"}, "dns tcp tls!", "read ca_file: open /nonexistent/ca.pem", ""},
	} {
		t.Run(name, func(t *testing.T) {
			addr := listen(t, tt.cfg, answering(nil))
			mustStep(t, probeSteps(t, "mqtts://"+addr, ProbeOptions{}, transport.Options{TLS: tt.o}), tt.want, tt.detail, tt.advice)
		})
	}
}

// TestProbeShowsTheCertificate looks at a step that went well.
func TestProbeShowsTheCertificate(t *testing.T) {
	ca := transporttest.NewCA(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, transporttest.Leaf{}).TLS}, NextProtos: []string{"mqtt"}}
	steps := probeSteps(t, "mqtts://"+listen(t, cfg, answering(nil)), ProbeOptions{}, transport.Options{
		TLS: transport.TLSOptions{CAFile: ca.File, ALPN: []string{"mqtt"}},
	})
	mustStep(t, steps[:3], "dns tcp tls", `TLS 1.3, ALPN mqtt, certificate of localhost and 127.0.0.1, issued by "tidegate test CA", valid until 20`,
		"the server's certificate ends in 0 days")
}

func TestProbeOfOtherServers(t *testing.T) {
	ca := transporttest.NewCA(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, transporttest.Leaf{}).TLS}}
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	closing := func(c net.Conn) { _, _ = c.Read(make([]byte, 100)) }
	says := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			closing(c)
			_, _ = io.WriteString(c, text)
		}
	}
	code := func(c byte) func(net.Conn) { return answering(map[byte][]byte{packets.Connect: {0x20, 2, 0, c}}) }
	for name, tt := range map[string]struct {
		server               string
		want, detail, advice string
	}{
		"nobody listens":      {"mqtt://127.0.0.1:" + transporttest.FreePort(t), "dns tcp!", "connection refused", "nothing listens on this port"},
		"a black hole":        {"mqtt://" + listen(t, nil, silent), "dns tcp connect!", "i/o timeout", "nothing answers in MQTT"},
		"closes at once":      {"mqtt://" + listen(t, nil, closing), "dns tcp connect!", "closed the connection in place of an answer", "perhaps the port is one for TLS: then write mqtts://"},
		"plain to TLS":        {"mqtt://" + listen(t, cfg, silent), "dns tcp connect!", "closed the connection in place of an answer", "then write mqtts:// in servers"},
		"plain to TLS, alert": {"mqtt://" + listen(t, nil, says("\x15\x03\x01\x00\x02\x02\x46")), "dns tcp connect!", "TLS alert", "write mqtts:// in servers"},
		"a web server":        {"mqtt://" + listen(t, nil, says("HTTP/1.1 400 Bad Request\r\n")), "dns tcp connect!", "HTTP", "it is a web server"},
		"a mail server":       {"mqtt://" + listen(t, nil, says("220 mail")), "dns tcp connect!", `begins with "220 "`, "something else than a broker"},
		"TLS to plain":        {"mqtts://" + listen(t, nil, says("\x20\x02\x00\x00 and more")), "dns tcp tls!", "does not look like a TLS handshake", "write mqtt:// in servers"},
		"TLS to what closes":  {"mqtts://" + listen(t, nil, closing), "dns tcp tls!", "tls handshake with 127.0.0.1", "does not speak TLS"},
		"TLS to a black hole": {"mqtts://" + listen(t, nil, silent), "dns tcp tls!", "deadline exceeded", "does not answer the TLS handshake"},
		"no websocket":        {"ws://" + listen(t, nil, says("HTTP/1.1 404 Not Found\r\n\r\n")), "dns tcp websocket!", "404 Not Found", ""},
		"return code 1":       {"mqtt://" + listen(t, nil, code(1)), "dns tcp connect!", "unacceptable protocol version", "MQTT 3.1.1"},
		"return code 2":       {"mqtt://" + listen(t, nil, code(2)), "dns tcp connect!", `client id "gw7-test" rejected`, "stop the gateway"},
		"return code 3":       {"mqtt://" + listen(t, nil, code(3)), "dns tcp connect!", "server unavailable", "try again later"},
		"return code 4":       {"mqtt://" + listen(t, nil, code(4)), "dns tcp connect!", "bad user name or password", "set username and password"},
		"return code 99":      {"mqtt://" + listen(t, nil, code(99)), "dns tcp connect!", "return code 99, which", "out of order"},
		"closes on subscribe": {
			"mqtt://" + listen(t, nil, answering(map[byte][]byte{packets.Subscribe: nil})),
			"dns tcp connect subscribe!", `subscribe to "a/#": the server closed the connection`, "that is how a broker refuses topics",
		},
		"closes on publish": {
			"mqtt://" + listen(t, nil, answering(map[byte][]byte{packets.Publish: nil})),
			"dns tcp connect subscribe publish!", `publish to "t": the server closed`, "that is how a broker refuses topics",
		},
		"never acknowledges": {
			"mqtt://" + listen(t, nil, answering(map[byte][]byte{packets.Publish: {}})),
			"dns tcp connect subscribe publish!", `publish to "t"`, "no answer came in time",
		},
		"a giant packet": {
			"mqtt://" + listen(t, nil, answering(map[byte][]byte{packets.Subscribe: {0x30, 0xff, 0xff, 0xff, 0x7f}})),
			"dns tcp connect subscribe!", "the limit is 1048576", "",
		},
		"messages come in between": {
			"mqtt://" + listen(t, nil, answering(map[byte][]byte{packets.Subscribe: []byte("\x30\x04\x00\x01ax\x90\x03\x00\x01\x00")})),
			"dns tcp connect subscribe publish", "is acknowledged", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := ProbeOptions{Filters: []string{"a/#"}, Topic: "t", Timeout: patience}
			topts := transport.Options{ConnectTimeout: patience, TLS: transport.TLSOptions{CAFile: ca.File}}
			steps := []Step(nil)
			if strings.Contains(name, "black hole") || name == "never acknowledges" {
				// A machine that is busy may take longer than a short timeout for a step before the one that hangs.
				for _, timeout := range []time.Duration{200 * time.Millisecond, time.Second, 10 * time.Second} {
					o.Timeout, topts.ConnectTimeout = timeout, timeout
					if steps = probeSteps(t, tt.server, o, topts); walk(steps) == tt.want {
						break
					}
				}
			} else {
				steps = probeSteps(t, tt.server, o, topts)
			}
			mustStep(t, steps, tt.want, tt.detail, tt.advice)
		})
	}
}

// TestProbeOfPlainMosquittoWithTLS is the mistake of the wrong port, at a real broker.
func TestProbeOfPlainMosquittoWithTLS(t *testing.T) {
	port := strictMosquitto(t)
	mustStep(t, probeSteps(t, "mqtts://127.0.0.1:"+port, ProbeOptions{}, transport.Options{}),
		"dns tcp tls!", "tls handshake with 127.0.0.1", "does not speak TLS: use the port for TLS")
}

// TestProbeOfFailedDials is about networks that a test machine does not have.
func TestProbeOfFailedDials(t *testing.T) {
	for name, tt := range map[string]struct {
		server, want, advice string
		err                  error
	}{
		"no such name":    {"mqtt://broker.invalid", "dns!", `the name "broker.invalid" does not exist`, &net.DNSError{Name: "broker.invalid", IsNotFound: true}},
		"no name server":  {"mqtt://broker.invalid", "dns!", "the name server does not answer", &net.DNSError{Name: "broker.invalid", IsTimeout: true}},
		"no route":        {"mqtt://192.0.2.1", "dns tcp!", "is the cable, the modem or the VPN up", os.NewSyscallError("connect", syscall.ENETUNREACH)},
		"packets dropped": {"mqtt://192.0.2.1", "dns tcp!", "a firewall drops the packets silently", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}},
	} {
		t.Run(name, func(t *testing.T) {
			o := ProbeOptions{Dial: func(context.Context, *url.URL) (net.Conn, error) { return nil, tt.err }}
			mustStep(t, probeSteps(t, tt.server, o, transport.Options{}), tt.want, "", tt.advice)
		})
	}
}

func TestProbeThroughProxy(t *testing.T) {
	broker := listen(t, nil, answering(nil))
	for name, tt := range map[string]struct {
		scheme, answer, want, detail string
	}{
		"open":               {"mqtt", "HTTP/1.1 200 OK\r\n\r\n", "dns tcp proxy connect", "accepted"},
		"closed":             {"mqtt", "HTTP/1.1 403 Forbidden\r\n\r\n", "dns tcp proxy!", "403 Forbidden: it does not allow this host or port"},
		"open, but then not": {"mqtts", "HTTP/1.1 200 OK\r\n\r\n", "dns tcp proxy tls!", "tls handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			addr := listen(t, nil, func(c net.Conn) {
				if r, err := http.ReadRequest(bufio.NewReader(c)); err != nil || r.Host != broker {
					t.Errorf("asked for %v, %v", r, err)
				}
				_, _ = io.WriteString(c, tt.answer)
				answering(nil)(c) // as if the broker was behind it
			})
			o := transport.Options{Proxy: &url.URL{Scheme: "http", Host: addr}}
			mustStep(t, probeSteps(t, tt.scheme+"://"+broker, ProbeOptions{}, o), tt.want, tt.detail, "")
		})
	}
}

func TestProbeOfWebSocket(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := websocket.Accept(w, r, websocket.AcceptOptions{}); err == nil {
			defer c.Close()
			answering(nil)(c)
		}
	}))
	defer s.Close()
	o := ProbeOptions{Filters: []string{"a"}, Topic: "t"}
	mustStep(t, probeSteps(t, "ws://"+s.Listener.Addr().String(), o, transport.Options{}),
		"dns tcp websocket connect subscribe publish", "is acknowledged", "")
}

// TestProbeLooksAtEachServer has a dead server before one that works.
func TestProbeLooksAtEachServer(t *testing.T) {
	dead, alive := "127.0.0.1:"+transporttest.FreePort(t), listen(t, nil, answering(nil))
	tr, err := transport.New(transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var steps []Step
	well := Probe(t.Context(), ProbeOptions{
		Servers: []*url.URL{{Scheme: "mqtt", Host: dead}, {Scheme: "mqtt", Host: alive}}, ClientID: "gw7", Dial: tr.Dial,
	}, func(s Step) { steps = append(steps, s) })
	if got := walk(steps); well || got != "dns tcp! dns tcp connect" {
		t.Errorf("walked %q, all well: %v", got, well)
	}
	if steps[0].Server != "mqtt://"+dead || steps[4].Server != "mqtt://"+alive {
		t.Errorf("servers %q and %q", steps[0].Server, steps[4].Server)
	}
}

// TestProbeEndsWithItsContext has a server that never answers.
func TestProbeEndsWithItsContext(t *testing.T) {
	connected := make(chan struct{})
	addr := listen(t, nil, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 100))
		close(connected)
		_, _ = io.Copy(io.Discard, c)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-connected
		cancel()
	}()
	tr, err := transport.New(transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if Probe(ctx, ProbeOptions{Servers: []*url.URL{{Scheme: "mqtt", Host: addr}}, Dial: tr.Dial, Timeout: time.Hour}, func(Step) {}) {
		t.Error("all went well")
	}
	if time.Since(began) > patience {
		t.Error("Probe did not end with its context")
	}
}
