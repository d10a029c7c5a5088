package packet_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/localbroker/packet"
	"github.com/tidegate/tidegate/localbroker/packet/packettest"
)

func TestErrorText(t *testing.T) {
	tests := []struct {
		raw  string
		v    packet.Version
		want string
	}{
		{"30 05 | 00 03 'a/#'", packet.V311, "malformed PUBLISH: topic name: contains a wildcard [MQTT-3.3.2-2]"},
		{"82 02 | 00 01", packet.V311, "protocol error in SUBSCRIBE: payload: holds no topic filter [MQTT-3.8.3-3]"},
		{"82 0b | 00 01 | 00 01 'a' 00 | 00 02 'b#' 01", packet.V311, `malformed SUBSCRIBE: topic filter 2: "#" is not the last level on its own [MQTT-4.7.1-2]`},
		{"10 0d | 00 04 'MQTT' 07 02 00 3c | 00 01 'c'", packet.V311, "refused CONNECT: protocol MQTT level 7: is not supported [MQTT-3.1.2-2]"},
		{"c0 01 00", packet.V311, "malformed PINGREQ: bytes are left over after the last field [section 2.2.3]"},
		{"f0 00", packet.V311, "malformed AUTH: this version has no such packet [section 2.2.1]"},
	}
	for _, tt := range tests {
		if _, err := parse(t, packettest.Bytes(tt.raw), tt.v); errText(err) != tt.want {
			t.Errorf("%s:\n got %q\nwant %q", tt.raw, errText(err), tt.want)
		}
	}
}

// Which CONNACK a CONNECT gets that does not parse.
func TestErrorConnack(t *testing.T) {
	tests := []struct{ name, raw, want string }{
		{"3.1.1 level 3 is answered in 3.1.1", "10 0d | 00 04 'MQTT' 03 02 00 3c | 00 01 'c'", "20 02 00 01"},
		{"MQIsdp level 4", "10 0f | 00 06 'MQIsdp' 04 02 00 3c | 00 01 'c'", "20 02 00 01"},
		{"level 6 is answered in 5", "10 0d | 00 04 'MQTT' 06 02 00 3c | 00 01 'c'", "20 03 00 84 00"},
		{"5 malformed", "10 0e | 00 04 'MQTT' 05 03 00 3c 00 | 00 01 'c'", "20 03 00 81 00"},
		{"5 protocol error", "10 12 | 00 04 'MQTT' 05 02 00 3c | 04 16 00 01 00 | 00 01 'c'", "20 03 00 82 00"},
		{"3.1.1 malformed is cut without an answer", "10 0d | 00 04 'MQTT' 04 03 00 3c | 00 01 'c'", ""},
		{"not MQTT", "10 0d | 00 04 'MQTX' 04 02 00 3c | 00 01 'c'", ""},
		{"not CONNECT", "36 09 | 00 03 'a/b' 00 0a | 'hi'", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(t, packettest.Bytes(tt.raw), packet.V5)
			var e *packet.Error
			if !errors.As(err, &e) {
				t.Fatalf("err = %v", err)
			}
			connack, ok := e.Connack()
			if ok != (tt.want != "") {
				t.Fatalf("Connack = %v, %v", connack, ok)
			}
			if got := connack.Append(nil, e.Version); ok && string(got) != string(packettest.Bytes(tt.want)) {
				t.Errorf("answer % x, want %s", got, tt.want)
			}
		})
	}
}

