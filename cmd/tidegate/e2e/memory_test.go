package e2e_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// memory is the resident memory of a process, as Linux counts it in /proc.
type memory struct {
	t   *testing.T
	pid int
}

// bytes returns a field of /proc/pid/status: VmRSS is what is resident now, VmHWM the most since the last reset.
func (m memory) bytes(field string) int64 {
	m.t.Helper()
	for line := range strings.Lines(read(m.t, fmt.Sprintf("/proc/%d/status", m.pid))) {
		if text, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			if err != nil {
				m.t.Fatalf("%s: %v", line, err)
			}
			return n << 10
		}
	}
	m.t.Fatalf("/proc/%d/status has no %s", m.pid, field)
	return 0
}

// reset begins a new peak.
func (m memory) reset() {
	m.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", m.pid), []byte("5"), 0); err != nil {
		m.t.Fatalf("reset the peak of memory: %v", err)
	}
}

func (m memory) peak() int64 {
	m.t.Helper()
	return m.bytes("VmHWM")
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
