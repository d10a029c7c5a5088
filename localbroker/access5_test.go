package localbroker_test

import (
	"testing"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// byClient gives rights by client identifier.
type byClient struct{ *house }

func (b byClient) Rights(_, clientID string) localbroker.Rights { return b.house.Rights(clientID, "") }

// guarded lets p publish below a/, and s and r receive it; q may receive b/ alone.
func guarded(o *localbroker.Options) {
	h := &house{rights: map[string]map[string]string{
		"p": {"a/": "p"}, "s": {"a/": "r"}, "r": {"a/": "r"}, "q": {"b/": "r", "a/open": "r"},
	}}
	o.Access = byClient{h}
}

func TestMQTT5Denials(t *testing.T) {
	const two = `
		s> CONNECT
		s< CONNACK
		s> 82 * 00 01 00 | 00 03 'a/#' 02
		s< 90 * 00 01 00 | 02
		p> CONNECT
		p< CONNACK
	`
	runScripts(t, []script{
		{clause: "section 3.4.2.1", name: "denied QoS 0 and 1", adjust: guarded, steps: two + `
			p> 30 * 00 03 'b/x' 00 'n'
			p~
			p> 33 * 00 03 'b/x' 00 01 00 'n'
			p< 40 04 00 01 87 00
			p> 32 * 00 03 'a/x' 00 02 00 'y'
			p< 40 02 00 02
			s< 32 * 00 03 'a/x' 00 01 00 'y'`},
		{clause: "MQTT-4.3.3-8", name: "denied QoS 2 ends with PUBREC", adjust: guarded, steps: two + `
			p> 34 * 00 03 'b/x' 00 01 00 'n'
			p< 50 04 00 01 87 00
			p> 34 * 00 03 'a/x' 00 01 00 'y'
			p< 50 02 00 01
			p> 62 02 00 01
			p< 70 02 00 01
			s< 34 * 00 03 'a/x' 00 01 00 'y'`},
		{clause: "section 3.9.3", name: "denied filters", adjust: guarded, steps: `
			q> CONNECT
			q< CONNACK
			q> 82 * 00 01 00 | 00 04 'a/no' 01 | 00 06 'a/open' 01 | 00 0d '$share/g/a/no' 01
			q< 90 * 00 01 00 | 87 01 87`},
		{clause: "section 4.8.2", name: "a share is for those who may", adjust: guarded, steps: `
			q> CONNECT
			q< CONNACK
			q> 82 * 00 01 00 | 00 0a '$share/g/#' 01
			q< 90 * 00 01 00 | 01
			s> CONNECT
			s< CONNACK
			s> 82 * 00 01 00 | 00 0a '$share/g/#' 01
			s< 90 * 00 01 00 | 01
			p> CONNECT
			p< CONNACK
			p> 30 * 00 03 'a/x' 00 '1'
			p> 30 * 00 03 'a/x' 00 '2'
			s< 30 * 00 03 'a/x' 00 '1'
			s< 30 * 00 03 'a/x' 00 '2'
			q~`},
	})
}

// Whoever is answered with the gateway's own rights must not name a topic that he may not publish to himself.
func TestResponseTopicOfACommandNeedsTheRight(t *testing.T) {
	r := start(t, guarded)
	inbox := r.queue("inbox", localbroker.QueueSub{Filters: []string{"a/+/set"}, Barrier: true, Replies: true})
	plain := r.queue("plain", localbroker.QueueSub{Filters: []string{"a/plain"}})
	c := r.dial()
	c.connect(&packet.Connect{Version: packet.V5, ClientID: "p", CleanStart: true})
	if _, err := c.r.Peek(1); err != nil {
		t.Fatal(err)
	}
	for _, q := range []struct {
		topic, response, want string
		from                  *consumer
	}{
		{"a/m/set", "a/reply", "a/reply", inbox},
		{"a/m/set", "b/reply", "", inbox},
		{"a/m/set", "$SYS/x", "", inbox},
		{"a/plain", "b/reply", "b/reply", plain}, // others answer with their own rights
	} {
		p := packet.Publish{Topic: []byte(q.topic), QoS: 1, ID: 7}
		p.Props.ResponseTopic, p.Props.CorrelationData = []byte(q.response), []byte("id")
		c.write(p.Append(nil, packet.V5))
		got := q.from.read(1)[0].Record.Body.(*gateway.Message).Properties
		if got.ResponseTopic != q.want || string(got.CorrelationData) != "id" {
			t.Errorf("%s with response topic %s arrives with %q, want %q", q.topic, q.response, got.ResponseTopic, q.want)
		}
	}
	r.log.await(t, "response topic is not used", "b/reply")
}

// A client of MQTT 5 is told why it is cut.
func TestReauthorizeSaysGoodbye(t *testing.T) {
	r, h := startHouse(t)
	c := r.dial()
	c.version = packet.V5
	c.connect(&packet.Connect{Version: packet.V5, ClientID: "bob", CleanStart: true, Username: packet.Some("bob"), Password: []byte("bob's")})
	if p := c.next(); p.Type() != packet.TypeConnack {
		t.Fatalf("got %v", p.Type())
	}
	h.change(func() { delete(h.users, "bob") })
	r.broker.Reauthorize()
	p, ok := c.next().(*packet.Disconnect)
	if !ok || p.Code != packet.ReasonAdministrativeAction || string(p.Props.ReasonString) != "the user is not known any more" {
		t.Fatalf("got %+v", p)
	}
}
