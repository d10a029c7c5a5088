package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/gateway/config"
)

const twoUpstreams = `
[gateway]
data_dir = "data"
[[upstream]]
name = "east"
servers = ["mqtt://127.0.0.1:1"]
[[upstream.route]]
direction = "out"
local_prefix = "tidegate/"
filter = "#"
remote_prefix = "fleet/"
[[upstream.route]]
direction = "in"
filter = "orders/#"
[[upstream]]
name = "west"
servers = ["mqtt://127.0.0.1:2"]
[[upstream.route]]
direction = "out"
filter = "x"
`

func TestProbeOptionsFollowTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	cfg, err := config.Parse("test.toml", []byte(twoUpstreams), config.OSEnv(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(cfg.Gateway.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Gateway.DataDir, idFile), []byte("hall-4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := ProbeOptions(cfg, "east")
	if err != nil {
		t.Fatal(err)
	}
	if o.Topic != "fleet/hall-4/gateway/test" || o.ClientID != "hall-4-east" || strings.Join(o.Filters, " ") != "orders/#" {
		t.Errorf("got %+v", o)
	}
	for name, want := range map[string]string{"": "which upstream? there are east, west", "south": `there is no upstream "south"; there are east, west`} {
		if _, err := ProbeOptions(cfg, name); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", name, err, want)
		}
	}
}
