package config

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/configs"
)

var (
	commentedKey   = regexp.MustCompile(`^# (([a-z_]+) = .*)$`)
	commentedTable = regexp.MustCompile(`^# (\[.*)$`)
)

// reference is configs/reference.toml with its single comment marks removed, so that it sets every key.
type reference struct {
	text    string
	example map[int]bool // lines whose value is an example, because the key has no default
}

func readReference(t *testing.T) reference {
	t.Helper()
	ref := reference{example: map[int]bool{}}
	var doc string // the ## lines above
	for i, line := range strings.Split(string(configs.Reference), "\n") {
		if m := commentedKey.FindStringSubmatch(line); m != nil {
			if doc == "" {
				t.Errorf("reference.toml:%d: %s is not explained", i+1, m[2])
			}
			ref.example[i+1] = strings.Contains(doc, "No default.")
			line = m[1]
		} else if m := commentedTable.FindStringSubmatch(line); m != nil {
			line = m[1]
		} else if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "## ") && line != "##" {
			t.Errorf("reference.toml:%d: neither an explanation nor a key: %s", i+1, line)
		}
		if doc += line; !strings.HasPrefix(line, "##") {
			doc = ""
		}
		ref.text += line + "\n"
	}
	return ref
}

func TestReferenceAsItStandsChangesNothing(t *testing.T) {
	cfg := mustParse(t, string(configs.Reference))
	want := newConfig()
	cfg.Warnings = nil
	if diff := cmp.Diff(want, cfg, ignoreSource()); diff != "" {
		t.Errorf("-code +reference.toml:\n%s", diff)
	}
}

func TestReferenceParsesWithEveryKeySet(t *testing.T) {
	text := strings.NewReplacer(
		"writable = false", "writable = true", // min and max want it
		`protocol = "mqtt"`, `protocol = "websocket"`, // paths and origins do
		`client_cert = "none"`, `client_cert = "optional"`, // and client_ca_file
		`payload = "message"`, `payload = "batch"`, // [upstream.route.batch] does
		`transport = "tcp"`, `transport = "tls"`, // [bus.tls] does
		`start = "automatic"`, `start = "lazy"`, // and [upstream.lazy]
	).Replace(readReference(t).text)
	env := testEnv("testdata/certs")
	if _, err := Parse("reference.toml", []byte(text), env); err != nil {
		t.Errorf("%v", err)
	}
}

func TestReferenceShowsEveryKey(t *testing.T) {
	idx, _, err := scan(readReference(t).text)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for path := range idx.entries {
		shown[regexp.MustCompile(`\[\d+\]`).ReplaceAllString(path, "[0]")] = true
	}
	keys := 0
	eachTable("", reflect.TypeFor[Config](), func(path string, fields []field) {
		for _, f := range fields {
			keys++
			if key := join(path, f.key); !shown[key] {
				t.Errorf("reference.toml does not show %s", key)
			}
		}
	})
	if keys < 120 {
		t.Errorf("only %d keys were looked for", keys)
	}
}

func TestReferenceDefaultsAreTheCodes(t *testing.T) {
	ref := readReference(t)
	src := &source{name: "reference.toml", data: ref.text}
	out := &report{src: src, failed: map[string]bool{}}
	tree, ok := parseTree(src, out)
	if !ok {
		t.Fatal(Errors(out.errors))
	}
	shown := newConfig()
	(&decoder{out: out, env: testEnv("testdata")}).document(tree, shown)
	if len(out.errors) > 0 {
		t.Fatal(Errors(out.errors))
	}
	defaults := map[string]any{}
	flatten("", reflect.ValueOf(newConfig()).Elem(), defaults)
	for _, list := range []struct {
		path   string
		member any
	}{
		{"broker.listener[0]", &Listener{}},
		{"upstream[0]", &Upstream{}},
		{"upstream[1]", &Upstream{}},
		{"upstream[2]", &Upstream{}},
		{"upstream[3]", &Upstream{}},
		{"upstream[0].route[0]", &Route{}},
		{"bus[0]", &Bus{}},
		{"bus[1]", &Bus{}},
		{"device[0]", &Device{}},
		{"device[0].point[0]", &Point{}},
		{"device[0].point[1]", &Point{}},
		{"device[0].point[2]", &Point{}},
		{"device[0].point[3]", &Point{}},
		{"modbus_server[0]", &ModbusServer{}},
		{"modbus_server[1]", &ModbusServer{}},
		{"modbus_server[0].register[0]", &ModbusRegister{}},
		{"modbus_server[0].register[1]", &ModbusRegister{}},
		{"modbus_server[0].register[2]", &ModbusRegister{}},
	} {
		list.member.(defaulter).setDefaults()
		flatten(list.path, reflect.ValueOf(list.member).Elem(), defaults)
	}
	values := map[string]any{}
	flatten("", reflect.ValueOf(shown).Elem(), values)
	compared := 0
	for _, path := range slices.Sorted(maps.Keys(values)) {
		if !src.has(path) {
			continue
		}
		line := src.position(src.idx.entries[path].key.start).Line
		def, ok := defaults[path]
		switch {
		case !ok:
			t.Errorf("%s: no default in the code", path)
		case ref.example[line] && !zero(def) && values[path] != def:
			t.Errorf("reference.toml:%d: says that %s has no default, but in the code it is %v", line, path, def)
		case !ref.example[line] && fmt.Sprint(values[path]) != fmt.Sprint(def):
			t.Errorf("reference.toml:%d: shows %s = %v, but the default in the code is %v", line, path, values[path], def)
		case !ref.example[line]:
			compared++
		}
	}
	if compared < 65 {
		t.Errorf("only %d defaults were compared", compared)
	}
}

func zero(v any) bool { return reflect.ValueOf(v).IsZero() }

// flatten lists the values below a struct by their paths in the file.
func flatten(path string, v reflect.Value, out map[string]any) {
	for _, f := range fieldsOf(v.Type()) {
		fv, at0 := v.Field(f.index), join(path, f.key)
		switch {
		case fv.Kind() == reflect.Slice && isTableType(fv.Type().Elem()):
			for i := range fv.Len() {
				flatten(at(at0, i), fv.Index(i), out)
			}
		case fv.Kind() == reflect.Struct && isTableType(fv.Type()):
			flatten(at0, fv, out)
		case fv.Kind() == reflect.Slice:
			out[at0] = fmt.Sprint(fv.Interface())
			if fv.Len() == 0 {
				out[at0] = ""
			}
		default:
			out[at0] = fv.Interface()
		}
	}
}
