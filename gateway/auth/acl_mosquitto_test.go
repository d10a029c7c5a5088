package auth

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// plantACL uses all that an ACL file can say.
const plantACL = `# what everybody may read without a name
topic read public/#
topic deny public/secret/+
topic write drop/box

user bob
topic plant/bob
topic read plant/#
topic write plant/+/set
topic deny plant/safety/#
topic read $SYS/broker/version
topic readwrite name with space
user ann
topic #
topic deny plant/safety/set
user nobody
user bob
topic read late/line
pattern readwrite own/%u/#
pattern write dev/%c/state
pattern read dev/%c
pattern deny own/+/locked
pattern deny late/#
pattern read both/%u-%c
`

// question asks what a client may do with a topic.
type question struct {
	user, client, topic string
	publish, receive    bool
}

func (q question) who() string { return fmt.Sprintf("user %q, client %q", q.user, q.client) }

// plantQuestions asks plantACL. The answers are ours and mosquitto's.
func plantQuestions() []question {
	const rw = "publish, receive"
	var list []question
	ask := func(user, client string, answers map[string]string) {
		for topic, may := range answers {
			list = append(list, question{
				user, client, topic,
				strings.Contains(may, "publish"), strings.Contains(may, "receive"),
			})
		}
	}
	ask("", "c1", map[string]string{
		"public": "receive", "public/a": "receive", "public/secret": "receive", "public/secret/x": "", "public/secret/x/y": "receive",
		"drop/box": "publish", "plant/a": "", "own//x": "", "dev/c1/state": "publish", "dev/c1": "receive", "dev/c2/state": "",
	})
	ask("bob", "c1", map[string]string{
		"public/a": "", "plant": "receive", "plant/a/b": "receive", "plant/bob": rw, "plant/x/set": rw, "plant/safety": "",
		"plant/safety/set": "", "name with space": rw, "own/bob": rw, "own/bob/x/y": rw, "own/bob/locked": "", "own/ann/x": "", "dev/c1": "receive",
		"dev/c1/state": "publish", "late/line": "receive", "late/other": "", "both/bob-c1": "receive", "both/bob-c2": "", "$SYS/broker/version": "receive",
		"$SYS/broker/uptime": "",
	})
	ask("ann", "c2", map[string]string{
		"any/thing": rw, "public/secret/x": rw, "plant/safety/set": "", "plant/safety/a": rw, "own/ann/locked": rw, "own/x/locked": rw, "dev/c1": rw,
		"$SYS/broker/version": "", "/": rw,
	})
	ask("nobody", "c3", map[string]string{"public/a": "", "own/nobody/x": rw, "own/bob/x": "", "dev/c3/state": "publish", "plant/a": ""})
	ask("eve", "a+b", map[string]string{"own/eve/x": "", "dev/c1/state": ""})
	ask("new", "c4", map[string]string{"own/new/x": rw, "own/new/locked": "", "plant/bob": ""})
	return list
}

