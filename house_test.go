// Package tidegate_test holds the rules of the house, checked on the source itself: who may import whom (house_test.go), what no
// file may do (house_source_test.go), and that docs and the systemd unit say what is there (house_docs_test.go).
package tidegate_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// module is the path of this module. Within this file packages of ours go by their folder, such as "buffer".
const module = "github.com/tidegate/tidegate"

// room is a package of ours and what it may import of ours.
type room struct {
	folder string
	may    []string
	why    string
}

// Reasons that several rooms share.
const (
	whyVocabulary = "gateway is the vocabulary that everybody speaks: it knows nobody, so that everybody can know it"
	whySiblings   = "siblings never import each other, so that each can be understood, tested and replaced alone: " +
		"put a shared type in gateway, or a small interface beside its consumer, and let gateway/app join them"
	whyDrivers = "a driver knows the bus it speaks on and nothing else of the gateway: the engine finds it through engine.Driver"
	whyBroker  = "the broker knows its codec and nothing else: storage comes to it as localbroker.Store"
	whyClient  = "the client knows the codec and how to open a connection, and no broker: it talks to any"
	whyBridge  = "the bridge gets connections and credentials as functions: gateway/app joins them, so that each is tested alone"
	whyApp     = "gateway/app is the only place that knows everybody; nobody but cmd and the demo knows it"
	whyCmd     = "cmd turns flags and signals into a call of gateway/app; a verb that works offline may use the component it works on: " +
		"name it here together with the verb"
	whyCerts     = "it does the TLS of a server, whatever travels over it"
	whyWebSocket = "it makes a net.Conn of a WebSocket, whatever travels over it"
	whyData      = "it is data that others read: it needs nobody"
)

// vocabulary is what every component may speak.
func vocabulary(more ...string) []string {
	return append([]string{"gateway", "gateway/payload"}, more...)
}

// house lists every room. A package that is not listed has no place yet, and says so.
func house() []room {
	return []room{
		{".", nil, "the root holds only the rules of the house"},
		{"gateway", nil, whyVocabulary},
		{"gateway/payload", []string{"gateway"}, whyVocabulary},

		{"gateway/ktimer", nil, "a timer knows nothing of who waits for it"},
		{"gateway/engine", vocabulary("gateway/ktimer"), whySiblings},
		{"gateway/config", vocabulary(), whySiblings},
		{"gateway/auth", vocabulary(), whySiblings},
		{"gateway/api", vocabulary(), whySiblings},
		{"gateway/certs", nil, whyCerts},
		{"gateway/websocket", nil, whyWebSocket},
		{"buffer", vocabulary(), whySiblings},
		{"bridge", vocabulary(), whySiblings},
		{"bridge/transport", vocabulary("gateway/websocket"), whyBridge},
		{"bridge/token", vocabulary(), whyBridge},
		{"localbroker", vocabulary("localbroker/packet"), whyBroker},
		{"localbroker/packet", vocabulary(), whyBroker},
		{"localbroker/client", vocabulary("localbroker/packet", "gateway/websocket"), whyClient},
		{"drivers", vocabulary("drivers/bus", "drivers/modbus", "drivers/sim"), whyDrivers},
		{"drivers/bus", vocabulary("drivers/bus/trace", "gateway/ktimer"), whyDrivers},
		{"drivers/bus/trace", nil, "a trace is a file format: it knows nobody, so that whoever has a file can read it"},
		{"drivers/bus/bustest", vocabulary("drivers/bus", "drivers/bus/trace"), "it helps the tests of whoever talks on a bus, and plays traces back"},
		{"drivers/modbus", vocabulary("drivers/bus"), whyDrivers},
		{"drivers/modbus/server", vocabulary("drivers/modbus"), "it serves points as registers with the codecs of the driver, and knows nothing of who has them"},
		{"drivers/sim", vocabulary(), whyDrivers},
		{"web", nil, whyData},
		{"configs", nil, whyData},

		{"gateway/app", vocabulary("gateway/engine", "gateway/config", "gateway/auth", "gateway/api", "gateway/certs", "gateway/websocket", "buffer", "bridge",
			"bridge/transport", "bridge/token", "localbroker", "localbroker/packet", "drivers", "drivers/bus", "drivers/bus/trace", "drivers/modbus", "drivers/modbus/server", "web", "configs"), whyApp},
		{"gateway/app/demo", vocabulary("gateway/app", "gateway/config", "drivers/sim", "configs"), whyApp},
		// buffer and gateway/api: tidegate buffer, on a stopped gateway's file and through the control socket; bridge: tidegate bridge test;
		// localbroker/client with its codec, and bridge/transport for its certificate files: tidegate sub and pub; drivers/modbus: tidegate decode.
		{"cmd/tidegate", vocabulary("gateway/app", "gateway/app/demo", "gateway/auth", "gateway/config", "drivers/sim", "configs",
			"gateway/api", "buffer", "bridge", "bridge/transport", "localbroker/client", "localbroker/packet", "drivers/modbus"), whyCmd},
		{"cmd/tidegate/e2e", nil, "the end-to-end tests drive the built binary as a person does"},
		{"cmd/tidegate/e2e/lossyfs", nil, "a file system knows nothing of who uses it"},
	}
}

