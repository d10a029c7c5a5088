package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
)

func TestSecretIsNeverShown(t *testing.T) {
	const text = "correct horse"
	s := NewSecret(text)
	holder := struct {
		Open   Secret
		hidden Secret
	}{s, s}
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	log.Info("x", "secret", s, "holder", holder, "pointer", &s)
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "secret", s, "holder", holder)
	encoded, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{logged.String(), string(encoded)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, s), fmt.Sprintf(verb, &s), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, []Secret{s}))
	}
	for _, out := range shown {
		if strings.Contains(out, "correct") || strings.Contains(out, fmt.Sprintf("%x", text)) {
			t.Errorf("shows the secret: %s", out)
		}
	}
	if s.Reveal() != text || !s.IsSet() {
		t.Errorf("Reveal() = %q", s.Reveal())
	}
	if zero := (Secret{}); zero.IsSet() || zero.Reveal() != "" || zero.String() != "" {
		t.Error("the zero Secret is set")
	}
}

func TestDiagnosticsHideSecrets(t *testing.T) {
	for _, line := range []string{
		`password = "hunter2"`, `pasword = 'hunter2'`, `upstream = [{ password = "hunter2", x = 1 }]`, `"password"="hunter2`,
		`api_token = "hunter2\"hunter2"`, `client_secret= 'hunter2`, `servers = ["mqtt://me:hunter2@host:1883"]`, `servers = "mqtt://hunter2@host"`,
		`token = { kind = "azure-sas", key = "hunter2" }`, `token.key = 'hunter2'`, `proxy = "http://me:hunter2@host:1"`, `api_key = "hunter2"`,
		`password = hunter2`, `password = correct hunter2`, `password = """hunter2"""`, `password = '''hunter2'''`, `password = ["hunter2"]`,
		`password.value = "hunter2"`, `password = { value = "hunter2" }`, `password = { "hunter2" }`, `proxy_password = 1hunter2`,
		`servers = ["mqtt://me:a@hunter2@host:1883"]`, `servers = ["mqtt://me:a/hunter2@host:1883"]`,
	} {
		_, err := Parse("x.toml", []byte("[[upstream]]\n"+line+"\n"), Env{})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got\n%v", line, err)
		}
	}
	for _, line := range []string{
		`password_file = "/etc/users"`, `key_file = "/etc/users"`, `keepalive = "/etc/users"`, `password = { env = "NAME" }`, `password.file = "/etc/p"`,
		`token = { kind = "jwt", key_file = "k.pem" }`, `key = "server.key"`, `[upstream.token]`,
	} {
		if got := mask(line); got != line {
			t.Errorf("what is no secret is hidden: %s", got)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0B": 0, "512B": 512, "256KiB": 256 * KiB, "64MiB": 64 * MiB, "1GiB": GiB, "3TiB": 3 * TiB} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: got %d, %v", text, got, err)
		}
		if want.String() != text {
			t.Errorf("%d prints as %s, want %s", want, want, text)
		}
	}
	for _, text := range []string{"", "B", "64", "64MB", "64 MiB", "-1KiB", "1.5GiB", "9223372036854775807KiB", "99999999999999999999B", "8388608TiB"} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]struct {
		address Address
		shown   string
	}{
		"coil:0":        {Address{TableCoil, 0}, "coil:0 (00001)"},
		"discrete:7":    {Address{TableDiscrete, 7}, "discrete:7 (10008)"},
		"input:0x10":    {Address{TableInput, 16}, "input:16 (30017)"},
		"holding:9998":  {Address{TableHolding, 9998}, "holding:9998 (49999)"},
		"holding:9999":  {Address{TableHolding, 9999}, "holding:9999 (410000)"},
		"holding:65535": {Address{TableHolding, 65535}, "holding:65535 (465536)"},
		"00001":         {Address{TableCoil, 0}, "coil:0 (00001)"},
		"10001":         {Address{TableDiscrete, 0}, "discrete:0 (10001)"},
		"30001":         {Address{TableInput, 0}, "input:0 (30001)"},
		"40001":         {Address{TableHolding, 0}, "holding:0 (40001)"},
		"400001":        {Address{TableHolding, 0}, "holding:0 (40001)"},
		"465536":        {Address{TableHolding, 65535}, "holding:65535 (465536)"},
	} {
		var got Address
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want.address || got.String() != want.shown {
			t.Errorf("%s: got %v (%v), want %s", text, got, err, want.shown)
		}
	}
}

