package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/bridge"
	"github.com/tidegate/tidegate/gateway/config"
)

const twoUpstreams = `
[gateway]
id = "gw"
[[broker.listener]]
address = "127.0.0.1:0"
allow_anonymous = true
[[upstream]]
name = "cloud"
servers = ["mqtt://127.0.0.1:1"]
[[upstream.route]]
direction = "out"
filter = "#"
[[upstream]]
name = "plant"
servers = ["mqtt://127.0.0.1:2"]
[[upstream.route]]
direction = "out"
filter = "#"
`

// bridgeTest runs tidegate bridge test with a probe that reports steps of its own.
func bridgeTest(t *testing.T, p probe, args ...string) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gateway.toml")
	if err := os.WriteFile(path, []byte(twoUpstreams), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := newBridgeCommand(p)
	cmd.SetArgs(append([]string{"test", "-c", path}, args...))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func steps(_ context.Context, _ *config.Config, upstream string, report func(bridge.Step)) error {
	server := "mqtt://" + upstream
	report(bridge.Step{Server: server, Name: "dns", OK: true, Detail: "127.0.0.1"})
	report(bridge.Step{Server: server, Name: "tcp", Took: 1500 * time.Microsecond, OK: true, Detail: "127.0.0.1:1883"})
	if upstream == "plant" {
		report(bridge.Step{
			Server: "mqtt://second", Name: "websocket", Took: 2 * time.Second, Detail: "connection \x1b refused", Advice: "is \x1b the port right?\nis it open?",
		})
	}
	return nil
}

func TestBridgeTestShowsSteps(t *testing.T) {
	out, err := bridgeTest(t, steps)
	want := "upstream cloud, mqtt://cloud\n" +
		"  ok      dns                  127.0.0.1\n" +
		"  ok      tcp          1.5 ms  127.0.0.1:1883\n" +
		"upstream plant, mqtt://plant\n" +
		"  ok      dns                  127.0.0.1\n" +
		"  ok      tcp          1.5 ms  127.0.0.1:1883\n" +
		"upstream plant, mqtt://second\n" +
		"  failed  websocket     2.0 s  \"connection \\x1b refused\"\n" +
		"          \"is \\x1b the port right?\"\n" +
		"          is it open?\n"
	if out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
	if err == nil || err.Error() != `upstream plant: step "websocket" of mqtt://second failed` {
		t.Errorf("got %v", err)
	}
}

func TestBridgeTestOfOneUpstream(t *testing.T) {
	out, err := bridgeTest(t, steps, "cloud", "--json")
	want := `{"upstream":"cloud","server":"mqtt://cloud","step":"dns","ok":true,"took_seconds":0,"detail":"127.0.0.1"}` + "\n" +
		`{"upstream":"cloud","server":"mqtt://cloud","step":"tcp","ok":true,"took_seconds":0.0015,"detail":"127.0.0.1:1883"}` + "\n"
	if out != want || err != nil {
		t.Errorf("got %s, %v, want %s", out, err, want)
	}
}

func TestBridgeTestOfNoUpstream(t *testing.T) {
	_, err := bridgeTest(t, steps, "clod")
	if err == nil || !strings.Contains(err.Error(), `there is no upstream "clod", there are cloud, plant`) || !errors.As(err, new(usageError)) {
		t.Errorf("got %v", err)
	}
}

func TestBridgeTestThatCannotBegin(t *testing.T) {
	broken := errors.New("no client certificate")
	_, err := bridgeTest(t, func(context.Context, *config.Config, string, func(bridge.Step)) error { return broken }, "cloud")
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
