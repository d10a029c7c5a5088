package config

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/configs"
)

func mustParse(t *testing.T, data string) *Config {
	t.Helper()
	cfg, err := Parse("test.toml", []byte(data), testEnv("testdata"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestParseAcceptsBothNotationsOfLists(t *testing.T) {
	inline := mustParse(t, `broker.listener = [{ address = "127.0.0.1:1883", allow_anonymous = true }]`)
	headers := mustParse(t, "[[broker.listener]]\naddress = \"127.0.0.1:1883\"\nallow_anonymous = true")
	if diff := cmp.Diff(headers.Broker, inline.Broker); diff != "" {
		t.Errorf("-headers +inline:\n%s", diff)
	}
}

func TestParseSkipsByteOrderMark(t *testing.T) {
	_, err := Parse("bom.toml", []byte("\xef\xbb\xbfx = 1"), Env{})
	if want := `bom.toml:1:1: unknown key "x" in the file`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestPos(t *testing.T) {
	cfg := mustParse(t, string(configs.Demo))
	line := func(text string, nth int) int {
		rest, n := string(configs.Demo), 1
		for ; ; nth-- {
			i := strings.Index(rest, text)
			n += strings.Count(rest[:i], "\n")
			if nth == 0 {
				return n
			}
			rest = rest[i+len(text):]
		}
	}
	for _, tt := range []struct {
		path   string
		line   int
		column int
	}{
		{"bus[1].port", line(`port = "/`, 0), 8},
		{"bus[0].timeout", line("[[bus]]", 0), 1}, // takes its default
		{"device[1]", line("[[device]]", 1), 1},
		{"device[0].point[2].unit", line(`unit = "V"`, 2), 8},
		{"upstream[0].route[5].filter", line(`filter = `, 5), 10},
		{"log.level", 1, 1}, // not in the file, and nothing around it either
	} {
		want := Position{File: "test.toml", Line: tt.line, Column: tt.column}
		if got := cfg.Pos(tt.path); got != want {
			t.Errorf("Pos(%q) = %v, want %v", tt.path, got, want)
		}
		forgotten := *cfg
		forgotten.src = &source{name: cfg.src.name, data: cfg.src.data, idx: cfg.src.idx}
		forgotten.Forget()
		if got := forgotten.Pos(tt.path); got != want {
			t.Errorf("Pos(%q) = %v after Forget, want %v", tt.path, got, want)
		}
	}
}

func TestErrorOfOtherPackages(t *testing.T) {
	cfg := mustParse(t, string(configs.Demo))
	err := error(cfg.Error("bus[1].baud", "the bus is asked for 130 % of what it can carry", "poll less often"))
	var d Diagnostic
	if !errors.As(err, &d) || !strings.HasSuffix(err.Error(), ":8: the bus is asked for 130 % of what it can carry; poll less often") {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(d.Render(), "| baud = 19200\n       |        ^^^^^\n") {
		t.Errorf("got\n%s", d.Render())
	}
}

func TestErrorsUnwrapToDiagnostics(t *testing.T) {
	_, err := Parse("x.toml", []byte("a = 1\nb = 2"), Env{})
	var d Diagnostic
	if !errors.As(err, &d) || d.Line != 1 || d.File != "x.toml" {
		t.Errorf("got %+v", d)
	}
}

func TestLoadStartsRelativeNamesAtTheFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode fs.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("pw", "hunter2\r\n", 0o640) // for the group of the service, without a warning
	write("open", "hunter3\n\n", 0o644)
	write("tidegate.toml", `
[gateway]
data_dir = "data"
[broker]
password_file = "users"
acl_file = "rights"
[[upstream]]
name = "a"
servers = ["mqtt://127.0.0.1"]
username = "u"
password = { file = "pw" }
[[upstream]]
name = "b"
servers = ["mqtt://127.0.0.1"]
username = "u"
password = { file = "open" }
`, 0o644)
	cfg, err := Load(filepath.Join(dir, "tidegate.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.Gateway.DataDir, filepath.Join(dir, "data"); got != want {
		t.Errorf("data_dir is %q, want %q", got, want)
	}
	if got, want := cfg.Broker.PasswordFile, filepath.Join(dir, "users"); got != want {
		t.Errorf("password_file is %q, want %q", got, want)
	}
	if got, want := cfg.Broker.ACLFile, filepath.Join(dir, "rights"); got != want {
		t.Errorf("acl_file is %q, want %q", got, want)
	}
	if got := cfg.Upstreams[0].Password.Reveal(); got != "hunter2" {
		t.Errorf("password is %q", got)
	}
	if got := cfg.Upstreams[1].Password.Reveal(); got != "hunter3\n" {
		t.Errorf("password is %q, want one line end less", got)
	}
	var readable []string
	for _, w := range cfg.Warnings {
		if strings.Contains(w.Message, "can read") {
			readable = append(readable, w.Error())
		}
	}
	if len(readable) != 1 || !strings.Contains(readable[0], "tidegate.toml:16:") {
		t.Errorf("warnings about readable secrets: %q", readable)
	}
}

func TestLoadNamesTheFileItCannotRead(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "missing.toml"), dir} {
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Load(%q): %v", path, err)
		}
	}
	big := filepath.Join(dir, "big.toml")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, maxFileSize+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(big); err == nil || !strings.Contains(err.Error(), "larger than 16MiB") {
		t.Errorf("a large file: %v", err)
	}
}

func TestTwoNamesOfOnePortAreOnePort(t *testing.T) {
	dir := t.TempDir()
	port, link := filepath.Join(dir, "ttyS9"), filepath.Join(dir, "by-id")
	if err := os.WriteFile(port, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(port, link); err != nil {
		t.Fatal(err)
	}
	bus := "[[bus]]\nname = \"NAME\"\ntransport = \"rtu\"\nport = \"PORT\"\n"
	text := strings.NewReplacer("NAME", "a", "PORT", port).Replace(bus) + strings.NewReplacer("NAME", "b", "PORT", link).Replace(bus)
	_, err := Parse("x.toml", []byte(text), OSEnv(""))
	if err == nil || !strings.Contains(err.Error(), "x.toml:8:8: port \""+link+"\": the bus in line 4 has this port already") {
		t.Errorf("got %v", err)
	}
}

func TestCredentialComesFromSystemd(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cloud"), []byte("s3cret"), 0o400); err != nil {
		t.Fatal(err)
	}
	env := OSEnv("")
	env.LookupEnv = func(name string) (string, bool) { return dir, name == "CREDENTIALS_DIRECTORY" }
	cfg, err := Parse("x.toml", []byte(`upstream = [{ name = "a", servers = ["mqtt://h"], username = "u", password = { credential = "cloud" } }]`), env)
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Upstreams[0].Password.Reveal(); got != "s3cret" {
		t.Errorf("got %q", got)
	}
}

func TestLogLevelIsSlogs(t *testing.T) {
	for level, want := range map[LogLevel]slog.Level{LevelDebug: slog.LevelDebug, LevelInfo: slog.LevelInfo, LevelWarn: slog.LevelWarn, LevelError: slog.LevelError} {
		if level.Slog() != want {
			t.Errorf("%v is %v, want %v", level, level.Slog(), want)
		}
	}
}

// The examples are what people start from, so they must give nothing to complain about.
func TestExamplesParseWithoutWarnings(t *testing.T) {
	for name, data := range map[string][]byte{"demo.toml": configs.Demo, "cloud.toml": configs.Cloud, "first.toml": configs.First} {
		cfg, err := Parse(name, data, Env{})
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		for _, w := range cfg.Warnings {
			t.Errorf("warning:\n%s", w.Render())
		}
	}
}
