package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/bridge/transport/transporttest"
	"github.com/tidegate/tidegate/buffer"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/client"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// peer is a real broker and one way to it.
type peer struct {
	url string
	tls *tls.Config
}

// mosquitto starts Debian's mosquitto and returns each way to it, by the URL's scheme.
func mosquitto(t *testing.T) map[string]peer {
	t.Helper()
	ca := transporttest.NewCA(t)
	pair := ca.Issue(t, transporttest.Leaf{})
	secure := fmt.Sprintf("certfile %s\nkeyfile %s\n", pair.CertFile, pair.KeyFile)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	trust := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	peers := map[string]peer{}
	for scheme, extra := range map[string]string{
		"mqtt": "", "mqtts": secure, "ws": "protocol websockets\n", "wss": "protocol websockets\n" + secure,
	} {
		// A process for each: in one, mosquitto takes what OpenSSL complains about a WebSocket's end for an error of another TLS client. A plain
		// listener beside, because it does not start with a WebSocket alone.
		port, beside := transporttest.FreePort(t), transporttest.FreePort(t)
		transporttest.Mosquitto(t, fmt.Sprintf("allow_anonymous true\nlistener %s 127.0.0.1\nlistener %s 127.0.0.1\n%s", beside, port, extra))
		peers[scheme] = peer{scheme + "://127.0.0.1:" + port, trust}
	}
	return peers
}

// ours starts our broker over a buffer of its own.
func ours(t *testing.T) peer {
	t.Helper()
	store, err := buffer.Open(t.Context(), buffer.Options{Path: filepath.Join(t.TempDir(), "buffer.db")})
	if err != nil {
		t.Fatal(err)
	}
	broker, err := localbroker.New(localbroker.Options{Store: store, Topics: gateway.Topics{Base: "tg/x"}})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	storing, stopStore := context.WithCancel(context.Background())
	serving, stopBroker := context.WithCancel(context.Background())
	stored, ended := make(chan error, 1), make(chan error, 2)
	go func() { stored <- store.Run(storing) }()
	go func() { ended <- broker.Run(serving) }()
	go func() { ended <- broker.Serve(serving, ln, localbroker.ListenerOptions{AllowAnonymous: true}) }()
	t.Cleanup(func() {
		stopBroker()
		err := errors.Join(<-ended, <-ended)
		stopStore()
		if err := errors.Join(err, <-stored, store.Close()); err != nil {
			t.Error(err)
		}
	})
	return peer{url: "mqtt://" + ln.Addr().String()}
}

// TestRealBrokers walks each way to each broker in each version.
func TestRealBrokers(t *testing.T) {
	t.Run("ours", func(t *testing.T) { walkAll(t, map[string]peer{"mqtt": ours(t)}) })
	t.Run("mosquitto", func(t *testing.T) { walkAll(t, mosquitto(t)) })
	noLeaks(t)
}

func walkAll(t *testing.T, peers map[string]peer) {
	t.Run("all", func(t *testing.T) { // returns when all have, which run at the same time
		for scheme, p := range peers {
			for _, v := range versions {
				name := fmt.Sprintf("%s-%s", scheme, v)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					(&walker{T: t, peer: p, v: v, name: name}).walk()
				})
			}
		}
	})
}

// walker tries one way to one broker in one version. Its name is part of all topics and client ids.
type walker struct {
	*testing.T
	peer peer
	v    packet.Version
	name string
}

func (w *walker) walk() {
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	c := w.dial(w.options("walker"))
	_, err := c.Subscribe(ctx, subscribeTo(w.name+"/#", 2))
	mustWork(w.T, "subscribe", err)
	w.roundTrips(ctx, c)
	w.large(ctx, c)
	w.wills(ctx, c)
	w.sessions(ctx, c)
	_, err = c.Unsubscribe(ctx, packet.Unsubscribe{Filters: []string{w.name + "/#"}})
	mustWork(w.T, "unsubscribe", err)
	mustWork(w.T, "disconnect", c.Disconnect(ctx, packet.Disconnect{}))
}

func (w *walker) options(id string) client.Options {
	return client.Options{Connect: packet.Connect{Version: w.v, ClientID: id + w.name, CleanStart: true, KeepAlive: 30}}
}

// dial connects, and skips the test where the broker does not speak the version.
func (w *walker) dial(o client.Options) *client.Client {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	o.URL, o.TLS = w.peer.url, w.peer.tls
	c, err := client.Dial(ctx, o)
	var refusal *client.Refusal
	if errors.As(err, &refusal) && refusal.Code == packet.ReasonUnsupportedVersion {
		w.Skipf("this broker does not speak MQTT %s", w.v)
	}
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(c.Close)
	return c
}

