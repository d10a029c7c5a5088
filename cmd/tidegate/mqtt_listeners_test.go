package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/bridge/transport/transporttest"
)

// site is our gateway with a listener of each kind that wants to be logged in to: ann may do everything below "hall", carl may read there, and
// certificates name carl.
type site struct {
	t   *testing.T
	ca  *transporttest.CA
	own transporttest.Pair // of carl
	url map[string]string  // by scheme; "certificate" is a listener of TLS where one is asked for
}

func startSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, ca: transporttest.NewCA(t), url: map[string]string{}}
	s.own = s.ca.Issue(t, transporttest.Leaf{Name: "carl"})
	pair := s.ca.Issue(t, transporttest.Leaf{})
	dir := t.TempDir()
	passwords, acl := filepath.Join(dir, "passwords"), filepath.Join(dir, "acl")
	begin(t, "passwd", "-b", passwords, "ann", "ann's").ends(exitOK)
	begin(t, "passwd", "-b", passwords, "carl", "carl's").ends(exitOK)
	if err := os.WriteFile(acl, []byte("user ann\ntopic hall/#\nuser carl\ntopic read hall/#\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("[gateway]\ndata_dir = %q\n[http]\nlisten = \"\"\n[broker]\npassword_file = %q\nacl_file = %q\n", filepath.Join(dir, "data"), passwords, acl)
	secured := fmt.Sprintf("tls = { cert_file = %q, key_file = %q", pair.CertFile, pair.KeyFile)
	for _, l := range [...]struct{ name, scheme, more string }{
		{"mqtt", "mqtt", ""},
		{"mqtts", "mqtts", secured + " }\n"},
		{"ws", "ws", "protocol = \"websocket\"\n"},
		{"wss", "wss", "protocol = \"websocket\"\n" + secured + " }\n"},
		{"certificate", "mqtts", secured + fmt.Sprintf(", client_ca_file = %q, client_cert = \"required\", cert_user = true }\n", s.ca.File)},
	} {
		addr := "127.0.0.1:" + transporttest.FreePort(t)
		s.url[l.name] = l.scheme + "://" + addr
		text += fmt.Sprintf("[[broker.listener]]\naddress = %q\n%s", addr, l.more)
	}
	gateway := begin(t, "run", "-c", transporttest.WriteFile(t, text))
	eventually(t, "the gateway", func() bool { return strings.Contains(gateway.stderr.String(), "gateway is running") })
	t.Cleanup(func() {
		gateway.interrupt()
		gateway.ends(exitOK)
	})
	return s
}

// verb is a command line of sub or pub at a listener.
func (s *site) verb(name, listener string, more ...string) []string {
	args := []string{name, "-L", s.url[listener]}
	if strings.HasPrefix(s.url[listener], "mqtts") || strings.HasPrefix(s.url[listener], "wss") {
		args = append(args, "--cafile", s.ca.File)
	}
	return append(args, more...)
}

// TestOwnListeners publishes and subscribes over each kind of our own listeners, in each version.
func TestOwnListeners(t *testing.T) {
	s := startSite(t)
	for _, listener := range []string{"mqtt", "mqtts", "ws", "wss", "certificate"} {
		for _, version := range []string{"31", "311", "5"} {
			t.Run(listener+"/"+version, func(t *testing.T) {
				s := *s
				s.t = t
				reader := []string{"-u", "carl", "-P", "carl's"}
				if listener == "certificate" {
					reader = []string{"--cert", s.own.CertFile, "--key", s.own.KeyFile}
				}
				text := listener + " " + version
				begin(t, "pub", "-L", s.url["mqtt"], "-u", "ann", "-P", "ann's", "-t", "hall/x", "-m", text, "-r", "-q", "1").ends(exitOK)
				sub := begin(t, s.verb("sub", listener, append(reader, "-V", version, "-t", "hall/+", "-q", "2", "-C", "1")...)...)
				sub.ends(exitOK)
				if got := sub.stdout.String(); got != text+"\n" {
					t.Errorf("got %q, want %q", got, text)
				}
				if listener == "certificate" {
					return // carl may not publish
				}
				begin(t, s.verb("pub", listener, "-u", "ann", "-P", "ann's", "-V", version, "-t", "hall/x", "-m", text, "-q", "2")...).ends(exitOK)
			})
		}
	}
}

// TestOwnRefusals: what our own broker refuses ends with exit code 1 and says what and why, over each kind of listener.
func TestOwnRefusals(t *testing.T) {
	s := startSite(t)
	const denied = `the server refuses the message on "hall/x": not authorized ("the client may not publish to this topic")`
	carl := []string{"-u", "carl", "-P", "carl's"}
	for _, listener := range []string{"mqtt", "mqtts", "ws", "wss"} {
		t.Run(listener, func(t *testing.T) {
			wrong := "bad user name or password; are the user, -u, and the password, --password-file, right?"
			fails(t, wrong, s.verb("sub", listener, "-u", "ann", "-P", "guess", "-t", "hall/#")...)
			fails(t, wrong, s.verb("pub", listener, "-u", "ann", "-P", "guess", "-t", "hall/x", "-m", "1")...)
			fails(t, `("user \"ann\" is not known, or the password is wrong; it was tried before")`,
				s.verb("pub", listener, "-V", "5", "-u", "ann", "-P", "guess", "-t", "hall/x", "-m", "1")...)
			fails(t, "does the broker want a user and a password (-u, --password-file)", s.verb("sub", listener, "-t", "hall/#")...)
			fails(t, `the server refuses the subscription to "yard/#"`, s.verb("sub", listener, append(carl, "-t", "hall/#", "-t", "yard/#")...)...)
			fails(t, `the server refuses the subscription to "yard/#": not authorized`, s.verb("sub", listener, append(carl, "-V", "5", "-t", "yard/#")...)...)
			fails(t, denied, s.verb("pub", listener, append(carl, "-V", "5", "-t", "hall/x", "-m", "1", "-q", "1")...)...)
			fails(t, denied, s.verb("pub", listener, append(carl, "-V", "5", "-t", "hall/x", "-m", "1", "-q", "2")...)...)
		})
	}
	t.Run("certificate", func(t *testing.T) {
		fails(t, "with --cert and --key", s.verb("sub", "certificate", "-t", "hall/#")...)
		fails(t, denied, s.verb("pub", "certificate", "--cert", s.own.CertFile, "--key", s.own.KeyFile, "-V", "5", "-t", "hall/x", "-m", "1", "-q", "1")...)
	})
}
