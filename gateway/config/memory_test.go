package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestParseMemory bounds what reading takes, most of which is thrown away at once, and what is kept of it. A gateway reads its points when it starts,
// and is as large as it was at its largest moment.
func TestParseMemory(t *testing.T) {
	const points, mostTaken, mostKept = 2000, 6200, 340 // bytes of each point
	var b strings.Builder
	b.WriteString("[[bus]]\nname = \"line\"\ntransport = \"tcp\"\nendpoint = \"192.0.2.1:502\"\n[[device]]\nname = \"meter\"\nbus = \"line\"\nunit_id = 1\n")
	for i := range points {
		fmt.Fprintf(&b, "[[device.point]]\nname = \"point%d\"\naddress = \"holding:%d\"\ntype = \"uint16\"\n", i, i)
	}
	text := []byte(b.String())
	before := memoryNow()
	cfg, err := Parse("points.toml", text, Env{})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Forget()
	after := memoryNow()
	taken, kept := (after.TotalAlloc-before.TotalAlloc)/points, (int64(after.HeapAlloc)-int64(before.HeapAlloc))/points
	t.Logf("%d bytes of each point taken, %d kept", taken, kept)
	if taken > mostTaken {
		t.Errorf("reading took %d bytes of each point, more than %d", taken, mostTaken)
	}
	if kept > mostKept {
		t.Errorf("the configuration keeps %d bytes of each point, more than %d", kept, mostKept)
	}
	runtime.KeepAlive(cfg)
	runtime.KeepAlive(text)
}

func memoryNow() (m runtime.MemStats) {
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}
