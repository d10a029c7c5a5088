package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/configs"
)

// awkward uses every notation of TOML in which a key or a value can hide.
const awkward = `top = 1
"quoted.key" = 'literal' # a = comment
a.b."c\u0064" = """
[not.a.table]
key = 'not a key' """""
  spaced . keys	=	[ 1,
  # comment with ] and "quotes
  2, { x = 1, y = { z = [[3], []] } },
  '''
]''' , ]
date = 1979-05-27 07:32:00 # a space inside
empty = ""

[table] # comment
key = "\"]"
inline = { b.c = 1, d = [{ e = 1 }, { e = 2 }] }
[table.sub]
key = 2

[[list]]
name = "first"
[list.part]
key = 1
[[list.member]]
n = 0
[[list.member]]
n = 1
[[ list ]]
name = "second"
[[list.member]]
n = 2
['lit eral'."dou\tble"]
k=1`

func TestScanPositions(t *testing.T) {
	idx, _, err := scan(awkward)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ path, key, value string }{
		{`top`, `top`, `1`},
		{`"quoted.key"`, `"quoted.key"`, `'literal'`},
		{`a.b.cd`, `"c\u0064"`, "\"\"\"\n[not.a.table]\nkey = 'not a key' \"\"\"\"\""},
		{`spaced.keys[0]`, `1`, `1`},
		{`spaced.keys[1]`, `2`, `2`},
		{`spaced.keys[2].y.z[0][0]`, `3`, `3`},
		{`spaced.keys[2].y.z[1]`, `[]`, `[]`},
		{`spaced.keys[3]`, "'''\n]'''", "'''\n]'''"},
		{`date`, `date`, `1979-05-27 07:32:00`},
		{`empty`, `empty`, `""`},
		{`table`, `[table]`, `[table]`},
		{`table.key`, `key`, `"\"]"`},
		{`table.inline.b.c`, `c`, `1`},
		{`table.inline.d[1].e`, `e`, `2`},
		{`table.sub`, `[table.sub]`, `[table.sub]`},
		{`list[0].name`, `name`, `"first"`},
		{`list[0].part.key`, `key`, `1`},
		{`list[0].member[1].n`, `n`, `1`},
		{`list[1]`, `[[ list ]]`, `[[ list ]]`},
		{`list[1].name`, `name`, `"second"`},
		{`list[1].member[0].n`, `n`, `2`},
		{`"lit eral"."dou\tble".k`, `k`, `1`},
	}
	for _, tt := range tests {
		e, ok := idx.entries[tt.path]
		if !ok {
			t.Errorf("%s: not found", tt.path)
			continue
		}
		if got := awkward[e.key.start:e.key.end]; got != tt.key {
			t.Errorf("%s: key is %q, want %q", tt.path, got, tt.key)
		}
		if got := awkward[e.value.start:e.value.end]; got != tt.value {
			t.Errorf("%s: value is %q, want %q", tt.path, got, tt.value)
		}
	}
}

// checkScan compares the scanner with the TOML library on a file that the library accepts: the same keys in the same
// order, and a position of its own for everything in the library's tree. It tells whether the library accepts it.
func checkScan(t *testing.T, data string) bool {
	t.Helper()
	var got [][]string
	s := newScanner(data)
	s.found = func(path string) { got = append(got, plainKey(t, path)) }
	err := s.document()
	idx, stop := s.idx, s.pos
	tree := table{}
	md, ok := libraryAccepts(data, &tree)
	if errors.Is(err, errDeep) || !ok {
		return false
	}
	if err != nil {
		t.Errorf("the library accepts what the scanner does not, at byte %d of %q: %v", stop, data, err)
		return true
	}
	var want [][]string
	for _, key := range md.Keys() {
		want = append(want, key)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys of %q differ from the library's (-library +scanner):\n%s", data, diff)
	}
	everyPath("", tree, func(path string) {
		if _, ok := idx.entries[path]; !ok {
			t.Errorf("no position for %s in %q", path, data)
		}
	})
	return true
}

// plainKey returns the parts of the key at a path, without the numbers of members.
func plainKey(t *testing.T, path string) (parts []string) {
	t.Helper()
	for path != "" {
		if path[0] != '"' {
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			parts, path = append(parts, path[:end]), path[end:]
		} else {
			quoted, err := strconv.QuotedPrefix(path)
			if err != nil {
				t.Fatalf("path %q: %v", path, err)
			}
			part, err := strconv.Unquote(quoted)
			if err != nil {
				t.Fatalf("path %q: %v", path, err)
			}
			parts, path = append(parts, part), path[len(quoted):]
		}
		for strings.HasPrefix(path, "[") {
			_, path, _ = strings.Cut(path, "]")
		}
		path = strings.TrimPrefix(path, ".")
	}
	return parts
}

func libraryAccepts(data string, tree *table) (md toml.MetaData, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	md, err := toml.Decode(data, tree)
	return md, err == nil
}

func everyPath(path string, raw any, visit func(string)) {
	visit(path)
	switch v := raw.(type) {
	case table:
		for key, member := range v {
			everyPath(join(path, key), member, visit)
		}
	case []table:
		for i, member := range v {
			everyPath(at(path, i), member, visit)
		}
	case []any:
		for i, member := range v {
			everyPath(at(path, i), member, visit)
		}
	}
}

func TestScanAgreesWithLibrary(t *testing.T) {
	for _, data := range []string{
		awkward, "", "\n", "# only a comment", "a = \"\"\"\"\"\"", "a = ''''''''", "[a]\r\nb = 1\r\n",
		"x = { a = 1, # comment\n b = 2,\n}", string(configs.Reference), string(configs.Demo), string(configs.Cloud), string(configs.First),
	} {
		if !checkScan(t, data) {
			t.Errorf("the library does not accept %q", data)
		}
	}
	accepted := 0
	for _, data := range goldenInputs(t) {
		if checkScan(t, data) {
			accepted++
		}
	}
	if accepted < 90 {
		t.Errorf("only %d of the golden inputs reached the comparison", accepted)
	}
}

// goldenInputs returns all configurations of testdata.
func goldenInputs(t testing.TB) []string {
	var inputs []string
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "config.toml" {
			return err
		}
		data, err := os.ReadFile(path)
		inputs = append(inputs, string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return inputs
}

func TestScanBoundsNesting(t *testing.T) {
	// Without the bound, each of these takes the stack of the TOML library to its end, and the process with it.
	for name, data := range map[string]string{
		"arrays":        "x = " + strings.Repeat("[", 1<<20),
		"inline tables": "x = " + strings.Repeat("{a=", 1<<20),
		"dotted keys":   strings.Repeat("a.", 1<<20) + "a = 1",
		"headers":       "[" + strings.Repeat("a.", 1<<20) + "a]",
		"mixed":         "x = " + strings.Repeat("[{a=", 1<<19),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("deep.toml", []byte(data), Env{})
			var errs Errors
			if !errors.As(err, &errs) || len(errs) != 1 || !strings.HasPrefix(errs[0].Message, "nested more than") {
				t.Errorf("got %v", err)
			}
		})
	}
}
