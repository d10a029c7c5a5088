package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const sigterm = syscall.SIGTERM

// plant is a gateway under test: a configuration, a data folder, and the process that runs it now.
type plant struct {
	t      *testing.T
	dir    string
	port   int // of its broker: fixed, since clients come back to it after a kill
	config string
	binary string
	proc   *process
}

// newPlant writes a configuration: [gateway], one listener, and the rest as given.
func newPlant(t *testing.T, rest string) *plant {
	t.Helper()
	g := &plant{t: t, dir: t.TempDir(), port: freePort(t), binary: binary}
	g.config = filepath.Join(g.dir, "tidegate.toml")
	write(t, g.config, fmt.Sprintf(`
[gateway]
id = "plant7"
data_dir = "data"
[log]
level = "debug"
format = "text"
[http]
listen = ""
[[broker.listener]]
address = "127.0.0.1:%d"
allow_anonymous = true
%s`, g.port, rest))
	return g
}

// logLess leaves out what is logged for each message, for tests with many of them.
func (g *plant) logLess() {
	g.t.Helper()
	write(g.t, g.config, strings.Replace(read(g.t, g.config), `"debug"`, `"info"`, 1))
}

// setUpstream adds a line to what the configuration says of the upstream.
func (g *plant) setUpstream(line string) {
	g.t.Helper()
	write(g.t, g.config, strings.Replace(read(g.t, g.config), "[[upstream]]\n", "[[upstream]]\n"+line+"\n", 1))
}

// start runs the gateway, optionally below another program such as strace.
func (g *plant) start(below ...string) {
	g.t.Helper()
	g.proc = start(g.t, "gateway", append(below, g.binary, "run", "-c", g.config)...)
	g.proc.waitLine("gateway is running")
}

// stop ends the gateway as systemd does, and insists on a clean end.
func (g *plant) stop() {
	g.t.Helper()
	if err := g.proc.interrupt(sigterm); err != nil {
		g.t.Errorf("gateway did not stop cleanly: %v", err)
	}
}

func (g *plant) client() []string { return lan(g.port) }

// broker is the address of the gateway's broker.
func (g *plant) broker() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(g.port)) }

// upstreamTo configures the cloud as upstream, reached at addr.
func upstreamTo(t *testing.T, c *cloud, addr, routes string) string {
	t.Helper()
	write(t, c.file("secret"), cloudPassword+"\n")
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`
[[upstream]]
name = "cloud"
servers = ["mqtts://127.0.0.1:%s"]
username = %q
password = { file = %q }
keepalive = "5s"
tls = { ca_file = %q }
%s`, port, cloudUser, c.file("secret"), c.file("ca.pem"), routes)
}

const commonRoutes = `
[[upstream.route]]
direction = "out"
filter = "tidegate/plant7/+"
[[upstream.route]]
direction = "out"
filter = "tidegate/plant7/+/result"
[[upstream.route]]
direction = "out"
filter = "site/#"
[[upstream.route]]
direction = "in"
filter = "tidegate/plant7/+/set"
[[upstream.route]]
direction = "in"
filter = "tidegate/plant7/+/+/set"
`

// points that testdata/slave.py serves as unit 1.
func deviceOn(bus, name string) string {
	return fmt.Sprintf(`
[[device]]
name = %q
bus = %q
unit_id = 1
interval = "200ms"
[[device.point]]
name = "count"
address = "input:0"
type = "uint16"
[[device.point]]
name = "energy"
address = "input:2"
type = "uint32"
[[device.point]]
name = "level"
address = "input:4"
type = "float32"
[[device.point]]
name = "setpoint"
address = "holding:3"
type = "uint16"
writable = true
max = 1000
`, name, bus)
}

func tcpBus(name string, port int) string {
	return fmt.Sprintf("\n[[bus]]\nname = %q\ntransport = \"tcp\"\nendpoint = \"127.0.0.1:%d\"\n", name, port)
}

func rtuBus(name, port string) string {
	return fmt.Sprintf("\n[[bus]]\nname = %q\ntransport = \"rtu\"\nport = %q\nbaud = 19200\nparity = \"none\"\n", name, port)
}

// startTCPSlave runs pymodbus as a Modbus TCP server.
func startTCPSlave(t *testing.T) (*process, int) {
	t.Helper()
	python := needPython(t, "pymodbus", "python3-pymodbus")
	port := freePort(t)
	p := start(t, "modbus tcp slave", python, "testdata/slave.py", "tcp", strconv.Itoa(port))
	p.waitLine("count 1")
	return p, port
}

// startRTUSlave runs pymodbus as an RTU slave behind a pair of ptys that socat makes. It returns the master's port.
func startRTUSlave(t *testing.T) (*process, string) {
	t.Helper()
	python := needPython(t, "pymodbus, serial", "python3-pymodbus, python3-serial")
	dir := t.TempDir()
	master, slave := filepath.Join(dir, "master"), filepath.Join(dir, "slave")
	wire := start(t, "socat", need(t, "socat", "socat"), "-d", "-d", "pty,raw,echo=0,link="+master, "pty,raw,echo=0,link="+slave)
	wire.waitLine("starting data transfer loop")
	p := start(t, "modbus rtu slave", python, "testdata/slave.py", "rtu", slave)
	p.waitLine("count 1")
	return p, master
}

// deviceState is the JSON message of a device.
type deviceState struct {
	Time    time.Time         `json:"time"`
	Seq     uint64            `json:"seq"`
	Quality string            `json:"quality"`
	Values  map[string]any    `json:"values"`
	Bad     map[string]string `json:"bad"`
}

func parseDevice(t *testing.T, payload string) deviceState {
	t.Helper()
	var s deviceState
	if err := json.Unmarshal([]byte(payload), &s); err != nil {
		t.Fatalf("%v in %s", err, payload)
	}
	return s
}

// linkState is the JSON message of birth and will.
type linkState struct {
	State  string `json:"state"`
	Epoch  uint64 `json:"epoch"`
	Reason string `json:"reason"`
}

func parseLink(t *testing.T, payload string) linkState {
	t.Helper()
	var s linkState
	if err := json.Unmarshal([]byte(payload), &s); err != nil {
		t.Fatalf("%v in %s", err, payload)
	}
	return s
}

// counts returns the counts that a slave printed.
func counts(p *process) []uint64 {
	var out []uint64
	for _, l := range p.all() {
		if text, ok := strings.CutPrefix(l, "count "); ok {
			n, err := strconv.ParseUint(text, 10, 64)
			if err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}