// roomOf returns the room of the package in folder. One that helps tests, such as drivers/sim/simtest, may use its parent; as no room
// lists it, only tests can import it.
func roomOf(folder string, rooms []room) (room, bool) {
	if i := slices.IndexFunc(rooms, func(r room) bool { return r.folder == folder }); i >= 0 {
		return rooms[i], true
	}
	if !helpsTests(folder) {
		return room{}, false
	}
	return room{folder, vocabulary(path.Dir(folder)), "a package for tests knows what it helps to test, and nobody else"}, true
}

// helpsTests tells whether the package in folder is part of no binary: it is named after its parent with "test" at the end.
func helpsTests(folder string) bool { return path.Base(folder) == path.Base(path.Dir(folder))+"test" }

// whyOwner is the reason why a module has one owner.
const whyOwner = "one package owns each third-party module, so that replacing the module changes one room"

// whyNoTemplate is the reason why nothing is written with a template.
const whyNoTemplate = "a template calls methods by name, so that the linker must keep them all: the program becomes a tenth larger, in memory too"

// exempt are modules that any package but gateway may import: the Go project's own, in all but name the standard library.
func exempt(modulePath string) bool { return strings.HasPrefix(modulePath, "golang.org/x/") }

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath string
	Standard   bool
	Module     *struct{ Path string }
	Imports    []string
}

func (p pkg) modulePath() string {
	if p.Module == nil {
		return ""
	}
	return p.Module.Path
}

// folder returns the folder of a package of ours, as the rooms are named.
func folder(importPath string) string {
	if importPath == module {
		return "."
	}
	return strings.TrimPrefix(importPath, module+"/")
}

// breaches returns what in pkgs, which must hold their dependencies too, is against the law of imports, each with the reason.
func breaches(pkgs []pkg, rooms []room) []string {
	byPath := make(map[string]pkg, len(pkgs))
	for _, p := range pkgs {
		byPath[p.ImportPath] = p
	}
	var found []string
	for _, p := range pkgs {
		if p.modulePath() == module {
			found = append(found, roomBreaches(p, byPath, rooms)...)
		}
	}
	for modulePath, owners := range importers(pkgs) {
		if len(owners) > 1 && !exempt(modulePath) {
			found = append(found, fmt.Sprintf("%s is imported by %s: %s", modulePath, strings.Join(owners, " and "), whyOwner))
		}
	}
	slices.Sort(found)
	return found
}

// roomBreaches returns what p imports against the law of its room.
func roomBreaches(p pkg, byPath map[string]pkg, rooms []room) []string {
	name := folder(p.ImportPath)
	home, found := roomOf(name, rooms)
	if !found {
		return []string{fmt.Sprintf("%s has no room in the house: name it in house() with what it may import", name)}
	}
	var against []string
	for _, importPath := range p.Imports {
		imported := byPath[importPath]
		switch {
		case imported.modulePath() == module && !slices.Contains(home.may, folder(importPath)):
			against = append(against, fmt.Sprintf("%s imports %s: %s", name, folder(importPath), home.why))
		case name == "gateway" && !imported.Standard && imported.modulePath() != module:
			against = append(against, fmt.Sprintf("gateway imports %s: gateway is standard library only, so that its words bring nothing along", importPath))
		case importPath == "text/template" || importPath == "html/template":
			against = append(against, fmt.Sprintf("%s imports %s: %s", name, importPath, whyNoTemplate))
		}
	}
	return against
}

// importers returns, for each third-party module, the packages of ours that import it outside of tests, sorted.
func importers(pkgs []pkg) map[string][]string {
	moduleOf := make(map[string]string, len(pkgs))
	for _, p := range pkgs {
		moduleOf[p.ImportPath] = p.modulePath()
	}
	owners := map[string]map[string]bool{}
	for _, p := range pkgs {
		if p.modulePath() != module || helpsTests(folder(p.ImportPath)) {
			continue
		}
		for _, importPath := range p.Imports {
			if m := moduleOf[importPath]; m != "" && m != module {
				if owners[m] == nil {
					owners[m] = map[string]bool{}
				}
				owners[m][folder(p.ImportPath)] = true
			}
		}
	}
	sorted := make(map[string][]string, len(owners))
	for m, folders := range owners {
		sorted[m] = slices.Sorted(maps.Keys(folders))
	}
	return sorted
}

