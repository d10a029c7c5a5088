package sim

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// The kinds of access of Modbus Application Protocol V1.1b3, 6.21.
func TestIdentify(t *testing.T) {
	const vendor, product, revision = "00 08 5469646567617465", "01 09 73696d756c61746f72", "02 03 312e30"
	for _, tc := range []struct{ name, request, want string }{
		{"Basic", "2b 0e 01 00", "2b 0e 01 81 00 00 03" + vendor + product + revision},
		{"ExtendedHasNoMore", "2b 0e 03 00", "2b 0e 03 81 00 00 03" + vendor + product + revision},
		{"FromAnObjectOn", "2b 0e 01 02", "2b 0e 01 81 00 00 01" + revision},
		{"FromOneThatIsNotThere", "2b 0e 02 80", "2b 0e 02 81 00 00 03" + vendor + product + revision},
		{"OneObject", "2b 0e 04 01", "2b 0e 04 81 00 00 01" + product},
		{"NoSuchObject", "2b 0e 04 03", "ab 02"},
		{"NoSuchAccess", "2b 0e 05 00", "ab 03"},
		{"TooShort", "2b 0e 01", "ab 03"},
		{"AnotherInterface", "2b 0d 01 00", "ab 01"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			request, err1 := hex.DecodeString(strings.ReplaceAll(tc.request, " ", ""))
			want, err2 := hex.DecodeString(strings.ReplaceAll(tc.want, " ", ""))
			if got := NewBank(Layout{}).Respond(request); err1 != nil || err2 != nil || !bytes.Equal(got, want) {
				t.Errorf("Respond(%s) = % x\nwant % x (%v, %v)", tc.request, got, want, err1, err2)
			}
		})
	}
}
