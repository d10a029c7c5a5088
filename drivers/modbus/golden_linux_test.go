package modbus

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/drivers/bus/trace"
	"github.com/tidegate/tidegate/gateway"
)

// modbusSerial installs a device made of npm's modbus-serial, as its lock file says, and returns its command.
func modbusSerial(t testing.TB) []string {
	t.Helper()
	needPeer(t, "node (nodejs.org, Debian: nodejs)", "node", "--version")
	dir := filepath.Join("testdata", "peers", "modbus-serial")
	lock, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	if installed, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err != nil || installed.ModTime().Before(lock.ModTime()) {
		needPeer(t, "npm, which installs modbus-serial (nodejs.org, Debian: npm; it asks the npm registry)",
			"npm", "--prefix", dir, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	}
	return []string{"node", filepath.Join(dir, "slave.js")}
}

// peer is a program that nobody here wrote, and the folder name of its traces.
type peer struct {
	name    string
	command func(testing.TB) []string
}

func peers() []peer {
	return []peer{{"libmodbus", libmodbus}, {"modbus-serial", modbusSerial}, {"pymodbus", pymodbus}}
}

// serve starts a peer on a TCP port or a pair of ptys of its own, waits for its first answer, and returns where it is.
func serve(t testing.TB, command []string, transport string) (where string) {
	t.Helper()
	theirs, number := "127.0.0.1", "115200"
	if transport == "tcp" {
		number = freePort(t)
		where = theirs + ":" + number
	} else {
		where, theirs = ptyPair(t)
	}
	start(t, command[0], append(command[1:], transport, theirs, number)...)
	c := traceCase{Transport: transport, Unit: 1, Timeout: "500ms", Points: []casePoint{{Address: "input:0", Type: "uint16"}}}
	probe := newTestDriver(t, c.options(t, where))
	within(t, "the first answer of the peer", func() bool {
		readings, _ := poll(t, probe, 0)
		return readings[0].Quality == gateway.QualityGood
	})
	if err := probe.Close(); err != nil { // libmodbus serves one connection at a time, and a port has one owner
		t.Fatal(err)
	}
	return where
}

// Each request of the driver, and each answer of a device that nobody here wrote, is compared byte by byte with what was recorded: a new
// version of a library, theirs or ours, that changes anything on the wire is seen here. TestTraces plays the same files without the devices.
func TestGoldenTraces(t *testing.T) {
	for _, p := range peers() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			command := p.command(t)
			for _, name := range []string{"tcp", "tcp-functions", "rtu", "rtu-functions"} {
				t.Run(name, steadily(func(t testing.TB) {
					transport, _, _ := strings.Cut(name, "-")
					dir := filepath.Join(traceFolder, p.name+"-"+name)
					c := readCase(t, dir)
					var rec recorder
					o := c.options(t, serve(t, command, transport))
					o.Bus.Trace = rec.tell(t)
					c.check(t, dir, c.run(t, newTestDriver(t, o)))
					compareGolden(t, filepath.Join(dir, "trace.jsonl"), onlyBytes(t, rec.exchanges(t)))
				}))
			}
		})
	}
}

// onlyBytes leaves out of a trace what is never the same twice: times, and how reads cut an answer.
func onlyBytes(t testing.TB, exchanges []trace.Exchange) (lines []byte) {
	t.Helper()
	for _, x := range exchanges {
		only := trace.Exchange{Sent: x.Sent, Outcome: x.Outcome}
		var all []byte
		for _, c := range x.Received {
			all = append(all, c.Bytes...)
		}
		if all != nil {
			only.Receive(0, all)
		}
		var err error
		if lines, err = only.AppendJSON(lines); err != nil {
			t.Fatal(err)
		}
	}
	return lines
}

func compareGolden(t testing.TB, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range max(len(gotLines), len(wantLines)) {
		if i >= len(gotLines) || i >= len(wantLines) || !bytes.Equal(gotLines[i], wantLines[i]) {
			t.Fatalf("conversation %d differs from %s; run with -update if that is right\ngot  %s\nwant %s", i+1, file, line(gotLines, i), line(wantLines, i))
		}
	}
}

func line(lines [][]byte, i int) []byte {
	if i < len(lines) {
		return lines[i]
	}
	return []byte("nothing")
}
