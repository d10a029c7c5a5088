package packet_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/localbroker/packet"
	"github.com/tidegate/tidegate/localbroker/packet/packettest"
)

// parse frames raw, which must hold exactly one packet, and parses it.
func parse(t *testing.T, raw []byte, v packet.Version) (packet.Packet, error) {
	t.Helper()
	frame, n, err := packet.NextFrame(raw, 0)
	if err != nil {
		return nil, err
	}
	if n != len(raw) {
		t.Fatalf("NextFrame took %d bytes of %d", n, len(raw))
	}
	return packet.Parse(frame, v)
}

func TestCasesParse(t *testing.T) {
	for _, c := range packettest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			got, err := parse(t, c.Raw, c.Version)
			if !c.Valid() {
				checkRefusal(t, c, got, err)
				return
			}
			if err != nil {
				t.Fatalf("Parse: %v", err)
			}
			if diff := cmp.Diff(c.Packet, got); diff != "" {
				t.Errorf("Parse: -want +got\n%s", diff)
			}
		})
	}
}

func checkRefusal(t *testing.T, c packettest.Case, got packet.Packet, err error) {
	t.Helper()
	var e *packet.Error
	if !errors.As(err, &e) {
		t.Fatalf("Parse = %+v, %v, want an *Error", got, err)
	}
	if e.Clause != c.Clause || e.Code != c.Code {
		t.Errorf("refused for %s, %v, want %s, %v\n%v", e.Clause, e.Code, c.Clause, c.Code, e)
	}
	if want := packet.Type(c.Raw[0] >> 4); e.Packet != want {
		t.Errorf("error is about %v, want %v", e.Packet, want)
	}
	if !strings.Contains(err.Error(), "["+c.Clause+"]") {
		t.Errorf("%q does not name its clause", err)
	}
}

func TestCasesAppend(t *testing.T) {
	for _, c := range packettest.Cases() {
		if !c.Valid() {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			before := []byte("before")
			got := c.Packet.Append(before, c.Version)
			if !bytes.HasPrefix(got, before) {
				t.Fatalf("Append overwrote what was there: % x", got)
			}
			if got = got[len(before):]; !bytes.Equal(got, c.Encoded) {
				t.Errorf("Append:\n got % x\nwant % x", got, c.Encoded)
			}
		})
	}
}

// A struct that has been used must give what a new one gives.
func TestCasesParseIntoUsedStruct(t *testing.T) {
	cases := packettest.Cases()
	for _, first := range cases {
		for _, second := range cases {
			if first.Valid() && second.Valid() && first.Packet.Type() == second.Packet.Type() {
				parseTwice(t, first, second)
			}
		}
	}
}

func parseTwice(t *testing.T, first, second packettest.Case) {
	t.Helper()
	p := packet.New(first.Packet.Type())
	for _, c := range []packettest.Case{first, second} {
		frame, _, err := packet.NextFrame(c.Raw, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Parse(frame, c.Version); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
	}
	// Lists keep their memory, so that an empty one may not be nil: compare what is written.
	if got := p.Append(nil, second.Version); !bytes.Equal(got, second.Encoded) {
		t.Errorf("%s after %s:\n got % x\nwant % x", second.Name, first.Name, got, second.Encoded)
	}
}

// Every packet must be refused when it is cut short, unless what is left is whole
// again, and must never be read beyond its end.
func TestCasesCutShort(t *testing.T) {
	for _, c := range packettest.Cases() {
		for n := range len(c.Raw) {
			if len(c.Raw) > 1000 && n%997 != 0 {
				continue
			}
			frame, used, err := packet.NextFrame(c.Raw[:n:n], 0)
			if used != 0 {
				t.Errorf("%s: NextFrame(%d bytes) = %v, %d, %v, want more to be needed", c.Name, n, frame, used, err)
			}
		}
	}
}

func TestCaseNamesAreUnique(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range packettest.Cases() {
		if seen[c.Name] {
			t.Errorf("two cases are named %q", c.Name)
		}
		seen[c.Name] = true
	}
}

// Every rule has a case that breaks it.
func TestEveryClauseHasACase(t *testing.T) {
	have := map[string]bool{
		"":              true,
		"MQTT-3.2.2-15": true, // needs a limit: TestNextFrameTooLarge
		"MQTT-4.7.3-3":  true, // cannot be written on the wire: TestValidTopic
		"section 1.5.3": true, // the same: TestValidateTooLong
		"section 1.5.4": true,
		"section 2.1.2": true, // NextFrame does not know the version: TestParseOtherType
	}
	for _, c := range packettest.Cases() {
		have[c.Clause] = true
	}
	missing := slices.DeleteFunc(packet.Clauses(), func(clause string) bool { return have[clause] })
	if len(missing) > 0 {
		t.Errorf("no case breaks %q", missing)
	}
}

// Every packet type has good cases in every version that has it, and each is written in the
// same way again.
func TestEveryTypeHasACase(t *testing.T) {
	type key struct {
		t packet.Type
		v packet.Version
	}
	have := make(map[key]bool)
	for _, c := range packettest.Cases() {
		if c.Valid() {
			have[key{c.Packet.Type(), c.Version}] = true
		}
	}
	for typ := packet.TypeConnect; typ <= packet.TypeAuth; typ++ {
		for _, v := range []packet.Version{packet.V31, packet.V311, packet.V5} {
			if typ == packet.TypeAuth && v != packet.V5 {
				continue
			}
			if !have[key{typ, v}] {
				t.Errorf("no good case for %v %v", typ, v)
			}
		}
	}
}
