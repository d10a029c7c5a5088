package e2e_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// program is a client that comes as two programs, one that subscribes and one that publishes.
type program struct {
	t         *testing.T
	name      string
	subscribe func(s session) []string              // the command line
	publisher func(m message, file string) []string // file holds the payload
	parse     func(line string) (message, bool)
	stumbles  func(lines []string) bool // what the program prints shows that a fault of its own keeps it from connecting; nil: it has none
	tally     *atomic.Int32             // counts how often it has been seen

	published int
}

// attempts is how often a program that stumbles is started.
const attempts = 10

// stumbled tells whether the program has, by its lines.
func (p *program) stumbled(lines []string) bool {
	return p.stumbles != nil && p.stumbles(lines)
}

// join implements speaker.
func (p *program) join(s session) member {
	p.t.Helper()
	args := append([]string{need(p.t, "stdbuf", "coreutils"), "-oL", "-eL"}, p.subscribe(s)...)
	for range attempts {
		m := &programMember{process: start(p.t, p.name, args...), parse: p.parse}
		stumbled := false
		m.waitFor("SUBACK", func(lines []string) bool {
			stumbled = p.stumbled(lines)
			return stumbled || slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "SUBACK") })
		})
		if !stumbled {
			return m
		}
		p.tally.Add(1)
		m.kill()
	}
	p.t.Fatalf("%s has not connected in %d attempts, by a fault of its own", p.name, attempts)
	return nil
}

// publish implements speaker. That the program ends well does not tell that the message is acknowledged: what it prints does.
func (p *program) publish(m message) {
	p.t.Helper()
	p.published++
	file := filepath.Join(p.t.TempDir(), "payload")
	if err := os.WriteFile(file, m.payload, 0o600); err != nil {
		p.t.Fatal(err)
	}
	args := p.publisher(m, file)
	for attempt := 1; ; attempt++ {
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if attempt < attempts && p.stumbled(strings.Split(string(out), "\n")) {
			p.tally.Add(1)
			continue
		}
		if acknowledged := []string{"CONNACK", "PUBACK", "PUBCOMP"}[m.qos]; err != nil || !bytes.Contains(out, []byte(acknowledged)) {
			p.t.Fatalf("%s: publish %s: %v: %s", p.name, m.topic, err, out)
		}
		return
	}
}

// programMember is a subscriber that runs.
type programMember struct {
	*process
	parse func(line string) (message, bool)
}

func (m *programMember) messages(lines []string) []message {
	var got []message
	for _, l := range lines {
		if msg, ok := m.parse(l); ok {
			got = append(got, msg)
		}
	}
	return got
}

// all implements member.
func (m *programMember) all() []message { return m.messages(m.process.all()) }

// await implements member.
func (m *programMember) await(topic string, n int) []message {
	m.t.Helper()
	var got []message
	m.waitFor(fmt.Sprintf("%d messages on %s", n, topic), func(lines []string) bool {
		got = onTopic(m.messages(lines), topic)
		return len(got) >= n
	})
	return got
}

// leave implements member.
func (m *programMember) leave() {
	m.t.Helper()
	m.rest()
	_ = m.interrupt(syscall.SIGINT)
}

// rest waits until the program waits for something to come: mosquitto_sub disconnects in its signal handler, and blocks itself when
// it was just about to print.
func (m *programMember) rest() {
	m.t.Helper()
	file := fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for asleep := 0; asleep < 3; <-tick.C {
		stat := read(m.t, file)
		state := strings.TrimSpace(stat[strings.LastIndexByte(stat, ')')+1:])
		if asleep++; state[0] != 'S' {
			asleep = 0
		}
	}
}

// lost implements member: these programs connect again by themselves, so that nobody asks them.
func (m *programMember) lost() {
	m.t.Fatalf("%s is not asked whether it has lost its connection", m.name)
}

