package packet_test

import (
	"slices"
	"testing"

	"github.com/tidegate/tidegate/localbroker/packet"
	"github.com/tidegate/tidegate/localbroker/packet/packettest"
)

// The reason codes of each packet, from the table in its own section of MQTT 5. DISCONNECT has
// one more, 0x8c, which table 2-6 gives it and its own section forgets.
var reasonTables = []struct {
	section string
	before  string // the packet up to its reason code
	after   string
	codes   string
}{
	{"3.2.2.2 CONNACK", "20 03 00", "00", "00 80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f"},
	{"3.4.2.1 PUBACK", "40 04 00 01", "00", "00 10 80 83 87 90 91 97 99"},
	{"3.5.2.1 PUBREC", "50 04 00 01", "00", "00 10 80 83 87 90 91 97 99"},
	{"3.6.2.1 PUBREL", "62 04 00 01", "00", "00 92"},
	{"3.7.2.1 PUBCOMP", "70 04 00 01", "00", "00 92"},
	{"3.9.3 SUBACK", "90 04 00 01 00", "", "00 01 02 80 83 87 8f 91 97 9e a1 a2"},
	{"3.11.3 UNSUBACK", "b0 04 00 01 00", "", "00 11 80 83 87 8f 91"},
	{
		"3.14.2.1 DISCONNECT", "e0 02", "00",
		"00 04 80 81 82 83 87 89 8b 8c 8d 8e 8f 90 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f a0 a1 a2",
	},
	{"3.15.2.1 AUTH", "f0 06", "04 15 00 01 'm'", "00 18 19"},
}

func TestReasonCodesOfEachPacket(t *testing.T) {
	for _, table := range reasonTables {
		allowed := packettest.Bytes(table.codes)
		for code := range 256 {
			raw := append(packettest.Bytes(table.before), byte(code))
			_, err := parse(t, append(raw, packettest.Bytes(table.after)...), packet.V5)
			if want := slices.Contains(allowed, byte(code)); (err == nil) != want {
				t.Errorf("%s with reason code 0x%02x: %v, want it allowed: %v", table.section, code, err, want)
			}
		}
	}
}

// A good value for each property, with its identifier before it (MQTT 5, table 2-4).
var propertyValues = []string{
	"01 01", "02 00 00 00 01", "03 00 01 'c'", "08 00 01 'r'", "09 00 01 00", "0b 01", "11 00 00 00 01", "12 00 01 'i'",
	"13 00 01", "15 00 01 'm'", "16 00 01 00", "17 01", "18 00 00 00 01", "19 01", "1a 00 01 'r'", "1c 00 01 's'",
	"1f 00 01 'r'", "21 00 01", "22 00 01", "23 00 01", "24 01", "25 01", "26 00 01 'k' 00 01 'v'", "27 00 00 00 01",
	"28 01", "29 01", "2a 01",
}

// The properties of each packet, from its own section of MQTT 5.
var propertyTables = []struct {
	section string
	first   string
	before  string // the body up to the property length
	after   string
	ids     string
}{
	// Authentication data needs its method, so that it has cases of its own.
	{"3.1.2.11 CONNECT", "10", "00 04 'MQTT' 05 00 00 00", "00 01 'c'", "11 21 27 22 19 17 26 15"},
	{"3.1.3.2 will", "10", "00 04 'MQTT' 05 04 00 00 00 00 01 'c'", "00 01 'w' 00 00", "18 01 02 03 08 09 26"},
	{"3.2.2.3 CONNACK", "20", "00 00", "", "11 21 24 25 27 12 22 1f 26 28 29 2a 13 1a 1c 15 16"},
	{"3.3.2.3 PUBLISH", "30", "00 01 'a'", "", "01 02 23 08 09 26 0b 03"},
	{"3.4.2.2 PUBACK", "40", "00 01 00", "", "1f 26"},
	{"3.5.2.2 PUBREC", "50", "00 01 00", "", "1f 26"},
	{"3.6.2.2 PUBREL", "62", "00 01 00", "", "1f 26"},
	{"3.7.2.2 PUBCOMP", "70", "00 01 00", "", "1f 26"},
	{"3.8.2.1 SUBSCRIBE", "82", "00 01", "00 01 'a' 00", "0b 26"},
	{"3.9.2.1 SUBACK", "90", "00 01", "00", "1f 26"},
	{"3.10.2.1 UNSUBSCRIBE", "a2", "00 01", "00 01 'a'", "26"},
	{"3.11.2.1 UNSUBACK", "b0", "00 01", "00", "1f 26"},
	{"3.14.2.2 DISCONNECT", "e0", "00", "", "11 1f 26 1c"},
	{"3.15.2.2 AUTH, which needs a method", "f0", "00", "", "15"},
}

func TestPropertiesOfEachPacket(t *testing.T) {
	for _, table := range propertyTables {
		allowed := packettest.Bytes(table.ids)
		for _, notation := range propertyValues {
			property := packettest.Bytes(notation)
			_, err := parse(t, withProperty(table.first, table.before, property, table.after), packet.V5)
			if want := slices.Contains(allowed, property[0]); (err == nil) != want {
				t.Errorf("%s with %v: %v, want it allowed: %v", table.section, packet.PropertyID(property[0]), err, want)
			}
		}
	}
}

// withProperty builds a packet of less than 128 bytes that has one property.
func withProperty(first, before string, property []byte, after string) []byte {
	body := append(packettest.Bytes(before), byte(len(property)))
	body = append(append(body, property...), packettest.Bytes(after)...)
	return append(append(packettest.Bytes(first), byte(len(body))), body...)
}

func TestPropertiesOfAuthBesideItsMethod(t *testing.T) {
	for _, notation := range propertyValues {
		property := packettest.Bytes(notation)
		both := append(packettest.Bytes("15 00 01 'm'"), property...)
		_, err := parse(t, withProperty("f0", "00", both, ""), packet.V5)
		if want := slices.Contains(packettest.Bytes("16 1f 26"), property[0]); (err == nil) != want {
			t.Errorf("AUTH with a method and %v: %v, want it allowed: %v", packet.PropertyID(property[0]), err, want)
		}
	}
}

// AUTH has no short form for a reason code without properties.
func TestAuthWritesItsPropertyLength(t *testing.T) {
	auth := &packet.Auth{Code: packet.ReasonContinueAuthentication}
	if got := auth.Append(nil, packet.V5); string(got) != string(packettest.Bytes("f0 02 18 00")) {
		t.Errorf("got % x", got)
	}
}
