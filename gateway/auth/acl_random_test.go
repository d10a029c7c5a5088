package auth

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// aclSoup makes ACL files, names and topics at random out of few words, so that they meet often.
type aclSoup struct{ *rand.Rand }

func (s aclSoup) one(words ...string) string { return words[s.IntN(len(words))] }

// topic is a topic name of one to four levels; empty levels and levels that look like placeholders are among them.
func (s aclSoup) topic() string {
	levels := make([]string, 1+s.IntN(4))
	for i := range levels {
		levels[i] = s.one("a", "b", "a", "b", "c d", "", "ann", "bob", "dev", "%u", "é", "a$")
	}
	if t := strings.Join(levels, "/"); t != "" && s.IntN(8) > 0 {
		return t
	}
	return "$x/" + strings.Join(levels, "/")
}

// filter is a topic with some levels turned into wildcards or, in a pattern, names.
func (s aclSoup) filter(pattern bool) string {
	levels := strings.Split(s.topic(), "/")
	for i := range levels {
		switch n := s.IntN(8); {
		case n < 2:
			levels[i] = "+"
		case pattern && n < 5:
			levels[i] = s.one("%u", "%c", "%u-%c", "x%u", "%c%c", "%%u")
		}
	}
	switch s.IntN(4) {
	case 0:
		levels = append(levels, "#")
	case 1:
		levels[len(levels)-1] = "#"
	}
	return strings.Join(levels, "/")
}

func (s aclSoup) line() string {
	gap := s.one(" ", " ", " ", "  ")
	end := s.one("", "", "", " ", "\r", "  ")
	switch s.IntN(9) {
	case 0:
		return "user" + gap + s.one("ann", "bob", "c d", "%u", "éva", "ann bob") + end
	case 1:
		return s.one("# topic #", "", "  ", "#user bob")
	case 2, 3, 4:
		return s.one("", "", " ") + "pattern" + gap + s.access() + gap + s.filter(true) + end
	}
	return s.one("", "", " ") + "topic" + gap + s.access() + gap + s.filter(false) + end
}

func (s aclSoup) access() string { return s.one("read", "write", "readwrite", "deny") }

// file is an ACL file. It ends with the rights of the one who looks what comes of it.
func (s aclSoup) file() string {
	lines := make([]string, 3+s.IntN(12))
	for i := range lines {
		lines[i] = s.line()
	}
	return strings.Join(lines, "\n") + "\nuser probe\ntopic #\ntopic $x/#\n"
}

// TestRandomACLsAgreeWithMosquitto asks a mosquitto and us what clients may do under the same file, many files and clients and topics long. Names
// are such that patterns are filled with them alike; TestNamesDoNotWidenPatterns has the others.
func TestRandomACLsAgreeWithMosquitto(t *testing.T) {
	program := peer(t, "mosquitto")
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			soup := aclSoup{rand.New(rand.NewPCG(seed, 4))}
			text := soup.file()
			path := filepath.Join(t.TempDir(), "acl")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			acl, err := LoadACL(path)
			if err != nil {
				t.Fatalf("%v of\n%s", err, text)
			}
			topics := make([]string, 30)
			for i := range topics {
				topics[i] = soup.topic()
			}
			slices.Sort(topics)
			topics = slices.Compact(topics)
			address := startMosquitto(t, program, filepath.Dir(path), "allow_anonymous true\nmax_queued_messages 0\nacl_file "+path+"\n")
			probe := dialMQTT(t, address, "probe", "probe")
			for _, topic := range topics {
				probe.publish(topic, "old")
			}
			probe.everything()
			for _, user := range []string{"", "ann", "bob", "c d", "%u", "éva", "new", "%c"} {
				client := soup.one("c1", "bob", "%u", "c d", "dev")
				c := dialMQTT(t, address, user, client)
				receives := c.everything()
				for _, topic := range topics { // mosquitto 2.0.11 ends a connection that it has denied a message
					one := dialMQTT(t, address, user, client)
					one.send(0x32, mqttField(topic)+"\x00\x01new")
					one.read()
					one.conn.Close()
				}
				published := probe.topics()
				rights := acl.Rights(user, client)
				for _, topic := range topics {
					if got := rights.MayReceive(topic); got != receives[topic] {
						t.Errorf("user %q, client %q receives %q: %v, from mosquitto %v", user, client, topic, got, receives[topic])
					}
					if got := rights.MayPublish(topic); got != published[topic] {
						t.Errorf("user %q, client %q publishes %q: %v, to mosquitto %v", user, client, topic, got, published[topic])
					}
				}
			}
			if t.Failed() {
				t.Logf("the file:\n%s", text)
			}
		})
	}
}

// everything subscribes to all topics and returns those of which a retained message came.
func (c *mqttClient) everything() map[string]bool {
	c.t.Helper()
	c.send(0x82, "\x00\x02"+mqttField("#")+"\x00"+mqttField("$x/#")+"\x00")
	return c.topics()
}

// topics returns the topics of all that has come.
func (c *mqttClient) topics() map[string]bool {
	c.t.Helper()
	c.send(0xc0, "")
	got := map[string]bool{}
	for {
		switch kind, body := c.read(); kind & 0xf0 {
		case 0x30:
			got[string(body[2:2+int(body[0])<<8+int(body[1])])] = true
		case 0xd0:
			return got
		}
	}
}