// mosquittoClients are mosquitto_sub and mosquitto_pub.
func mosquittoClients(t *testing.T, way road) speaker {
	sub, pub := need(t, "mosquitto_sub", "mosquitto-clients"), need(t, "mosquitto_pub", "mosquitto-clients")
	common := []string{
		"-h", "localhost", "-p", way.site.port(way.transport),
		"-V", map[int]string{3: "mqttv31", 4: "mqttv311", 5: "mqttv5"}[way.version],
	}
	if way.transport == "tls" {
		common = append(common, "--cafile", way.site.ca)
	}
	p := &program{t: t, name: "mosquitto_sub", parse: parseMosquitto}
	p.subscribe = func(s session) []string {
		args := append([]string{sub}, common...)
		args = append(args, "-d", "-F", "MSG %q %r %t %x", "-i", s.id, "-t", s.filter, "-q", strconv.Itoa(s.qos), "-k", strconv.Itoa(max(5, s.keepalive())))
		if s.persistent {
			args = append(args, "-c")
			if way.version == 5 {
				args = append(args, "-x", "3600")
			}
		}
		return append(args, willFlags(s.will)...)
	}
	p.publisher = func(m message, file string) []string {
		args := append([]string{pub}, common...)
		args = append(args, "-d", "-t", m.topic, "-q", strconv.Itoa(m.qos))
		if m.retain {
			args = append(args, "-r")
		}
		if len(m.payload) == 0 {
			return append(args, "-n")
		}
		return append(args, "-f", file)
	}
	return p
}

func parseMosquitto(line string) (message, bool) {
	f := strings.SplitN(line, " ", 5)
	if len(f) != 5 || f[0] != "MSG" {
		return message{}, false
	}
	payload, err := hex.DecodeString(f[4])
	qos, err2 := strconv.Atoi(f[1])
	return message{f[3], payload, qos, f[2] == "1"}, err == nil && err2 == nil
}

// willFlags are those of mosquitto's and of Paho's programs.
func willFlags(will *message) []string {
	if will == nil {
		return nil
	}
	return []string{"--will-topic", will.topic, "--will-payload", string(will.payload), "--will-qos", strconv.Itoa(will.qos)}
}

// pahoC are the example programs of Eclipse Paho C: paho_c_ with its asynchronous library, paho_cs_ with its synchronous one.
func pahoC(prefix string) opener {
	return func(t *testing.T, way road) speaker {
		sub, pub := need(t, prefix+"sub", "paho.mqtt.c-examples"), need(t, prefix+"pub", "paho.mqtt.c-examples")
		common := []string{
			"-c", map[string]string{"tcp": "tcp", "tls": "ssl", "ws": "ws", "wss": "wss"}[way.transport] + strings.TrimLeft(way.url(), "mqtsw"),
			"-V", map[int]string{3: "31", 4: "311", 5: "5"}[way.version], "--cafile", way.site.ca,
		}
		p := &program{t: t, name: prefix + "sub", parse: parsePahoC}
		p.subscribe = func(s session) []string {
			args := append([]string{sub}, common...)
			args = append(args, "--trace", "protocol", "-i", s.id, "-t", s.filter, "-q", strconv.Itoa(s.qos), "-k", strconv.Itoa(s.keepalive()))
			return append(args, willFlags(s.will)...)
		}
		p.publisher = func(m message, file string) []string {
			args := append([]string{pub}, common...)
			args = append(args, "--trace", "protocol", "-i", fmt.Sprint(way.name, "-", p.published), "-t", m.topic, "-q", strconv.Itoa(m.qos))
			if m.retain {
				args = append(args, "-r")
			}
			if len(m.payload) == 0 {
				return append(args, "-n")
			}
			return append(args, "-f", file)
		}
		if prefix == "paho_cs_" && way.transport == "wss" {
			p.stumbles, p.tally = connectsTooEarly, &way.site.stumbles
		}
		return p
	}
}

// connectsTooEarly finds what the synchronous library (1.3.11) now and then does over wss on a busy machine: it takes its upgrade for done,
// sends CONNECT in a connection that has no frames yet, and reads the "HTTP/1.1" of the answer as a packet
// (https://github.com/eclipse-paho/paho.mqtt.c/issues/1061).
func connectsTooEarly(lines []string) bool {
	for _, l := range lines {
		switch {
		case strings.Contains(l, "WebSocket connection upgraded"):
			return false
		case strings.Contains(l, "-> CONNECT "):
			return true
		}
	}
	return false
}

// parsePahoC reads a line as it is printed for a filter with a wildcard: paho_c_sub begins it with the length.
func parsePahoC(line string) (message, bool) {
	topic, payload, ok := strings.Cut(line, "\t")
	if _, rest, found := strings.Cut(topic, " "); found {
		topic = rest
	}
	if !ok || strings.Contains(topic, " ") {
		return message{}, false
	}
	return message{topic, bytes.Clone([]byte(payload)), -1, false}, true
}
