package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// deadUpstream is a consumer that is never online: nothing listens there.
const deadUpstream = `
[[upstream]]
name = "cloud"
servers = ["mqtt://127.0.0.1:1"]
[[upstream.route]]
direction = "out"
filter = "site/#"
`

// TestPubackFollowsTheDisk proves with strace that a PUBACK leaves after an fdatasync that followed the publish. A kill -9 cannot
// prove that, because the page cache survives it.
func TestPubackFollowsTheDisk(t *testing.T) {
	strace := need(t, "strace", "strace")
	g := newPlant(t, deadUpstream)
	trace := filepath.Join(g.dir, "trace")
	// With -D the tracer is the grandchild: signals of the test reach the gateway itself.
	g.start(strace, "-D", "-f", "-o", trace, "-e", "trace=read,write,fsync,fdatasync", "-s", "4096")
	c := dialRaw(t, g.port, "honest")
	const rounds = 5
	for i := range rounds {
		c.publish(t, uint16(i+1), "site/x", fmt.Sprintf("marker-%d", i))
	}
	g.stop()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rounds {
		if err := syncBetween(string(text), fmt.Sprintf("marker-%d", i), uint16(i+1)); err != nil {
			t.Error(err)
		}
	}
}

var (
	publishRead = regexp.MustCompile(`\bread\((\d+), .*`)
	syncEnd     = regexp.MustCompile(`(fdatasync|fsync)(\(\d+\)| resumed>\)) +(= 0|.*= 0)`)
)

// syncBetween looks for: the read of the publish, the end of a sync, the write of its PUBACK to the same descriptor.
func syncBetween(trace, marker string, id uint16) error {
	puback := fmt.Sprintf(`"@\2\%o\%o"`, id>>8, id&0xff)
	fd, synced := "", false
	for line := range strings.Lines(trace) {
		switch {
		case fd == "":
			if strings.Contains(line, marker) {
				if m := publishRead.FindStringSubmatch(line); m != nil {
					fd = m[1]
				} else if strings.Contains(line, "read resumed") {
					fd = "*" // which descriptor stands on the line where the call began
				}
			}
		case syncEnd.MatchString(line):
			synced = true
		case strings.Contains(line, puback) && (fd == "*" || strings.Contains(line, "write("+fd+",")):
			if !synced {
				return fmt.Errorf("the PUBACK of %s left without a sync: %s", marker, line)
			}
			return nil
		}
	}
	return fmt.Errorf("the trace does not show publish and PUBACK of %s", marker)
}

// TestPubackMeansOnDisk copies database and log at the moment of the PUBACK, and finds the record in the copy with Debian's sqlite3.
func TestPubackMeansOnDisk(t *testing.T) {
	sqlite := need(t, "sqlite3", "sqlite3")
	g := newPlant(t, deadUpstream)
	g.start()
	c := dialRaw(t, g.port, "honest")
	for i := range 10 {
		marker := fmt.Sprintf("marker-%d-on-disk", i)
		c.publish(t, uint16(i+1), "site/x", marker)
		dir := t.TempDir()
		copyFile(t, filepath.Join(g.dir, "data", "buffer.db"), filepath.Join(dir, "buffer.db"))
		copyFile(t, filepath.Join(g.dir, "data", "buffer.db-wal"), filepath.Join(dir, "buffer.db-wal"))
		query := fmt.Sprintf("PRAGMA integrity_check; SELECT count(*) FROM chunk WHERE instr(body, CAST('%s' AS BLOB)) > 0;", marker)
		out, err := exec.Command(sqlite, filepath.Join(dir, "buffer.db"), query).CombinedOutput()
		if err != nil || string(bytes.TrimSpace(out)) != "ok\n1" {
			t.Errorf("%s: sqlite3 says %q (%v), want ok and 1", marker, out, err)
		}
	}
	g.stop()
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// rawClient speaks MQTT packet by packet, so that the test knows when an acknowledgement came.
type rawClient struct{ conn net.Conn }

func dialRaw(t *testing.T, port int, id string) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &rawClient{conn}
	body := append([]byte{0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, byte(len(id))}, id...) // 3.1.1, clean session, 60 s
	c.send(t, append([]byte{0x10, byte(len(body))}, body...))
	c.expect(t, []byte{0x20, 2, 0, 0})
	return c
}

func (c *rawClient) send(t *testing.T, b []byte) {
	t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

func (c *rawClient) expect(t *testing.T, want []byte) {
	t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c.conn, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("got % x, want % x", got, want)
	}
}

// publish publishes at QoS 1 and returns when the PUBACK is there.
func (c *rawClient) publish(t *testing.T, id uint16, topic, payload string) {
	t.Helper()
	body := append([]byte{byte(len(topic) >> 8), byte(len(topic))}, topic...)
	body = append(body, byte(id>>8), byte(id))
	body = append(body, payload...)
	c.send(t, append([]byte{0x32, byte(len(body))}, body...))
	c.expect(t, []byte{0x40, 2, byte(id >> 8), byte(id)})
}
