package bridge

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// probeMaxPacket bounds what a server may send to a probe, in bytes.
const probeMaxPacket = 1 << 20

// probeKeepAlive is what CONNECT says, in seconds; a probe is gone before.
const probeKeepAlive = 60

// probeRefused is the return code of a filter that is refused (MQTT 3.1.1, 3.9.3).
const probeRefused = 0x80

// What answers in place of an MQTT broker.
var (
	errSpeaksTLS  = errors.New("the answer is a TLS alert")
	errSpeaksHTTP = errors.New("the answer is HTTP")
	errNotMQTT    = errors.New("the answer is not MQTT")
)

// probeLink exchanges packets, one at a time.
type probeLink struct {
	c       net.Conn
	r       *bufio.Reader
	scan    packetScan
	timeout time.Duration
}

func newProbeLink(c net.Conn, timeout time.Duration) *probeLink {
	l := &probeLink{c: c, timeout: timeout}
	l.r = bufio.NewReader(c)
	return l
}

// Read reads from the server and refuses packets beyond the bound before anybody allocates for them.
func (l *probeLink) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if bad := l.scan.check(b[:n], probeMaxPacket, probeMaxPacket); bad != nil {
		return 0, bad
	}
	return n, err
}

// ask sends a packet and waits for the answer of this type. Messages that come in between are passed over.
func (l *probeLink) ask(p packets.ControlPacket, kind byte) (packets.ControlPacket, error) {
	if err := l.c.SetDeadline(time.Now().Add(l.timeout)); err != nil {
		return nil, err
	}
	if err := p.Write(l.c); err != nil {
		return nil, err
	}
	if kind == packets.Connack {
		if err := l.isMQTT(); err != nil {
			return nil, err
		}
	}
	for {
		answer, err := packets.ReadPacket(l)
		if err != nil {
			return nil, err
		}
		if got := answer.Details(); packetType(answer) == kind {
			if want := p.Details(); kind != packets.Connack && got.MessageID != want.MessageID {
				continue
			}
			return answer, nil
		}
	}
}

// isMQTT looks at what the server sends first, before it is taken for a packet. CONNACK has four bytes (MQTT 3.1.1, 3.2).
func (l *probeLink) isMQTT() error {
	first, err := l.r.Peek(4)
	switch {
	case bytes.HasPrefix(first, []byte{0x15, 0x03}): // RFC 8446, 5.1: alert, legacy version 3.x
		return errSpeaksTLS
	case bytes.HasPrefix(first, []byte("HTTP")):
		return errSpeaksHTTP
	case len(first) > 0 && first[0] != packets.Connack<<4:
		return fmt.Errorf("%w: it begins with %q", errNotMQTT, first)
	case err != nil:
		return err
	}
	return nil
}

func packetType(p packets.ControlPacket) byte {
	switch p.(type) {
	case *packets.ConnackPacket:
		return packets.Connack
	case *packets.SubackPacket:
		return packets.Suback
	case *packets.PubackPacket:
		return packets.Puback
	}
	return 0
}

// goodbye sends DISCONNECT, so that the server does not log a lost connection.
func (l *probeLink) goodbye() {
	_ = packets.NewControlPacket(packets.Disconnect).Write(l.c) // all is said already
}

func (p *prober) connect(ctx context.Context, l *probeLink) bool {
	began := time.Now()
	var login Credentials
	if p.o.Credentials != nil {
		var err error
		if login, err = p.o.Credentials(ctx); err != nil {
			p.failed(stepConnect, time.Since(began), "get credentials: "+err.Error(), "")
			return false
		}
	}
	packet := p.connectPacket(login)
	answer, err := l.ask(packet, packets.Connack)
	switch {
	case err != nil && hungUp(err):
		p.failed(stepConnect, time.Since(began), "the server closed the connection in place of an answer to CONNECT", p.explainHangUp())
		return false
	case err != nil:
		p.fail(stepConnect, time.Since(began), err)
		return false
	}
	code := answer.(*packets.ConnackPacket).ReturnCode
	if code != packets.Accepted {
		detail, advice := p.refused(code, packet)
		p.failed(stepConnect, time.Since(began), detail, advice)
		return false
	}
	p.passed(stepConnect, time.Since(began), fmt.Sprintf("accepted as client %q%s", packet.ClientIdentifier, asUser(login)), "")
	return true
}

func (p *prober) connectPacket(login Credentials) *packets.ConnectPacket {
	c := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	c.ProtocolName, c.ProtocolVersion, c.CleanSession, c.Keepalive = "MQTT", mqttLevel311, true, probeKeepAlive
	c.ClientIdentifier = p.o.ClientID
	if !p.o.SameClientID {
		c.ClientIdentifier += ProbeSuffix
	}
	c.UsernameFlag, c.Username = login.Username != "", login.Username
	c.PasswordFlag, c.Password = login.Password != "", []byte(login.Password)
	return c
}

func asUser(login Credentials) string {
	if login.Username == "" {
		return ", without user name"
	}
	return fmt.Sprintf(", user %q", login.Username)
}

// subscribe tries one filter. It tells whether the connection still holds.
func (p *prober) subscribe(l *probeLink, id uint16, filter string) bool {
	began := time.Now()
	s := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	s.MessageID, s.Topics, s.Qoss = id, []string{filter}, []byte{0} // at QoS 0 nothing stays to be acknowledged
	answer, err := l.ask(s, packets.Suback)
	switch {
	case err != nil:
		p.closed(stepSubscribe, time.Since(began), fmt.Sprintf("subscribe to %q", filter), err)
		return false
	case bytes.IndexByte(answer.(*packets.SubackPacket).ReturnCodes, probeRefused) >= 0:
		p.failed(stepSubscribe, time.Since(began), fmt.Sprintf("%q is refused (return code 0x80)", filter),
			"the account may not read there: allow it in the broker's access rules, or change the route's filter or remote_prefix")
	default:
		p.passed(stepSubscribe, time.Since(began), fmt.Sprintf("%q is granted", filter), "")
	}
	return true
}

// publish sends a message that nobody keeps.
func (p *prober) publish(l *probeLink) bool {
	began := time.Now()
	m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	m.TopicName, m.Qos, m.MessageID = p.o.Topic, 1, uint16(len(p.o.Filters)+1)
	m.Payload = []byte(`{"test":true,"time":"` + p.o.Now().UTC().Format("2006-01-02T15:04:05.000Z") + `"}`)
	if _, err := l.ask(m, packets.Puback); err != nil {
		p.closed(stepPublish, time.Since(began), fmt.Sprintf("publish to %q", p.o.Topic), err)
		return false
	}
	p.passed(stepPublish, time.Since(began), fmt.Sprintf("a message to %q is acknowledged", p.o.Topic),
		"MQTT 3.1.1 has no word for a refused message: to see that it is let through, subscribe to that topic with an account that may read it")
	return true
}

// closed reports a request that was not answered. MQTT 3.1.1 knows no other way to refuse most of what a client does.
func (p *prober) closed(name string, took time.Duration, what string, err error) {
	if !hungUp(err) {
		p.fail(name, took, fmt.Errorf("%s: %w", what, err))
		return
	}
	p.failed(name, took, what+": the server closed the connection",
		"that is how a broker refuses topics, wildcards or QoS that it does not allow, or more than its limits: see what it allows this account, "+
			"and its log. Another client with the same id is a reason too")
}
