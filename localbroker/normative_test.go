package localbroker_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// statements are the normative statements of one section, by their numbers.
type statements struct {
	section     string
	first, last int
}

// statements4 are those of MQTT 3.1.1 (OASIS Standard, 29 October 2014, appendix B), except for those of its section 7.
var statements4 = []statements{
	{"1.5.3", 1, 3},
	{"2.2.2", 1, 2},
	{"2.3.1", 1, 7},
	{"3.1.0", 1, 2},
	{"3.1.2", 1, 24},
	{"3.1.3", 1, 11},
	{"3.1.4", 1, 5},
	{"3.2.0", 1, 1},
	{"3.2.2", 1, 6},
	{"3.3.1", 1, 12},
	{"3.3.2", 1, 3},
	{"3.3.4", 1, 1},
	{"3.3.5", 1, 2},
	{"3.6.1", 1, 1},
	{"3.8.1", 1, 1},
	{"3.8.3", 1, 3},
	{"3.8.4", 1, 6},
	{"3.9.3", 1, 2},
	{"3.10.1", 1, 1},
	{"3.10.3", 1, 2},
	{"3.10.4", 1, 6},
	{"3.12.4", 1, 1},
	{"3.14.1", 1, 1},
	{"3.14.4", 1, 3},
	{"4.1.0", 1, 2},
	{"4.3.1", 1, 1},
	{"4.3.2", 1, 2},
	{"4.3.3", 1, 2},
	{"4.4.0", 1, 1},
	{"4.5.0", 1, 2},
	{"4.6.0", 1, 6},
	{"4.7.1", 1, 3},
	{"4.7.2", 1, 1},
	{"4.7.3", 1, 4},
	{"4.8.0", 1, 2},
	{"6.0.0", 1, 4},
}

// noCase4 are the statements that need no case here, with the reason.
var noCase4 = map[string]string{
	"2.3.1-2": ofClients, "2.3.1-3": ofClients, "3.1.2-23": ofClients, "3.14.4-1": ofClients, "3.14.4-2": ofClients, "4.5.0-2": ofClients,
	"3.8.3-2": "wildcards are served",
	"4.7.3-3": tooLong,
}

// statements5 are those of MQTT 5 (OASIS Standard, 7 March 2019, appendix B), except for those of its section 7.
var statements5 = []statements{
	{"1.5.4", 1, 3},
	{"1.5.5", 1, 1},
	{"1.5.7", 1, 1},
	{"2.1.3", 1, 1},
	{"2.2.1", 2, 6},
	{"2.2.2", 1, 1},
	{"3.1.0", 1, 2},
	{"3.1.2", 1, 30},
	{"3.1.3", 1, 12},
	{"3.1.4", 1, 6},
	{"3.2.0", 1, 2},
	{"3.2.2", 1, 22},
	{"3.3.1", 1, 13},
	{"3.3.2", 1, 20},
	{"3.3.4", 1, 10},
	{"3.4.2", 1, 3},
	{"3.5.2", 1, 3},
	{"3.6.1", 1, 1},
	{"3.6.2", 1, 3},
	{"3.7.2", 1, 3},
	{"3.8.1", 1, 1},
	{"3.8.3", 1, 5},
	{"3.8.4", 1, 8},
	{"3.9.2", 1, 2},
	{"3.9.3", 1, 2},
	{"3.10.1", 1, 1},
	{"3.10.3", 1, 2},
	{"3.10.4", 1, 6},
	{"3.11.2", 1, 2},
	{"3.11.3", 1, 2},
	{"3.12.4", 1, 1},
	{"3.14.0", 1, 1},
	{"3.14.1", 1, 1},
	{"3.14.2", 1, 4},
	{"3.14.4", 1, 3},
	{"3.15.1", 1, 1},
	{"3.15.2", 1, 3},
	{"4.1.0", 1, 2},
	{"4.2.0", 1, 1},
	{"4.3.1", 1, 1},
	{"4.3.2", 1, 5},
	{"4.3.3", 1, 13},
	{"4.4.0", 1, 2},
	{"4.5.0", 1, 2},
	{"4.6.0", 1, 6},
	{"4.7.0", 1, 1},
	{"4.7.1", 1, 2},
	{"4.7.2", 1, 1},
	{"4.7.3", 1, 4},
	{"4.8.2", 1, 6},
	{"4.9.0", 1, 3},
	{"4.12.0", 1, 7},
	{"4.12.1", 1, 2},
	{"4.13.1", 1, 1},
	{"4.13.2", 1, 1},
	{"6.0.0", 1, 4},
}

