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

	"github.com/tidegate/tidegate/buffer"
	"github.com/tidegate/tidegate/gateway/api"
)

// TestDialGatewayThatHangs has a gateway whose socket takes connections, and nothing that answers them.
func TestDialGatewayThatHangs(t *testing.T) {
	p := place{socket: filepath.Join(t.TempDir(), api.ControlSocket)}
	l, err := api.ListenControl(p.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := dialGateway(ctx, p); err == nil || !strings.Contains(err.Error(), "a gateway runs and does not answer") {
		t.Errorf("got %v", err)
	}
}

func TestDialGatewayThatIsNotThere(t *testing.T) {
	for name, p := range map[string]place{
		"no socket":      {socket: filepath.Join(t.TempDir(), api.ControlSocket)},
		"no data folder": {socket: filepath.Join(t.TempDir(), "missing", api.ControlSocket)},
		"only a file":    {},
	} {
		if c, err := dialGateway(t.Context(), p); c != nil || err != nil {
			t.Errorf("%s: got %v, %v", name, c, err)
		}
	}
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	good, text, missing := filepath.Join(dir, "good.db"), filepath.Join(dir, "text.db"), filepath.Join(dir, "missing")
	store, err := buffer.Open(t.Context(), buffer.Options{Path: good})
	if err != nil {
		t.Fatal(err)
	}
	store.Queue("session/tv")
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // Run commits what there is, and ends
	if err := errors.Join(store.Run(ctx), store.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(text, []byte("This is a text."), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		want int
	}{
		{"buffer", exitOK},
		{"buffer stats --file " + good, exitOK},
		{"buffer verify --file " + good, exitOK},
		{"buffer list session/tv --file " + good, exitOK},
		{"buffer peek session/tv --file " + good, exitFailed}, // it is empty
		{"buffer stats --file " + text, exitFailed},
		{"buffer stats --file " + missing, exitUsage},
		{"buffer stats -c " + missing, exitUsage},
		{"buffer stats -c " + missing + " --file " + good, exitUsage},
		{"buffer list clod --file " + good, exitUsage},
		{"buffer export clod --file " + good, exitUsage},
		{"buffer purge clod --yes --file " + good, exitUsage},
		{"buffer dead show x --file " + good, exitUsage},
		{"buffer dead drop --file " + good, exitUsage},
		{"buffer dead drop 1 --all --file " + good, exitUsage},
		{"buffer list", exitUsage},
		{"buffer frobnicate", exitUsage},
		{"bridge test -c " + missing, exitUsage},
	} {
		var out bytes.Buffer
		if got := run(t.Context(), strings.Fields(c.args), strings.NewReader(""), &out, &out); got != c.want {
			t.Errorf("tidegate %s: exit code %d, want %d\n%s", c.args, got, c.want, out.String())
		}
	}
}
