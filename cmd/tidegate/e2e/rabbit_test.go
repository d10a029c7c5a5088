package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rabbitReady is what a node prints when it takes clients.
const rabbitReady = "Server startup complete"

// rabbitServer is RabbitMQ's own start script. The one in Debian's path changes to the user rabbitmq and to the system's data.
const rabbitServer = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// TestRabbitMQClusterNodeKilled replicates to three RabbitMQ nodes with the MQTT plug-in and loses the one that the gateway is connected to.
func TestRabbitMQClusterNodeKilled(t *testing.T) {
	startRabbitMQ(t).runNodeKilled(rabbitReady)
}

// rabbitDefinitions mirror the queues that MQTT subscriptions without a session have. The plug-in keeps such a queue on the node of its
// client: when that node is gone, the same client id cannot subscribe anywhere else until it is back.
const rabbitDefinitions = `{
	"vhosts": [{"name": "/"}],
	"users": [{"name": "guest", "password": "guest", "tags": "administrator"}],
	"permissions": [{"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
	"policies": [{
		"vhost": "/", "name": "subscriptions", "pattern": "^mqtt-subscription-", "apply-to": "queues", "priority": 0,
		"definition": {"ha-mode": "all", "ha-sync-mode": "automatic"}
	}]
}
`

// rabbit is what the nodes of one cluster share.
type rabbit struct {
	t        *testing.T
	home     string // with the secret by which the nodes know each other
	plugins  string
	defs     string
	epmdPort int // of the daemon that tells the nodes each other's ports
	peers    []string
}

// startRabbitMQ starts three nodes that keep MQTT sessions in quorum queues, one copy on each. Everything listens on loopback only, and
// nothing of the system's own RabbitMQ is read or written.
func startRabbitMQ(t *testing.T) *cluster {
	t.Helper()
	if !exists(rabbitServer) {
		missing(t, rabbitServer+" is not installed (Debian package rabbitmq-server)")
	}
	ports := freePorts(t, 7)
	r := &rabbit{t: t, home: t.TempDir(), epmdPort: ports[6]}
	write(t, filepath.Join(r.home, ".erlang.cookie"), "TIDEGATETEST")
	if err := os.Chmod(filepath.Join(r.home, ".erlang.cookie"), 0o400); err != nil {
		t.Fatal(err)
	}
	r.plugins = filepath.Join(r.home, "plugins")
	write(t, r.plugins, "[rabbitmq_mqtt].\n")
	r.defs = filepath.Join(r.home, "definitions.json")
	write(t, r.defs, rabbitDefinitions)
	c := &cluster{t: t, user: "guest", password: "guest"}
	for i := range 3 {
		r.peers = append(r.peers, fmt.Sprintf("rabbit%d@localhost", i+1))
	}
	for i, name := range r.peers {
		c.nodes = append(c.nodes, r.node(name, ports[2*i], ports[2*i+1]))
	}
	epmd := start(t, "epmd", need(t, "epmd", "erlang-base"), "-d", "-port", fmt.Sprint(r.epmdPort), "-address", "127.0.0.1")
	epmd.waitLine("epmd running")
	for _, n := range c.nodes { // one by one: of nodes that start together one may stay outside the vote on MQTT's client ids
		n.proc = n.start()
		n.proc.waitLine(rabbitReady)
	}
	return c
}

// node writes the configuration of a node. Its data outlive a kill of its process.
func (r *rabbit) node(name string, mqttPort, distPort int) *clusterNode {
	dir := r.t.TempDir()
	config := filepath.Join(dir, "rabbitmq.conf")
	write(r.t, config, r.config(mqttPort))
	command := []string{
		"/usr/bin/env", "HOME=" + r.home, "ERL_EPMD_ADDRESS=127.0.0.1", fmt.Sprintf("ERL_EPMD_PORT=%d", r.epmdPort),
		"RABBITMQ_CONF_ENV_FILE=/dev/null", "RABBITMQ_NODENAME=" + name, fmt.Sprintf("RABBITMQ_DIST_PORT=%d", distPort),
		"RABBITMQ_CONFIG_FILE=" + config, "RABBITMQ_ENABLED_PLUGINS_FILE=" + r.plugins, "RABBITMQ_PID_FILE=" + filepath.Join(dir, "pid"),
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(dir, "data"), "RABBITMQ_LOG_BASE=" + filepath.Join(dir, "log"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
		"RABBITMQ_ALLOW_INPUT=1", // makes the script become the node, so that a kill meets the node itself
		rabbitServer, "-noinput",
	}
	return &clusterNode{name: name, port: mqttPort, start: func() *process { return start(r.t, name, command...) }}
}

// config makes a node that finds its peers by a list. Quorum queues let an observer's session outlive any one node.
func (r *rabbit) config(mqttPort int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `listeners.tcp = none
mqtt.listeners.tcp.1 = 127.0.0.1:%d
mqtt.durable_queue_type = quorum
log.console = true
log.console.level = info
log.file = false
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.discovery_retry_limit = 1
load_definitions = %s
`, mqttPort, r.defs)
	for i, peer := range r.peers {
		fmt.Fprintf(&b, "cluster_formation.classic_config.nodes.%d = %s\n", i+1, peer)
	}
	return b.String()
}
