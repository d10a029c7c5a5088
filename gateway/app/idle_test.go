package app_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/websocket"
)

// idleClients is how many clients BenchmarkIdleClients connects. Those over TLS are fewer: 5,000 handshakes on both sides take long.
const (
	idleClients    = 5000
	idleTLSClients = 2000
)

// holdEnv makes a child of the test binary hold connections: "scheme address count".
const holdEnv = "TIDEGATE_TEST_HOLD"

// BenchmarkIdleClients reports by how much each idle client makes the process larger, over each transport. The clients are in a process of
// their own.
func BenchmarkIdleClients(b *testing.B) {
	for i, scheme := range []string{"mqtt", "mqtts", "ws", "wss"} {
		b.Run(scheme, func(b *testing.B) {
			n := idleClients
			if strings.HasSuffix(scheme, "ss") || scheme == "mqtts" {
				n = idleTLSClients
			}
			for b.Loop() {
				benchIdle(b, scheme, i, n)
			}
		})
	}
}

func benchIdle(b *testing.B, scheme string, i, n int) {
	s := startSite(b, "\n[broker]\nmax_connections = 20000\nconnect_timeout = \"60s\"\n"+allKinds)
	before := rss(b)
	child := exec.Command(os.Args[0], "-test.run=^TestHoldConnections$", "-test.v")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", holdEnv, scheme, s.addr(i), n))
	in, err := child.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		in.Close()
		_ = child.Wait()
	}()
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "held"; {
		said.WriteString(lines.Text() + "\n")
	}
	if got := strings.Count(s.log.String(), `msg="client connected"`); got != n {
		b.Fatalf("%d of %d clients are connected: %s", got, n, &said)
	}
	b.ReportMetric(float64(rss(b)-before-s.log.size())/float64(n)/1024, "KB/client")
}

// rss returns how much memory this process has, in bytes, after it has given back what it does not need.
func rss(b *testing.B) int {
	b.Helper()
	for range 3 { // stacks shrink by halves
		debug.FreeOSMemory()
	}
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func (b *syncBuffer) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Cap()
}

// TestHoldConnections is the process of BenchmarkIdleClients' clients.
func TestHoldConnections(t *testing.T) {
	var scheme, addr string
	var n int
	if _, err := fmt.Sscanf(os.Getenv(holdEnv), "%s %s %d", &scheme, &addr, &n); err != nil {
		t.Skip("it is a part of BenchmarkIdleClients")
	}
	for i := range n {
		c := hold(t, scheme, addr)
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(connectBytes(fmt.Sprint("idle", i), 0)); err != nil {
			t.Fatal(err)
		}
		ack := make([]byte, 4)
		if _, err := io.ReadFull(c, ack); err != nil || !bytes.Equal(ack, []byte{0x20, 2, 0, 0}) {
			t.Fatalf("client %d: % x (%v)", i, ack, err)
		}
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func hold(t *testing.T, scheme, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if scheme == "mqtts" || scheme == "wss" {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	if scheme == "ws" || scheme == "wss" {
		c, err = websocket.Client(context.Background(), c, &url.URL{Scheme: scheme, Host: addr, Path: "/mqtt"}, http.Header{})
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}