// noCase5 are the statements that need no case here, with the reason.
var noCase5 = map[string]string{
	"3.1.2-20": ofClients, "3.1.2-30": ofClients, "3.2.2-4": ofClients, "3.2.2-5": ofClients, "3.2.2-11": ofClients, "3.2.2-14": ofClients,
	"3.2.2-17": ofClients, "3.2.2-18": ofClients, "3.2.2-21": ofClients, "3.3.2-10": ofClients, "3.3.4-8": ofClients, "4.5.0-2": ofClients,
	"3.1.3-8": "no identifier is refused in MQTT 5",
	"3.2.2-1": "CONNACK is compared byte for byte in every script",
	"3.2.2-9": everything, "3.2.2-10": everything, "3.2.2-12": everything, "3.2.2-13": everything,
	"3.2.2-20": noUserProperties, "3.4.2-3": noUserProperties, "3.5.2-3": noUserProperties, "3.6.2-3": noUserProperties, "3.7.2-3": noUserProperties,
	"3.9.2-2": noUserProperties, "3.11.2-2": noUserProperties, "3.14.2-4": noUserProperties,
	"3.3.4-5":  "subscriptions that overlap bring one copy",
	"3.6.2-2":  noReason,
	"3.7.2-2":  noReason,
	"3.11.2-1": noReason,
	"3.14.2-2": "the broker's DISCONNECT has no properties but a reason string; scripts compare it byte for byte",
	"3.15.2-1": noAuth, "3.15.2-2": noAuth, "3.15.2-3": noAuth,
	"4.2.0-1":  "every case runs over TCP",
	"4.7.3-3":  tooLong,
	"4.12.0-2": noAuth, "4.12.0-3": noAuth, "4.12.0-4": noAuth, "4.12.0-5": noAuth, "4.12.1-1": noAuth, "4.12.1-2": noAuth,
}

const (
	tooLong          = "more than 65535 bytes cannot be written; packet.TestValidTopic"
	ofClients        = "binds clients, and nothing here depends on it"
	everything       = "QoS 2 and retained messages are served"
	noUserProperties = "the broker sends no user properties of its own"
	noReason         = "the broker sends no reason string in these packets"
	noAuth           = "there is no enhanced authentication: the broker sends no AUTH and takes none"
)

// Every normative statement is the name of a case or has a reason why it is not, and every number that a case names exists.
func TestNormativeStatementsHaveCases(t *testing.T) {
	webSockets := []string{"../gateway/websocket/websocket_test.go", "../gateway/app/websocket_test.go"}
	t.Run("MQTT 3.1.1", func(t *testing.T) {
		named := namedStatements(t, "3.1.1", "packet/packettest/*.go")
		files := append(webSockets, "protocol_test.go", "protocol4_test.go", "protocol4_session_test.go", "synctest_test.go", "waits_test.go", "publish_test.go")
		maps.Copy(named, namedStatements(t, "", files...))
		checkStatements(t, statements4, noCase4, named)
	})
	t.Run("MQTT 5", func(t *testing.T) {
		named := namedStatements(t, "", append(webSockets, "protocol5_*_test.go", "access5_test.go")...)
		checkStatements(t, statements5, noCase5, named)
	})
}

