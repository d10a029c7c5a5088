package app

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someAreas = `00400000-00dae000 r-xp 00000000 fe:00 10379298                           /opt/tidegate
Size:               9912 kB
Rss:                9140 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00dae000-0177c000 r--p 009ae000 fe:00 10379298                           /opt/tidegate
Rss:                8296 kB
Anonymous:             0 kB
0177c000-01800000 r--p 0137c000 fe:00 10379298                           /opt/tidegate
Rss:                 400 kB
Anonymous:             4 kB
01800000-01801000 rw-p 0137c000 fe:00 10379298                           /opt/tidegate
Rss:                   4 kB
Anonymous:             0 kB
1cfc84c00000-1cfc85c00000 rw-p 00000000 00:00 0 
Rss:               10680 kB
Anonymous:         10680 kB
7f3882a12000-7f3882a96000 r--p 00000000 fe:00 10379299                   /opt/data
Rss:                 400 kB
Anonymous:             0 kB
`

// Only what shows the program's file as it is may go: written to, even before it became constant, or of another file, it stays.
func TestProgramAreas(t *testing.T) {
	got, err := programAreas(strings.NewReader(someAreas), "/opt/tidegate")
	if err != nil {
		t.Fatal(err)
	}
	want := []area{
		{start: 0x400000, end: 0xdae000, resident: 9140 << 10, name: "/opt/tidegate", constant: true},
		{start: 0xdae000, end: 0x177c000, resident: 8296 << 10, name: "/opt/tidegate", constant: true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(area{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUnmapProgram(t *testing.T) {
	n, err := unmapProgram()
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Error("nothing was mapped of a program that runs")
	}
	text, err := os.ReadFile("/proc/self/smaps") // the code goes on
	if err != nil || len(text) == 0 {
		t.Errorf("after it: %v", err)
	}
}