// listPackages returns our packages and all they depend on. The imports of test files are not in it: tests may go where they need to.
func listPackages(t *testing.T) []pkg {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Module,Imports", "./...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return pkgs
		case err != nil:
			t.Fatalf("decode go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestImportLaw(t *testing.T) {
	for _, breach := range breaches(listPackages(t), house()) {
		t.Error(breach)
	}
}

// TestImportLawCanFail feeds the checker packages that nobody wrote.
func TestImportLawCanFail(t *testing.T) {
	ours := func(name string, imports ...string) pkg {
		return pkg{ImportPath: module + "/" + name, Module: &struct{ Path string }{module}, Imports: imports}
	}
	theirs := func(importPath, modulePath string) pkg {
		return pkg{ImportPath: importPath, Module: &struct{ Path string }{modulePath}}
	}
	us := func(name string) string { return module + "/" + name }
	tests := []struct {
		name string
		pkgs []pkg
		want []string // a part of each breach
	}{
		{"the road as designed", []pkg{
			ours("gateway", "fmt"), ours("gateway/payload", us("gateway")),
			ours("buffer", us("gateway"), "modernc.org/sqlite"), ours("bridge", us("gateway"), us("gateway/payload")),
			ours("gateway/app", us("buffer"), us("bridge"), us("gateway")), ours("cmd/tidegate", us("gateway/app")),
			{ImportPath: "fmt", Standard: true},
			theirs("modernc.org/sqlite", "modernc.org/sqlite"),
		}, nil},
		{"a driver on its bus", []pkg{ours("drivers/modbus", us("drivers/bus")), ours("drivers/bus")}, nil},
		{"siblings", []pkg{ours("buffer", us("localbroker")), ours("localbroker")}, []string{"buffer imports localbroker: siblings"}},
		{
			"a component knows the app",
			[]pkg{ours("bridge", us("gateway/app")), ours("gateway/app")},
			[]string{"bridge imports gateway/app: siblings"},
		},
		{
			"the vocabulary knows somebody",
			[]pkg{ours("gateway", us("gateway/payload")), ours("gateway/payload")},
			[]string{"gateway imports gateway/payload: gateway is the vocabulary"},
		},
		{
			"the vocabulary brings something along, be it exempt elsewhere",
			[]pkg{ours("gateway", "golang.org/x/sync/errgroup"), theirs("golang.org/x/sync/errgroup", "golang.org/x/sync")},
			[]string{"gateway imports golang.org/x/sync/errgroup: gateway is standard library only"},
		},
		{
			"a bus knows a protocol",
			[]pkg{ours("drivers/bus", us("drivers/modbus")), ours("drivers/modbus")},
			[]string{"drivers/bus imports drivers/modbus: a driver knows"},
		},
		{
			"the command reaches past the app",
			[]pkg{ours("cmd/tidegate", us("localbroker")), ours("localbroker")},
			[]string{"cmd/tidegate imports localbroker: cmd turns"},
		},
		{"a package for tests", []pkg{ours("drivers/sim/simtest", us("drivers/sim")), ours("drivers/sim")}, nil},
		{
			"a package for tests that is shipped",
			[]pkg{ours("gateway/app/demo", us("drivers/sim/simtest")), ours("drivers/sim/simtest")},
			[]string{"gateway/app/demo imports drivers/sim/simtest"},
		},
		{
			"a package for tests that reaches out",
			[]pkg{ours("drivers/sim/simtest", us("buffer")), ours("buffer")},
			[]string{"drivers/sim/simtest imports buffer: a package for tests"},
		},
		{"a template", []pkg{ours("gateway/app/demo", "text/template")}, []string{"gateway/app/demo imports text/template: a template calls"}},
		{"a new folder", []pkg{ours("helpers")}, []string{"helpers has no room"}},
		{
			"two owners of one module, by different packages of it",
			[]pkg{
				ours("buffer", "modernc.org/sqlite"), ours("gateway/api", "modernc.org/sqlite/lib"),
				theirs("modernc.org/sqlite", "modernc.org/sqlite"), theirs("modernc.org/sqlite/lib", "modernc.org/sqlite"),
			},
			[]string{"modernc.org/sqlite is imported by buffer and gateway/api: one package owns"},
		},
		{
			"two packages on golang.org/x",
			[]pkg{
				ours("buffer", "golang.org/x/sys/unix"), ours("bridge", "golang.org/x/sys/unix"),
				theirs("golang.org/x/sys/unix", "golang.org/x/sys"),
			},
			nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := breaches(tt.pkgs, house())
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("got %q, want it to begin with %q", got[i], tt.want[i])
				}
			}
		})
	}
}