func (w *walker) roundTrips(ctx context.Context, c *client.Client) {
	w.Helper()
	topic := w.name + "/a"
	for qos := range packet.QoS(3) {
		m := msg(topic, fmt.Sprint("at ", qos), qos, 0)
		if w.v == packet.V5 {
			m.Props = packet.Properties{
				ContentType: []byte("text/plain"), ResponseTopic: []byte("r"), CorrelationData: []byte{0, 1}, PayloadFormat: packet.Some[byte](1),
				UserProperties: []packet.UserProperty{{Name: []byte("k"), Value: []byte("v")}, {Name: []byte("k"), Value: []byte("w")}},
			}
		}
		mustWork(w.T, "publish", c.Publish(ctx, m))
		got := mustReceive(ctx, w.T, c, topic, fmt.Sprint("at ", qos))
		if got.QoS != qos {
			w.Errorf("came at QoS %d, want %d", got.QoS, qos)
		}
		if diff := cmp.Diff(m.Props.Clone(), got.Props.Clone()); diff != "" {
			w.Errorf("the properties changed (-want +got):\n%s", diff)
		}
	}
}

// large does not fit into one read.
func (w *walker) large(ctx context.Context, c *client.Client) {
	w.Helper()
	payload := make([]byte, 200_000)
	for i := range payload {
		payload[i] = byte(i * i)
	}
	mustWork(w.T, "publish", c.Publish(ctx, msg(w.name+"/large", string(payload), 1, 0)))
	mustReceive(ctx, w.T, c, w.name+"/large", string(payload))
}

// wills come when a connection is cut, and not when it ends in order.
func (w *walker) wills(ctx context.Context, watch *client.Client) {
	w.Helper()
	for _, cut := range []bool{false, true} {
		o := w.options("mortal")
		o.Connect.Will = &packet.Will{Topic: w.name + "/will", Payload: fmt.Append(nil, "cut ", cut), QoS: 1}
		mortal := w.dial(o)
		if cut {
			mortal.Close()
		} else {
			mustWork(w.T, "disconnect", mortal.Disconnect(ctx, packet.Disconnect{}))
		}
	}
	mustReceive(ctx, w.T, watch, w.name+"/will", "cut true")
}

// sessions: what comes while the client is away waits for it, and what was not acknowledged comes again.
func (w *walker) sessions(ctx context.Context, c *client.Client) {
	w.Helper()
	topic := "keep/" + w.name
	o := w.options("keeper")
	o.Connect.CleanStart, o.Manual = false, true
	if w.v == packet.V5 {
		o.Connect.Props.SessionExpiry = packet.Some[uint32](60)
	}
	keeper := w.dial(o)
	_, err := keeper.Subscribe(ctx, subscribeTo(topic, 1))
	mustWork(w.T, "subscribe", err)
	mustWork(w.T, "publish", c.Publish(ctx, msg(topic, "1", 1, 0)))
	mustReceive(ctx, w.T, keeper, topic, "1")
	mustWork(w.T, "disconnect", keeper.Disconnect(ctx, packet.Disconnect{}))
	mustWork(w.T, "publish", c.Publish(ctx, msg(topic, "2", 1, 0)))

	keeper = w.dial(o)
	if w.v != packet.V31 && !keeper.Connack().SessionPresent {
		w.Error("the session was not resumed")
	}
	for _, want := range []string{"1", "2"} {
		m := mustReceive(ctx, w.T, keeper, topic, want)
		if again := want == "1"; m.Dup != again {
			w.Errorf("message %s: dup %v", want, m.Dup)
		}
		mustWork(w.T, "ack", keeper.Ack(m))
	}
	mustWork(w.T, "disconnect", keeper.Disconnect(ctx, packet.Disconnect{}))
}

// TestDialFails: what stands in the way is named, and can be told apart.
func TestDialFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	for url, want := range map[string]string{
		"mqtt://" + addr: "connection refused",
		"wss://" + addr:  "connection refused",
		"http://" + addr: "the schemes are mqtt, mqtts, ws and wss",
		addr:             "the schemes are",
		"mqtt://":        "the schemes are",
		"mqtt://a b":     "invalid character",
	} {
		_, err := client.Dial(t.Context(), client.Options{URL: url, Connect: packet.Connect{ClientID: "c"}})
		mustFail(t, err, want)
	}
	_, err = client.Dial(t.Context(), client.Options{URL: "mqtt://" + addr, Connect: packet.Connect{ClientID: "c\x00"}})
	mustFail(t, err, "client identifier")
}
