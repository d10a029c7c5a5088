package localbroker_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/localbroker"
)

// paho runs a program for Eclipse Paho's Python client with the broker's address as its arguments, and returns what it prints.
func (r *rig) paho(t *testing.T, program string) string {
	t.Helper()
	python := pythonWithPaho(t)
	host, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, python, "-c", pahoKit+program, host, port).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// pythonWithPaho returns a Python that has Paho: the one in the path, or Debian's.
func pythonWithPaho(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import paho.mqtt.properties").Run() == nil {
			return python
		}
	}
	if os.Getenv("TIDEGATE_REQUIRE_PEERS") == "1" {
		t.Fatal("no python3 has paho.mqtt, and TIDEGATE_REQUIRE_PEERS asks for it: install python3-paho-mqtt")
	}
	t.Skip("no python3 has paho.mqtt (Debian: python3-paho-mqtt)")
	return ""
}

// pahoKit makes clients that put what they hear into a queue.
const pahoKit = `
import sys, queue, socket
import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.subscribeoptions import SubscribeOptions

def props(kind, **values):
    p = Properties(kind)
    for k, v in values.items():
        setattr(p, k, v)
    return p

class Client:
    def __init__(self, name, clean=True, will=None, **values):
        self.heard = queue.Queue()
        # Paho 2 asks which form its callbacks have
        args = [mqtt.CallbackAPIVersion.VERSION2] if hasattr(mqtt, 'CallbackAPIVersion') else []
        c = self.c = mqtt.Client(*args, client_id=name, protocol=mqtt.MQTTv5)
        if will: c.will_set(**will)
        c.on_connect = lambda c, u, flags, code, p: self.heard.put(('connect', str(code), p))
        c.on_subscribe = lambda c, u, mid, codes, p: self.heard.put(('subscribe', [str(x) for x in codes], p))
        c.on_disconnect = lambda *a: self.heard.put(('disconnect', str(a[-2] if len(a) > 4 else a[2]), a[-1]))
        c.on_message = lambda c, u, m: self.heard.put(m)
        c.on_publish = lambda c, u, mid, *a: self.heard.put('published')
        c.connect(sys.argv[1], int(sys.argv[2]), clean_start=clean, properties=props(PacketTypes.CONNECT, **values))
        c.loop_start()
        self.connack = self.next()
    def next(self): return self.heard.get(timeout=15)
    def subscribe(self, topic, **options):
        ids = options.pop('identifier', None)
        p = props(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=ids) if ids else None
        self.c.subscribe(topic, options=SubscribeOptions(**options), properties=p)
        return self.next()[1]
    def stop(self):
        self.c.disconnect(); self.c.loop_stop()
`

func TestPahoPythonVersion5(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.SessionMaxAge = time.Hour })
	got := r.paho(t, `
a = Client('', SessionExpiryInterval=7200, ReceiveMaximum=5, TopicAliasMaximum=5, MaximumPacketSize=1000)
p = a.connack[2]
print(a.connack[1], p.AssignedClientIdentifier[:5], p.SessionExpiryInterval, p.ReceiveMaximum, p.TopicAliasMaximum, p.MaximumPacketSize, p.SharedSubscriptionAvailable)
print(*a.subscribe('plant/+', qos=1, identifier=3), *a.subscribe('#', qos=2, identifier=4, noLocal=True, retainAsPublished=True))
b = Client('b', will=dict(topic='plant/gone', payload='gone', qos=1, properties=props(PacketTypes.WILLMESSAGE, ContentType='text/plain')))
sent = props(PacketTypes.PUBLISH, PayloadFormatIndicator=1, MessageExpiryInterval=100, ContentType='t', ResponseTopic='r', CorrelationData=b'\x00\xff',
             UserProperty=[('k', '1'), ('j', '2'), ('k', '3')])
for qos in range(3):
    b.c.publish('plant/1', 'x%d' % qos, qos=qos, retain=qos == 2, properties=sent)
    m = a.next(); q = m.properties
    print(m.topic or 'alias %d' % q.TopicAlias, m.payload.decode(), m.qos, bool(m.retain), sorted(q.SubscriptionIdentifier), q.PayloadFormatIndicator, q.MessageExpiryInterval, q.ContentType,
          q.ResponseTopic, q.CorrelationData, q.UserProperty)
    assert b.next() == 'published'
b.c.publish('plant/2', 'x' * 2000, qos=1) # more than a takes
b.c.publish('plant/2', 'small', qos=1)
print(a.next().payload.decode())
b.c._sock.shutdown(socket.SHUT_RDWR)
m = a.next(); print(m.topic, m.payload.decode(), m.properties.ContentType)
b.stop(); a.stop()
`)
	const want = `Success auto- 3600 1024 64 1048576 1
Granted QoS 1 Granted QoS 2
plant/1 x0 0 False [3, 4] 1 100 t r b'\x00\xff' [('k', '1'), ('j', '2'), ('k', '3')]
alias 1 x1 1 False [3, 4] 1 100 t r b'\x00\xff' [('k', '1'), ('j', '2'), ('k', '3')]
alias 1 x2 2 True [3, 4] 1 100 t r b'\x00\xff' [('k', '1'), ('j', '2'), ('k', '3')]
small
plant/gone gone text/plain
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestPahoPythonVersion5SessionsAndSharing(t *testing.T) {
	r := start(t)
	got := r.paho(t, `
s = Client('s', clean=False, SessionExpiryInterval=100)
print(s.subscribe('$share/g/a', qos=1)[0], s.subscribe('b', qos=2)[0])
t = Client('t')
t.subscribe('$share/g/a', qos=1)
p = Client('p')
for i in range(4):
    p.c.publish('a', str(i), qos=1)
print([s.next().payload.decode() for _ in range(2)], [t.next().payload.decode() for _ in range(2)])
s.stop()
p.c.publish('b', 'while away', qos=2).wait_for_publish()
s = Client('s', clean=False, SessionExpiryInterval=100)
m = s.next(); print(m.payload.decode(), m.qos, bool(m.dup))
again = Client('s', clean=False)
print(s.next()[1])
`)
	for _, line := range []string{"Granted QoS 1 Granted QoS 2", "['0', '2'] ['1', '3']", "while away 2 False", "Session taken over"} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("%q is missing in:\n%s", line, got)
		}
	}
}

func TestMosquittoVersion5Properties(t *testing.T) {
	r := start(t)
	sub := r.mosquitto(t, "mosquitto_sub", "-V", "mqttv5", "-t", "a/#", "-q", "1", "-C", "2", "-F", "%t %p %q %C %R %D %E %P %S",
		"-D", "subscribe", "subscription-identifier", "9")
	r.subscribers(1)
	for _, payload := range []string{"1", "2"} {
		out := <-r.mosquitto(t, "mosquitto_pub", "-V", "mqttv5", "-t", "a/b", "-q", "1", "-m", payload, "-D", "publish", "content-type", "text", "-D", "publish", "response-topic", "r",
			"-D", "publish", "correlation-data", "c", "-D", "publish", "message-expiry-interval", "60", "-D", "publish", "user-property", "k", "v",
			"-D", "connect", "session-expiry-interval", "0")
		if out != "" {
			t.Fatalf("mosquitto_pub says %q", out)
		}
	}
	if got, want := <-sub, "a/b 1 1 text r c 60 k:v 9\na/b 2 1 text r c 60 k:v 9\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