func TestServer(t *testing.T) {
	for text, want := range map[string]string{
		"mqtt://h": "mqtt://h:1883", "mqtts://h": "mqtts://h:8883", "mqtts://h:1": "mqtts://h:1", "mqtt://[::1]": "mqtt://[::1]:1883",
		"mqtt://h/": "mqtt://h:1883", "MQTT://H": "mqtt://H:1883", "ws://h": "ws://h:80/mqtt", "wss://h": "wss://h:443/mqtt",
		"ws://h:8083/": "ws://h:8083/", "wss://[::1]/a%20b/c?x=1&y": "wss://[::1]:443/a%20b/c?x=1&y", "ws://h?x=1": "ws://h:80/mqtt?x=1",
	} {
		var got Server
		if err := got.UnmarshalText([]byte(text)); err != nil || got.String() != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
		if u := got.URL(); u.String() != want {
			t.Errorf("%s: URL is %v, want %s", text, u, want)
		}
	}
	for _, text := range []string{"", "h", "mqtt://", "ws://", "ws://:80", "wss://u:p@h/mqtt", "ws://h/mqtt#x", "mqtt:///x", "mqtt://:1883", "mqtt://h:0", "mqtt://h:65536", "mqtt://h?x", "mqtt://h#x", "mqtt://u@h", "http://h"} {
		var got Server
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestProxy(t *testing.T) {
	for text, want := range map[string]string{
		"http://h:3128": "http://h:3128", "socks5://me@[::1]:1080": "socks5://me@[::1]:1080", "https://h:1/": "https://h:1",
	} {
		var got Proxy
		if err := got.UnmarshalText([]byte(text)); err != nil || got.String() != want || !got.IsSet() {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
		if u := got.URL(Secret{}); u.String() != want {
			t.Errorf("%s: URL is %v", text, u)
		}
	}
	for _, text := range []string{"", "h:1", "http://h", "http://:1", "http://h:0", "http://h:65536", "http://h:1/x", "http://me:pw@h:1", "ftp://h:1", "socks4://h:1"} {
		var got Proxy
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
	p := Proxy{Scheme: "http", User: "me", Host: "h", Port: 1}
	if u := p.URL(NewSecret("p@ss")); u.String() != "http://me:p%40ss@h:1" {
		t.Errorf("with a password: %v", u)
	}
	if none := (Proxy{}); none.IsSet() || none.String() != "" || none.URL(Secret{}) != nil {
		t.Error("the zero Proxy is set")
	}
}

func TestPin(t *testing.T) {
	const text = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" // of nothing
	var got Pin
	if err := got.UnmarshalText([]byte(text)); err != nil || got != Pin(sha256.Sum256(nil)) || got.String() != text {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"", "sha256//", text[8:], "sha1" + text[6:], text[:len(text)-4], text + "=", "sha256//!!!!"} {
		var got Pin
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a/c", false},
		{"a/b", "a/b/c", false},
		{"a/+", "a/b", true},
		{"a/+", "+/b", true},
		{"a/+", "a", false},
		{"a/+", "a/b/c", false},
		{"a/#", "a", true},
		{"a/#", "a/b/c", true},
		{"a/#", "b/#", false},
		{"+/b/#", "a/+/c", true},
		{"#", "a/b", true},
		{"#", "$SYS/x", false},
		{"+/x", "$SYS/x", false},
		{"$SYS/#", "$SYS/x", true},
		{"a//b", "a/+/b", true},
		{"/a", "+/a", true},
	} {
		if got := overlap(tt.a, tt.b); got != tt.want {
			t.Errorf("overlap(%q, %q) = %v", tt.a, tt.b, got)
		}
		if got := overlap(tt.b, tt.a); got != tt.want {
			t.Errorf("overlap(%q, %q) = %v", tt.b, tt.a, got)
		}
	}
}

func TestSameSocket(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:1", "127.0.0.1:1", true},
		{"127.0.0.1:1", "127.0.0.1:2", false},
		{"127.0.0.1:1", "127.0.0.2:1", false},
		{"127.0.0.1:1", "localhost:1", true},
		{"127.0.0.1:1", "0.0.0.0:1", true},
		{"127.0.0.1:1", ":1", true},
		{"127.0.0.1:1", "[::]:1", true},
		{"127.0.0.1:1", "[::1]:1", false},
		{"[::1]:1", "0.0.0.0:1", false},
		{"[::1]:1", "[0:0:0:0:0:0:0:1]:1", true},
		{"[::1]:1", ":1", true},
		{"gate.local:1", "0.0.0.0:1", true},
		{"gate.local:1", "10.0.0.1:1", false}, // what it resolves to is not looked up
	} {
		if sameSocket(tt.a, tt.b) != tt.want || sameSocket(tt.b, tt.a) != tt.want {
			t.Errorf("%s and %s: want %v", tt.a, tt.b, tt.want)
		}
	}
}

func TestEchoes(t *testing.T) {
	route := func(filter, local, remote string) Route {
		return Route{Filter: filter, LocalPrefix: local, RemotePrefix: remote}
	}
	for _, tt := range []struct {
		name    string
		in, out Route
		want    bool
	}{
		{"the same topics", route("a/#", "", ""), route("a/b", "", ""), true},
		{"other topics", route("a/#", "", ""), route("b/#", "", ""), false},
		{"the same prefixes", route("#", "l/", "r/"), route("x", "l/", "r/"), true},
		{"other remote prefixes", route("#", "l/", "cmd/"), route("#", "l/", "data/"), false},
		{"other local prefixes", route("#", "cmd/", "r/"), route("#", "data/", "r/"), false},
		{"the out prefixes are longer by one level", route("#", "l/", "r/"), route("#", "l/a/", "r/a/"), true},
		{"the in prefixes are longer by one level", route("#", "l/a/", "r/a/"), route("#", "l/", "r/"), true},
		{"longer, but by different levels", route("#", "l/", "r/"), route("#", "l/a/", "r/b/"), false},
		{"longer, and the filter does not reach there", route("b/#", "l/", "r/"), route("#", "l/a/", "r/a/"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := echoes(tt.in, tt.out); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	names := []string{"", "baud", "parity", "max_registers", "id"}
	for got, want := range map[string]string{
		"bauds": "baud", "buad": "baud", "Baud": "baud", "partiy": "parity", "max_regsters": "max_registers", "maxregister": "max_registers",
		"ip": "id", "colour": "", "x": "", "": "", strings.Repeat("x", 1000): "",
	} {
		if near := nearest(got, names); near != want {
			t.Errorf("nearest(%q) = %q, want %q", got, near, want)
		}
	}
}

func TestDefaultID(t *testing.T) {
	valid := regexp.MustCompile(`^[A-Za-z0-9_-]{8,64}$`)
	for _, host := range []string{"", "plant-pi", "plant.example.com", "höhe 1", strings.Repeat("h", 100)} {
		if id := defaultID(host, []byte("m1")); !valid.MatchString(id) {
			t.Errorf("host %q gives %q", host, id)
		}
	}
	if a, b := defaultID("pi", []byte("m1")), defaultID("pi", []byte("m2")); a == b || a != defaultID("pi", []byte("m1")) {
		t.Errorf("two machines: %q, %q", a, b)
	}
	if id := DefaultID(); !valid.MatchString(id) {
		t.Errorf("this machine gives %q", id)
	}
}
