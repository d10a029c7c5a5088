package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	cloudUser     = "plant7"
	cloudPassword = "s3cret, with spaces"
)

// cloud is Debian's mosquitto with TLS and a password.
type cloud struct {
	t    *testing.T
	dir  string
	port int
	proc *process
}

// startCloud starts mosquitto on a free port. Its queue limits are off: a broker that drops what it has acknowledged would hide what
// the gateway does.
func startCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{t: t, dir: t.TempDir(), port: freePort(t)}
	makeCertificates(t, c.dir)
	passwd := need(t, "mosquitto_passwd", "mosquitto")
	if out, err := exec.Command(passwd, "-c", "-b", c.file("passwd"), cloudUser, cloudPassword).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v: %s", err, out)
	}
	write(t, c.file("mosquitto.conf"), fmt.Sprintf(`
listener %d 127.0.0.1
allow_anonymous false
password_file %[2]s/passwd
cafile %[2]s/ca.pem
certfile %[2]s/server.pem
keyfile %[2]s/server.key
persistence true
persistence_location %[2]s/
max_queued_messages 0
max_inflight_messages 0
user root
`, c.port, c.dir))
	c.start()
	return c
}

func (c *cloud) file(name string) string { return filepath.Join(c.dir, name) }

func (c *cloud) start() {
	c.t.Helper()
	c.proc = start(c.t, "mosquitto", need(c.t, "mosquitto", "mosquitto"), "-c", c.file("mosquitto.conf"), "-v")
	c.proc.waitLine("running")
}

// stop ends mosquitto so that it saves its sessions.
func (c *cloud) stop() {
	c.t.Helper()
	if err := c.proc.interrupt(sigterm); err != nil {
		c.t.Fatalf("mosquitto: %v", err)
	}
}

func (c *cloud) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)) }

// client are the flags of a mosquitto client of the cloud.
func (c *cloud) client() []string {
	return []string{
		"-h", "127.0.0.1", "-p", strconv.Itoa(c.port), "--cafile", c.file("ca.pem"), "-u", cloudUser, "-P", cloudPassword,
	}
}

// lan are the flags of a mosquitto client of the gateway.
func lan(port int) []string { return []string{"-h", "127.0.0.1", "-p", strconv.Itoa(port)} }

// observer is a mosquitto_sub that keeps what it gets.
type observer struct{ *process }

// seen is a message that an observer got.
type seen struct {
	at      time.Time
	retain  bool
	topic   string
	payload string
}

// observe subscribes with QoS 1. A persistent session (id not empty) survives a restart of the broker.
func observe(t *testing.T, name string, target []string, id string, filters ...string) observer {
	t.Helper()
	args := append([]string{need(t, "mosquitto_sub", "mosquitto-clients")}, target...)
	args = append(args, "-q", "1", "-d", "-F", "MSG %U %r %t %p")
	if id != "" {
		args = append(args, "-c", "-i", id)
	}
	for _, f := range filters {
		args = append(args, "-t", f)
	}
	// Line buffered, or the last messages would sit in a pipe's buffer.
	o := observer{start(t, name, append([]string{need(t, "stdbuf", "coreutils"), "-oL"}, args...)...)}
	o.waitLine("SUBACK")
	return o
}

// messages returns what came on topics that match, in order.
func (o observer) messages(match func(topic string) bool) []seen {
	return parseSeen(o.all(), match)
}

func parseSeen(lines []string, match func(topic string) bool) []seen {
	var out []seen
	for _, l := range lines {
		f := strings.SplitN(l, " ", 5)
		if len(f) != 5 || f[0] != "MSG" || !match(f[3]) {
			continue
		}
		sec, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			continue
		}
		out = append(out, seen{time.UnixMicro(int64(sec * 1e6)), f[2] == "1", f[3], f[4]})
	}
	return out
}

// waitMessages waits until the messages on matching topics satisfy done, and returns them.
func (o observer) waitMessages(what string, match func(string) bool, done func([]seen) bool) []seen {
	o.t.Helper()
	var got []seen
	o.waitFor(what, func(lines []string) bool {
		got = parseSeen(lines, match)
		return done(got)
	})
	return got
}

func topicIs(want string) func(string) bool { return func(topic string) bool { return topic == want } }

// publish runs mosquitto_pub at QoS 1: it returns when the message is acknowledged.
func publish(t *testing.T, target []string, topic, payload string, flags ...string) {
	t.Helper()
	args := append(append([]string{"-q", "1", "-t", topic, "-m", payload}, target...), flags...)
	if out, err := exec.Command(need(t, "mosquitto_pub", "mosquitto-clients"), args...).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_pub %s: %v: %s", topic, err, out)
	}
}

// freePort finds a port that was free a moment ago, for programs that cannot bind port 0 and tell.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// makeCertificates writes ca.pem, server.pem and server.key for 127.0.0.1.
func makeCertificates(t *testing.T, dir string) {
	t.Helper()
	caKey := newKey(t)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "cloud"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	serverKey := newKey(t)
	sign := func(name string, c, parent *x509.Certificate, key *ecdsa.PrivateKey) {
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, caKey)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	}
	sign("ca.pem", ca, ca, caKey)
	sign("server.pem", server, ca, serverKey)
	der, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "server.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
