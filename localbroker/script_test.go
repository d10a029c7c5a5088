package localbroker_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet/packettest"
)

// script is a conversation with the broker, byte for byte. Each line is one step of a client, which has a name of one letter:
//
//	c> bytes   c sends them; it connects to the listener first if it has not
//	c< bytes   c reads exactly these
//	c~         nothing has come for c, which is alive
//	c!         the broker has closed c's connection, and nothing came before
//	c.         c closes its socket, and the broker has noticed
//	=crash     the gateway is killed and started again
//
// Bytes are in the notation of packettest. A * is the length of what follows it. CONNECT stands for a CONNECT with Clean Start that wants no
// reason strings and has its client's name as its identifier, CONNACK for its answer, SESSION for the one that tells of a session.
type script struct {
	clause string // the normative statements that it shows, of the version that it speaks
	name   string
	adjust func(*localbroker.Options)
	steps  string
}

// limits are the properties of CONNACK with the broker's defaults.
const limits = "21 04 00 22 00 40 25 01 27 00 10 00 00 28 01 29 01 2a 01"

var words = strings.NewReplacer(
	"CONNACK", "20 * 00 00 13 "+limits,
	"SESSION", "20 * 01 00 13 "+limits,
)

// runScripts carries out scripts over the reference store and over the one that the gateway has.
func runScripts(t *testing.T, scripts []script) {
	for name, newHost := range map[string]func() host{
		"reference": func() host { return &memHost{} },
		"buffer":    func() host { return &bufferHost{} },
	} {
		t.Run(name, func(t *testing.T) {
			for _, s := range scripts {
				t.Run(s.clause+" "+s.name, func(t *testing.T) { s.run(t, newHost()) })
			}
		})
	}
}

func (s *script) run(t *testing.T, h host) {
	var adjust []func(*localbroker.Options)
	if s.adjust != nil {
		adjust = append(adjust, s.adjust)
	}
	p := &player{r: startOn(t, h, adjust...), clients: map[string]*raw{}}
	for line := range strings.Lines(s.steps) {
		if line = strings.TrimSpace(line); line != "" {
			p.step(t, line)
		}
	}
}

// player carries out a script.
type player struct {
	r       *rig
	clients map[string]*raw
}

func (p *player) step(t *testing.T, line string) {
	t.Helper()
	if line == "=crash" {
		p.r.crash()
		p.clients = map[string]*raw{}
		return
	}
	name, verb, rest := line[:1], line[1], strings.TrimSpace(line[2:])
	c := p.clients[name]
	if c == nil {
		c = p.r.dial()
		p.clients[name] = c
	}
	told := &told{TB: t, line: line}
	c.t = told
	switch verb {
	case '>':
		c.write(notation(rest, name))
	case '<':
		c.expectBytes(notation(rest, name))
	case '~':
		c.nothing()
	case '!':
		c.closed()
		delete(p.clients, name)
	case '.':
		c.close()
		delete(p.clients, name)
		eventually(told, "the end of the connection", func() bool {
			for _, info := range p.r.broker.Clients() {
				if info.ID == name && info.Remote != "" {
					return false
				}
			}
			return true
		})
	default:
		t.Fatalf("a script has the line %q", line)
	}
}

// told names the line of a script that failed.
type told struct {
	testing.TB
	line string
}

func (t *told) Fatalf(format string, args ...any) {
	t.TB.Helper()
	t.TB.Fatalf("%s\n"+format, append([]any{t.line}, args...)...)
}

func (t *told) Fatal(args ...any) {
	t.TB.Helper()
	t.TB.Fatal(append([]any{t.line + "\n"}, args...)...)
}

func notation(s, name string) []byte {
	s = strings.ReplaceAll(s, "CONNECT", "10 * 00 04 'MQTT' 05 02 00 00 | 02 17 00 | 00 01 '"+name+"'")
	s = words.Replace(s)
	head, tail, found := strings.Cut(s, "*")
	if !found {
		return packettest.Bytes(s)
	}
	rest := packettest.Bytes(tail)
	out := binary.AppendUvarint(packettest.Bytes(head), uint64(len(rest))) // a remaining length is one
	return append(out, rest...)
}
