package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/app"
	"github.com/tidegate/tidegate/gateway/config"
)

func load(t *testing.T, dir, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.toml", []byte(text), config.OSEnv(dir))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func open(t *testing.T, dir, text string) (*app.App, error) {
	t.Helper()
	return app.New(t.Context(), app.Options{Config: load(t, dir, text), Logger: slog.New(slog.DiscardHandler), Version: "test"})
}

const minimal = `
[gateway]
data_dir = "data"
[http]
listen = "127.0.0.1:0"
[[broker.listener]]
address = "127.0.0.1:0"
allow_anonymous = true
`

// run runs a gateway and returns how to stop it.
func run(t testing.TB, a *app.App) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stop = func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the gateway did not stop")
		}
		ended <- nil
	}
	t.Cleanup(stop)
	return stop
}

func TestTwoGatewaysInOneProcess(t *testing.T) {
	for range 2 {
		a, err := open(t, t.TempDir(), minimal)
		if err != nil {
			t.Fatal(err)
		}
		run(t, a)
		resp, err := http.Get(fmt.Sprintf("http://%s/healthz", a.HTTPAddr()))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.Contains(string(body), a.ID()) {
			t.Errorf("health of %s is %s", a.ID(), body)
		}
	}
}

func TestIdentityIsKept(t *testing.T) {
	dir := t.TempDir()
	a, err := open(t, dir, minimal)
	if err != nil {
		t.Fatal(err)
	}
	first := a.ID()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(dir, "data", "gateway-id")
	if err := os.WriteFile(kept, []byte("other-name\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err = open(t, dir, minimal); err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if a.ID() != "other-name" || first == "" {
		t.Errorf("ids %q and %q", first, a.ID())
	}
}

func TestTakenPortIsNamedAndEverythingGivenBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	taken := strings.Replace(minimal, `address = "127.0.0.1:0"`, fmt.Sprintf("address = %q", l.Addr()), 1)
	if _, err := open(t, dir, taken); err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "broker.listener") {
		t.Errorf("got %v", err)
	}
	a, err := open(t, dir, minimal) // the buffer's lock is free again
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDataFolderHasOneGateway(t *testing.T) {
	dir := t.TempDir()
	a, err := open(t, dir, minimal)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := open(t, dir, minimal); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "data")) {
		t.Errorf("second gateway on the same data: %v", err)
	}
}

func TestStopIsClean(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		a, err := open(t, dir, minimal)
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, a)
		stop()
	}
}

func TestIDIsKeptWhole(t *testing.T) {
	dir := t.TempDir()
	a, err := open(t, dir, minimal)
	if err != nil {
		t.Fatal(err)
	}
	id := a.ID()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(filepath.Join(dir, "data", "gateway-id")); err != nil || string(kept) != id+"\n" {
		t.Errorf("kept %q, %v, want %q", kept, err, id)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "data", "gateway-id-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	again, err := open(t, dir, minimal)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.ID() != id {
		t.Errorf("the id changed from %q to %q", id, again.ID())
	}
}
