package e2e_test

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidegate/tidegate/bridge/transport/transporttest"
)

// TestClients lets client libraries and programs that others wrote do, over every transport and in every version of MQTT that they
// know, what clients of a plant do.
func TestClients(t *testing.T) {
	s := startSite(t)
	slots := make(chan struct{}, 10) // most wait most of the time, whatever the number of processors
	var visits sync.WaitGroup
	for i, c := range cases() {
		visits.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			name := fmt.Sprintf("%s/%s/%s", c.kind.name, c.transport, versionName(c.version))
			t.Run(name, func(t *testing.T) {
				way := road{s, c.transport, c.version, fmt.Sprintf("c%d", i)}
				v := &visit{t: t, kind: c.kind, root: way.name, speaker: c.kind.open(t, way)}
				v.run()
			})
		})
	}
	visits.Wait()
	forgiven := s.stumbles.Load()
	for _, line := range s.plant.proc.all() {
		if strings.Contains(line, "websocket: the peer broke the protocol") && forgiven > 0 {
			forgiven--
			continue
		}
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "broke the protocol") || strings.Contains(line, "panic") {
			t.Errorf("the gateway says: %s", line)
		}
	}
	s.plant.stop()
}

// TestClientThatSendsTooMuch shows that the log names the cause of a fault that people meet: as a mini-program, MQTT.js 4.3 sends bytes
// that belong to no packet.
func TestClientThatSendsTooMuch(t *testing.T) {
	s := startSite(t)
	l := javaScript("wx4")(t, road{s, "ws", 4, "c"}).(*library)
	d := l.start()
	d.members["1"] = &libraryMember{driver: d, name: "1"}
	d.members["1"].tell(order{Do: "connect", Args: connectOrder{ID: "mini", Clean: true, Keepalive: 60}}, "closed")
	s.plant.proc.waitLine("mini programs")
	s.plant.stop()
}

// visitCase is one kind of client, one transport and one version.
type visitCase struct {
	kind      clientKind
	transport string
	version   int
}

func cases() []visitCase {
	var all []visitCase
	for _, k := range clientKinds() {
		for _, transport := range k.transports {
			for _, version := range k.versions {
				all = append(all, visitCase{k, transport, version})
			}
		}
	}
	return all
}

// opener starts a client library or program.
type opener func(t *testing.T, way road) speaker

// road is how a client reaches the site's broker.
type road struct {
	site      *site
	transport string
	version   int    // protocol level: 3 is MQTT 3.1, 4 is 3.1.1
	name      string // begins client identifiers
}

func (r road) url() string { return r.site.url(r.transport) }

// level is the version as client.js and client.py want it.
func (r road) level() string { return strconv.Itoa(r.version) }

// clientKind is a client library or program.
type clientKind struct {
	name       string
	open       opener
	transports []string
	versions   []int
	limits     limits
}

// limits are what a kind cannot do or does not show.
type limits struct {
	text           bool // payloads are printed as text
	noSession      bool // knows no persistent sessions
	comesBack      bool // connects again by itself, even when another has taken over its session
	leavesWithWill bool // asks for its will when it leaves: DISCONNECT with reason 4 of MQTT 5
}

func versionName(level int) string { return map[int]string{3: "3.1", 4: "3.1.1", 5: "5"}[level] }

