package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
)

// Devices tell what they are; one that is not there is named in the error, and the others are asked all the same.
func TestIdentify(t *testing.T) {
	where := simtest.TCP(t, sim.Units(nil, 1, 2), sim.ServerOptions{}).Address
	file := filepath.Join(t.TempDir(), "gw.toml")
	text := fmt.Sprintf("[[broker.listener]]\naddress = \"127.0.0.1:1883\"\nallow_anonymous = true\n[[bus]]\nname = \"plant\"\ntransport = \"tcp\"\nendpoint = %q\nretries = 0\n", where)
	for i, name := range []string{"meter", "absent", "tank"} {
		text += fmt.Sprintf("[[device]]\nname = %q\nbus = \"plant\"\nunit_id = %d\n[[device.point]]\nname = \"p\"\naddress = \"holding:0\"\ntype = \"uint16\"\n", name, []int{1, 9, 2}[i])
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	const says = "  VendorName          Tidegate\n  ProductCode         simulator\n  MajorMinorRevision  1.0\n"
	const gone = "identify device \"absent\": device answered exception 11 (gateway target device failed to respond) to function 43\n"
	for _, tc := range []struct {
		args        []string
		code        int
		out, errors string
	}{
		{nil, exitFailed, "meter\n" + says + "tank\n" + says, gone},
		{[]string{"tank", "--all"}, exitOK, "tank\n" + says, ""},
		{[]string{"meter", "--json"}, exitOK, `{"device":"meter","says":{"MajorMinorRevision":"1.0","ProductCode":"simulator","VendorName":"Tidegate"}}` + "\n", ""},
		{[]string{"meters"}, exitUsage, "", "no such device: \"meters\" is none of meter, absent, tank\n"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"identify", "-c", file}, tc.args...), strings.NewReader(""), &out, &errs)
		if code != tc.code || out.String() != tc.out || errs.String() != tc.errors {
			t.Errorf("identify %v: code %d, output\n%s%s\nwant %d\n%s%s", tc.args, code, out.String(), errs.String(), tc.code, tc.out, tc.errors)
		}
	}
}
