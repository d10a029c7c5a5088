package e2e_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// natsReady is what a node prints when it knows who leads JetStream. Before that a CONNECT of MQTT is cut off.
const natsReady = "metadata leader"

// natsModule is the server that .ci/nats.mod pins.
const natsModule = "github.com/nats-io/nats-server/v2"

// TestNATSClusterNodeKilled replicates to three NATS nodes with JetStream and loses the one that the gateway is connected to.
func TestNATSClusterNodeKilled(t *testing.T) {
	c := startNATS(t)
	c.runNodeKilled(natsReady)
}

// startNATS starts three nodes that keep MQTT sessions and messages in JetStream, one copy on each. Their limit for a call of JetStream is above
// the 4 to 9 seconds of an election: with the default of 5 s, and a node missing, every other CONNECT and SUBSCRIBE would be refused.
func startNATS(t *testing.T) *cluster {
	t.Helper()
	server := buildNATS(t)
	c := &cluster{t: t, user: "plant7", password: "s3cret, with spaces"}
	ports := freePorts(t, 9) // for each node: clients, routes, MQTT
	var routes []string
	for i := range 3 {
		routes = append(routes, fmt.Sprintf("%q", fmt.Sprintf("nats-route://127.0.0.1:%d", ports[3*i+1])))
	}
	for i := range 3 {
		dir := t.TempDir()
		name := fmt.Sprintf("nats%d", i+1)
		config := filepath.Join(dir, "nats.conf")
		p := ports[3*i : 3*i+3]
		write(t, config, fmt.Sprintf(`
server_name: %s
listen: "127.0.0.1:%d"
jetstream { store_dir: %q }
cluster { name: fleet, listen: "127.0.0.1:%d", routes: [%s] }
accounts {
  FLEET { jetstream: enabled, users: [{ user: %q, password: %q }] }
  SYS { users: [{ user: sys, password: sys }] }
}
system_account: SYS
mqtt { listen: "127.0.0.1:%d", js_api_timeout: "12s" }
`, name, p[0], filepath.Join(dir, "store"), p[1], strings.Join(routes, ", "), c.user, c.password, p[2]))
		c.nodes = append(c.nodes, &clusterNode{
			name: name, port: p[2],
			start: func() *process { return start(t, name, server, "-c", config) },
		})
	}
	for _, n := range c.nodes { // side by side: the nodes elect a leader together
		n.proc = n.start()
	}
	for _, n := range c.nodes {
		n.proc.waitLine(natsReady)
	}
	return c
}

// buildNATS builds the server from the modules that .ci/nats.mod pins, apart from the gateway's own.
func buildNATS(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats-server")
	build := exec.CommandContext(t.Context(), "go", "build", "-modfile=.ci/nats.mod", "-o", path, natsModule)
	build.Dir = filepath.Join("..", "..", "..") // of the repository
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		missing(t, fmt.Sprintf("%s cannot be built here: %v: %s", natsModule, err, out))
	}
	return path
}

// freePorts finds n different ports that were free a moment ago.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}