func checkStatements(t *testing.T, all []statements, noCase, named map[string]string) {
	for _, s := range all {
		for n := s.first; n <= s.last; n++ {
			id := fmt.Sprintf("%s-%d", s.section, n)
			_, hasCase := named[id]
			reason := noCase[id]
			switch {
			case !hasCase && reason == "":
				t.Errorf("MQTT-%s has no case", id)
			case hasCase && reason != "":
				t.Errorf("MQTT-%s has a case in %s and a reason why not: %s", id, named[id], reason)
			}
			delete(named, id)
		}
	}
	for id, file := range named {
		t.Errorf("%s names MQTT-%s, which this version does not have", file, id)
	}
}

// namedStatements returns the numbers of the statements that are names of cases in files, each with one of the files, as MQTT-3.1.0-1 or in the
// name of a test, as TestMQTT_3_1_0_1. Of the rows of tables only those count that say of, which may be "".
func namedStatements(t *testing.T, of string, patterns ...string) map[string]string {
	number := regexp.MustCompile(`MQTT[-_](\d+)[._](\d+)[._](\d+)[-_](\d+)`)
	named := map[string]string{}
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no files %s: %v", pattern, err)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0) // without comments: they prove nothing
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range caseNames(parsed, of) {
				for _, m := range number.FindAllStringSubmatch(name, -1) {
					named[fmt.Sprintf("%s.%s.%s-%s", m[1], m[2], m[3], m[4])] = file
				}
			}
		}
	}
	return named
}

// caseNames returns what a file calls its cases: the names of its tests, of what they Run, and of the rows of their tables, which are keys, fields
// called name or clause, and arguments of the functions that make rows.
func caseNames(file *ast.File, of string) (names []string) {
	add := func(e ast.Node) {
		if row := texts(e); of == "" || slices.ContainsFunc(row, func(s string) bool { return strings.Contains(s, of) }) {
			names = append(names, row...)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if strings.HasPrefix(n.Name.Name, "Test") {
				names = append(names, n.Name.Name)
			}
		case *ast.CallExpr:
			switch f := n.Fun.(type) {
			case *ast.Ident:
				add(n)
			case *ast.SelectorExpr:
				if f.Sel.Name == "Run" && len(n.Args) == 2 {
					add(n.Args[0])
				}
			}
		case *ast.KeyValueExpr:
			switch key := n.Key.(type) {
			case *ast.BasicLit:
				add(key)
			case *ast.Ident:
				if key.Name == "name" || key.Name == "clause" {
					add(n.Value)
				}
			}
		}
		return true
	})
	return names
}

// texts returns the strings that a row is made of. Functions within it belong to no name.
func texts(row ast.Node) (out []string) {
	ast.Inspect(row, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			out = append(out, lit.Value)
		}
		_, isFunc := n.(*ast.FuncLit)
		return !isFunc
	})
	return out
}

// TestCommentsNameNoCase: what caseNames takes for the name of a case, and what it does not.
func TestCommentsNameNoCase(t *testing.T) {
	const source = `package p
// MQTT-1.1.1-1
func TestMQTT_2_2_2_2_Name(t *testing.T) {
	// MQTT-1.1.1-2
	t.Run("MQTT-2.2.2-3", func(t *testing.T) { r.log.await("MQTT-1.1.1-3"); x := "MQTT-1.1.1-4" })
	rows := []row{{name: "MQTT-2.2.2-4", steps: "MQTT-1.1.1-5"}, good("MQTT-2.2.2-5")}
	table := map[string]int{"MQTT-2.2.2-6": 1}
}`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	got := caseNames(file, "")
	want := []string{"TestMQTT_2_2_2_2_Name", `"MQTT-2.2.2-3"`, `"MQTT-2.2.2-4"`, `"MQTT-2.2.2-5"`, `"MQTT-2.2.2-6"`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
