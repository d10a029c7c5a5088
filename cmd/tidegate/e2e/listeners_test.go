package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/bridge/transport/transporttest"
)

// TestListeners runs a gateway as a plant has it: MQTT over TLS for machines with certificates, WebSockets over TLS for panels with
// passwords, and WebSockets on loopback for a page of its own.
func TestListeners(t *testing.T) {
	python := needPython(t, "paho.mqtt.client", "python3-paho-mqtt")
	tls, wss, ws := freePort(t), freePort(t), freePort(t)
	g := newPlant(t, fmt.Sprintf(`
# Machines: each has a certificate of the plant's authority, and its name there is its user name.
[[broker.listener]]
address = ":%d"
[broker.listener.tls]
cert_file = "tls/gateway.pem"
key_file = "tls/gateway.key"
client_ca_file = "tls/plant-ca.pem"
client_cert = "required"
cert_user = true

# Panels.
[[broker.listener]]
address = ":%d"
protocol = "websocket"
allow_anonymous = true
origins = ["*.plant.example"]
tls = { cert_file = "tls/gateway.pem", key_file = "tls/gateway.key", min_version = "1.3" }

[[broker.listener]]
address = "127.0.0.1:%d"
protocol = "websocket"
allow_anonymous = true
paths = ["/broker"]
`, tls, wss, ws))
	ca := transporttest.NewCA(t)
	if err := os.Mkdir(filepath.Join(g.dir, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(g.dir, "tls", name) }
	install := func(p transporttest.Pair, name string) {
		write(t, file(name+".pem"), read(t, p.CertFile))
		write(t, file(name+".key"), read(t, p.KeyFile))
	}
	write(t, file("plant-ca.pem"), read(t, ca.File))
	install(ca.Issue(t, transporttest.Leaf{Name: "press 4"}), "press4")

	out, err := exec.Command(binary, "check", "-c", g.config).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "tidegate.toml:18:13: read cert_file: "+file("gateway.pem")+": no such file or directory") {
		t.Errorf("check without the certificate: %v: %s", err, out)
	}
	install(ca.Issue(t, transporttest.Leaf{}), "gateway")
	if out, err := exec.Command(binary, "check", "-c", g.config).CombinedOutput(); err != nil || strings.Contains(string(out), "^") {
		t.Fatalf("check: %v: %s", err, out)
	}
	g.start()

	watch := observe(t, "subscriber", g.client(), "", "press/#")
	machine := append(onTLS(tls), "--cafile", file("plant-ca.pem"), "--cert", file("press4.pem"), "--key", file("press4.key"))
	publish(t, machine, "press/4", "up")
	watch.waitMessages("the machine's message", topicIs("press/4"), func(m []seen) bool { return len(m) > 0 })
	g.proc.waitLine(`user="press 4"`)
	pub := need(t, "mosquitto_pub", "mosquitto-clients")
	if out, err := exec.Command(pub, append(onTLS(tls), "--cafile", file("plant-ca.pem"), "-t", "x", "-m", "y")...).CombinedOutput(); err == nil {
		t.Errorf("without a certificate: %s", out)
	}
	g.proc.waitLine("the client showed no certificate")

	for _, args := range [][]string{
		{"websockets", strconv.Itoa(wss), "/mqtt", "4", file("plant-ca.pem")},
		{"websockets", strconv.Itoa(ws), "/broker", "3"},
	} {
		if out, err := exec.Command(python, append([]string{"../../../gateway/app/testdata/roundtrip.py"}, args...)...).CombinedOutput(); err != nil || string(out) != "0 1 2\n" {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}

	renewed := transporttest.NewCA(t)
	install(renewed.Issue(t, transporttest.Leaf{}), "gateway")
	machine = append(onTLS(tls), "--cafile", renewed.File, "--cert", file("press4.pem"), "--key", file("press4.key"), "-t", "press/4", "-m", "renewed")
	for begun := time.Now(); ; { // it is noticed after a second or two
		out, err := exec.Command(pub, machine...).CombinedOutput()
		if err == nil {
			break
		}
		if time.Since(begun) > patience {
			t.Fatalf("the renewed certificate is not shown: %v: %s", err, out)
		}
	}
	g.proc.waitLine("the certificate files were replaced")
	g.stop()
}

// onTLS names a host that stands in the certificate.
func onTLS(port int) []string { return []string{"-h", "localhost", "-p", strconv.Itoa(port)} }