// TestACLAgreesWithMosquitto asks a mosquitto with the same file the same questions, on the wire.
func TestACLAgreesWithMosquitto(t *testing.T) {
	program := peer(t, "mosquitto")
	dir := t.TempDir()
	path := filepath.Join(dir, "acl")
	if err := os.WriteFile(path, []byte(plantACL+"user probe\ntopic #\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := startMosquitto(t, program, dir, "allow_anonymous true\nacl_file "+path+"\n")
	probe := dialMQTT(t, address, "probe", "probe")
	questions := plantQuestions()
	for _, q := range questions {
		probe.publish(q.topic, "old")
	}
	for i, q := range questions {
		c := dialMQTT(t, address, q.user, q.client)
		if got := c.retained(q.topic) != ""; got != q.receive {
			t.Errorf("%s receives %s from mosquitto: %v, from us: %v", q.who(), q.topic, got, q.receive)
		}
		text := fmt.Sprint("new ", i)
		c.publish(q.topic, text)
		if strings.HasPrefix(q.topic, "$") {
			continue // the probe cannot look
		}
		if got := probe.retained(q.topic) == text; got != q.publish {
			t.Errorf("%s publishes to %s at mosquitto: %v, here: %v", q.who(), q.topic, got, q.publish)
		}
	}
}

// Lines that mosquitto takes are taken here, and none else, but for one that it misunderstands.
func TestACLLinesAgreeWithMosquitto(t *testing.T) {
	program := peer(t, "mosquitto")
	for _, text := range []string{
		"", "# c", " # c", "topic a", "  topic  read  a b ", "topic foo bar", "topic read write x", "topic", "topic\tread\ta", "user", "user  bob ", "user bob marley",
		"pattern a", "pattern read %u/x", "pattern deny x%c", "topic a+/b", "topic a/#/b", "topic Read a", "topic read a\r", "\t", "topic read \ta", "topic none a", "topics x",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "acl")
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, ours := LoadACL(path)
		theirs := mosquittoStarts(t, program, dir, "acl_file "+path+"\n")
		if (ours == nil) != theirs {
			t.Errorf("%q: here %v, mosquitto takes it: %v", text, ours, theirs)
		}
	}
}

// mosquittoStarts tells whether a mosquitto takes its configuration.
func mosquittoStarts(t *testing.T, program, dir, conf string) bool {
	t.Helper()
	path := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(path, []byte("user root\nlistener 0 "+filepath.Join(dir, "socket")+"\n"+conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-v", "-c", path)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for s := bufio.NewScanner(log); s.Scan(); {
		if strings.HasSuffix(s.Text(), "running") {
			return true
		}
	}
	return false
}

// mqttClient speaks as much of MQTT 3.1.1 as the questions need.
type mqttClient struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dialMQTT(t *testing.T, address, user, client string) *mqttClient {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	c := &mqttClient{t, conn, bufio.NewReader(conn)}
	flags, names := "\x02", mqttField(client)
	if user != "" {
		flags, names = "\x82", names+mqttField(user)
	}
	c.send(0x10, mqttField("MQTT")+"\x04"+flags+"\x00\x3c"+names)
	if kind, body := c.read(); kind != 0x20 || body[1] != 0 {
		t.Fatalf("CONNACK is %x %x", kind, body)
	}
	return c
}

func mqttField(s string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(s)))) + s
}

// publish publishes a retained message at QoS 1 and waits for the answer.
func (c *mqttClient) publish(topic, text string) {
	c.t.Helper()
	c.send(0x33, mqttField(topic)+"\x00\x01"+text)
	if kind, body := c.read(); kind != 0x40 {
		c.t.Fatalf("PUBACK is %x %x", kind, body)
	}
}

// retained subscribes to a topic and returns the retained message that comes of it, "" when none does.
func (c *mqttClient) retained(topic string) (text string) {
	c.t.Helper()
	c.send(0x82, "\x00\x02"+mqttField(topic)+"\x00")
	c.send(0xc0, "")
	for {
		switch kind, body := c.read(); kind & 0xf0 {
		case 0x30:
			text = string(body[2+len(topic):])
		case 0xd0:
			c.send(0xa2, "\x00\x03"+mqttField(topic))
			if kind, body := c.read(); kind != 0xb0 {
				c.t.Fatalf("UNSUBACK is %x %x", kind, body)
			}
			return text
		}
	}
}

func (c *mqttClient) send(kind byte, body string) {
	c.t.Helper()
	packet := append([]byte{kind}, binary.AppendUvarint(nil, uint64(len(body)))...) // MQTT's length is a uvarint
	if _, err := c.conn.Write(append(packet, body...)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *mqttClient) read() (kind byte, body []byte) {
	c.t.Helper()
	kind, err := c.in.ReadByte()
	if err != nil {
		c.t.Fatal(err)
	}
	n, err := binary.ReadUvarint(c.in)
	if err != nil {
		c.t.Fatal(err)
	}
	body = make([]byte, n)
	if _, err := io.ReadFull(c.in, body); err != nil {
		c.t.Fatal(err)
	}
	return kind, body
}