// Each reason of MQTT 5 becomes a return code that 3.1.1 knows.
func TestConnackReturnCodes(t *testing.T) {
	want := map[packet.ReasonCode]byte{
		packet.ReasonSuccess:                0,
		packet.ReasonUnsupportedVersion:     1,
		packet.ReasonClientIDNotValid:       2,
		packet.ReasonServerUnavailable:      3,
		packet.ReasonServerBusy:             3,
		packet.ReasonQuotaExceeded:          3,
		packet.ReasonConnectionRateExceeded: 3,
		packet.ReasonBadUserNameOrPassword:  4,
		packet.ReasonNotAuthorized:          5,
		packet.ReasonBanned:                 5,
		packet.ReasonTopicNameInvalid:       5,
	}
	for code, b := range want {
		if got := (&packet.Connack{Code: code}).Append(nil, packet.V311); got[3] != b {
			t.Errorf("%v is written as %d, want %d", code, got[3], b)
		}
	}
	for code := range 256 {
		got := (&packet.Connack{Code: packet.ReasonCode(code)}).Append(nil, packet.V31)
		if got[3] > 5 || (got[3] == 0) != (code == 0) {
			t.Errorf("reason code 0x%02x is written as %d", code, got[3])
		}
	}
}

func TestSubackOfOldVersionsKnowsOneFailure(t *testing.T) {
	s := &packet.Suback{ID: 1, Codes: []packet.ReasonCode{packet.ReasonGrantedQoS1, packet.ReasonNotAuthorized}}
	if got, want := s.Append(nil, packet.V311), packettest.Bytes("90 04 00 01 01 80"); string(got) != string(want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

func TestNames(t *testing.T) {
	names := map[string]string{
		packet.V31.String() + " " + packet.V311.String() + " " + packet.V5.String() + " " + packet.Version(9).String(): "3.1 3.1.1 5 level 9",
		packet.TypeConnect.String() + " " + packet.TypeAuth.String() + " " + packet.Type(0).String():                   "CONNECT AUTH packet type 0",
		packet.Type(77).String():                    "packet type 77",
		packet.ReasonSuccess.String():               "success",
		packet.ReasonWildcardsNotSupported.String(): "wildcard subscriptions not supported",
		packet.ReasonCode(0x05).String():            "reason code 0x05",
		packet.ReasonCode(0xff).String():            "reason code 0xff",
	}
	for got, want := range names {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if packet.ReasonGrantedQoS2.Failed() || !packet.ReasonUnspecifiedError.Failed() {
		t.Error("Failed draws the line in the wrong place")
	}
}

func TestDump(t *testing.T) {
	if got, want := packet.Dump([]byte{0x10, 0xff}), "10 ff (2 bytes)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := packet.Dump(nil), " (0 bytes)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got := packet.Dump(make([]byte, 1000))
	if want := strings.TrimSuffix(strings.Repeat("00 ", 32), " ") + " ... (1000 bytes)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHint(t *testing.T) {
	const arrayBuffer = "MQTT.js"
	tests := []struct{ name, raw, want string }{
		{"MQTT.js: three bytes after the remaining length", "10 16 00 00 00 | 00 04 'MQTT' 04 02 00 3c 00 09 'wxclient_'", arrayBuffer},
		{"MQTT.js: two bytes after a remaining length of two", "10 90 01 00 00 | 00 04 'MQTT' 04", arrayBuffer},
		{"MQTT.js: the rest of a buffer behind a packet", "00 00 00 00", arrayBuffer},
		{"a good CONNECT", "10 0d | 00 04 'MQTT' 04 02 00 3c 00 01 'c'", ""},
		{"too short to tell", "10 0d 00", ""},
		{"a remaining length that never ends", "10 ff ff ff ff 00", ""},
		{"a PUBLISH that is wrong in its own way", "32 06 00 01 'a' 00 00 00", ""},
		{"TLS", "16 03 01 02 00 01", "TLS"},
		{"HTTP", "'GET' 20 '/mqtt'", "HTTP"},
		{"PROXY protocol 1", "'PROXY' 20 'TCP4'", "PROXY"},
		{"PROXY protocol 2", "0d 0a 0d 0a 00 0d 0a 'QUIT' 0a 21", "PROXY"},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		got := packet.Hint(packettest.Bytes(tt.raw))
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: Hint = %q, want it to speak of %q", tt.name, got, tt.want)
		}
	}
}