func clientKinds() []clientKind {
	sockets := []string{"tcp", "tls", "ws", "wss"}
	web := []string{"ws", "wss"}
	return []clientKind{
		{name: "MQTT.js 2.18", open: javaScript("mqtt2"), transports: sockets, versions: []int{3, 4}},
		{name: "MQTT.js 3.0", open: javaScript("mqtt3"), transports: sockets, versions: []int{3, 4, 5}},
		{name: "MQTT.js 4.3", open: javaScript("mqtt4"), transports: sockets, versions: []int{3, 4, 5}},
		{name: "MQTT.js 5", open: javaScript("mqtt5"), transports: sockets, versions: []int{3, 4, 5}},
		{name: "mini-program with MQTT.js 2.18", open: javaScript("wx2"), transports: web, versions: []int{4}},
		{name: "mini-program with MQTT.js 3.0", open: javaScript("wx3"), transports: web, versions: []int{4}},
		{name: "mini-program with MQTT.js 4.1", open: javaScript("wx41"), transports: web, versions: []int{4, 5}},
		{name: "mini-program with MQTT.js 5", open: javaScript("wx5"), transports: web, versions: []int{4, 5}},
		{name: "Paho JavaScript", open: javaScript("paho"), transports: web, versions: []int{3, 4}},
		{name: "Paho Python", open: pahoPython, transports: sockets, versions: []int{3, 4, 5}},
		{
			name: "mosquitto clients", open: mosquittoClients, transports: sockets[:2], versions: []int{3, 4},
			limits: limits{comesBack: true},
		},
		{
			name: "mosquitto clients", open: mosquittoClients, transports: sockets[:2], versions: []int{5},
			limits: limits{comesBack: true, leavesWithWill: true},
		},
		{
			name: "Paho C", open: pahoC("paho_c_"), transports: sockets, versions: []int{3, 4, 5},
			limits: limits{text: true, noSession: true, comesBack: true},
		},
		{
			name: "Paho C synchronous", open: pahoC("paho_cs_"), transports: []string{"tcp", "wss"}, versions: []int{4, 5},
			limits: limits{text: true, noSession: true, comesBack: true},
		},
	}
}

// javaScript drives a library of client.js.
func javaScript(name string) opener {
	return func(t *testing.T, way road) speaker {
		return &library{
			t: t, name: name, publisher: way.name + "-pub",
			args: []string{needNode(t), filepath.Join(clientsDir, "client.js"), name, way.url(), way.level()},
			env:  []string{"NODE_EXTRA_CA_CERTS=" + way.site.ca, "NODE_OPTIONS=--dns-result-order=ipv4first"},
		}
	}
}

func pahoPython(t *testing.T, way road) speaker {
	python := needPython(t, "paho.mqtt.client", "python3-paho-mqtt")
	return &library{
		t: t, name: "paho python", publisher: way.name + "-pub",
		args: []string{python, filepath.Join(clientsDir, "client.py"), way.url(), way.level()},
		env:  []string{"TIDEGATE_CA=" + way.site.ca},
	}
}

// site is a gateway with a listener for each transport.
type site struct {
	plant *plant
	ca    string // file
	ports map[string]int

	stumbles atomic.Int32 // of clients that broke the protocol of WebSockets, by a fault that is known
}

func startSite(t *testing.T) *site {
	t.Helper()
	ca := transporttest.NewCA(t)
	pair := ca.Issue(t, transporttest.Leaf{})
	s := &site{ca: ca.File, ports: map[string]int{"tls": freePort(t), "ws": freePort(t), "wss": freePort(t)}}
	tls := fmt.Sprintf("tls = { cert_file = %q, key_file = %q }\n", pair.CertFile, pair.KeyFile)
	listener := func(transport, more string) string {
		return fmt.Sprintf("[[broker.listener]]\naddress = \"127.0.0.1:%d\"\nallow_anonymous = true\n%s", s.ports[transport], more)
	}
	const websocket = "protocol = \"websocket\"\n"
	s.plant = newPlant(t, listener("tls", tls)+listener("ws", websocket)+listener("wss", websocket+tls))
	s.plant.logLess()
	s.ports["tcp"] = s.plant.port
	s.plant.start()
	return s
}

func (s *site) port(transport string) string { return strconv.Itoa(s.ports[transport]) }

// url is that of a listener, as most clients want it.
func (s *site) url(transport string) string {
	scheme := map[string]string{"tcp": "mqtt", "tls": "mqtts", "ws": "ws", "wss": "wss"}[transport]
	path := ""
	if scheme[0] == 'w' {
		path = "/mqtt"
	}
	return scheme + "://" + net.JoinHostPort("localhost", s.port(transport)) + path
}
