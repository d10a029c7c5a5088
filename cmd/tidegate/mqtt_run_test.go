package main

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/bridge/transport/transporttest"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// TestSubIsInterrupted: it ends in order, so that its will is not published, and with exit code 0.
func TestSubIsInterrupted(t *testing.T) {
	b := mustBroker(t, nil)
	watch := begin(t, "sub", "-p", b.port(), "-t", "#", "-v")
	eventually(t, "a subscription", func() bool { return b.Stats().Subscriptions == 1 })
	mortal := begin(t, "sub", "-p", b.port(), "-t", "x", "--will-topic", "will", "--will-payload", "gone", "-q", "2")
	eventually(t, "two subscriptions", func() bool { return b.Stats().Subscriptions == 2 })
	begin(t, "pub", "-p", b.port(), "-t", "x", "-m", "1", "-q", "2").ends(exitOK)
	eventually(t, "the message", func() bool { return mortal.stdout.String() == "1\n" })
	mortal.interrupt()
	mortal.ends(exitOK)
	begin(t, "pub", "-p", b.port(), "-t", "x", "-m", "2").ends(exitOK)
	eventually(t, "the second message", func() bool { return strings.HasSuffix(watch.stdout.String(), "x 2\n") })
	watch.interrupt()
	watch.ends(exitOK)
	if got, want := watch.stdout.String(), "x 1\nx 2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if said := mortal.stderr.String() + watch.stderr.String(); said != "" {
		t.Errorf("said %q", said)
	}
}

// TestSubConnectsAgain: the broker goes and comes back, and what was published meanwhile is printed.
func TestSubConnectsAgain(t *testing.T) {
	dir := t.TempDir()
	b, err := startBroker(dir, "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	sub := begin(t, "sub", "-p", b.port(), "-t", "x", "-q", "1", "-c", "-i", "keeper", "-C", "3")
	eventually(t, "a subscription", func() bool { return b.Stats().Subscriptions == 1 })
	begin(t, "pub", "-p", b.port(), "-t", "x", "-m", "1", "-q", "1").ends(exitOK)
	eventually(t, "the first message", func() bool { return sub.stdout.String() == "1\n" })
	if err := b.stop(); err != nil {
		t.Error(err)
	}
	eventually(t, "its words", func() bool { return strings.Contains(sub.stderr.String(), "connecting again in 1s\n") })
	if b, err = startBroker(dir, b.addr, nil); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	}()
	begin(t, "pub", "-p", b.port(), "-t", "x", "-m", "2", "-q", "1").ends(exitOK)
	begin(t, "pub", "-p", b.port(), "-t", "x", "-m", "3", "-q", "1").ends(exitOK)
	sub.ends(exitOK)
	if got, want := sub.stdout.String(), "1\n2\n3\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := "connected to mqtt://" + b.addr + " again\n"; !strings.HasSuffix(sub.stderr.String(), want) {
		t.Errorf("said %q, want %q at its end", sub.stderr.String(), want)
	}
}

// TestUnwrittenIsNotAcknowledged: what could not be written comes again.
func TestUnwrittenIsNotAcknowledged(t *testing.T) {
	b := mustBroker(t, nil)
	keeper := func(more ...string) []string {
		return append([]string{"sub", "-p", b.port(), "-t", "x", "-q", "1", "-c", "-i", "keeper"}, more...)
	}
	begin(t, keeper("-E")...).ends(exitOK)
	begin(t, "pub", "-p", b.port(), "-t", "x", "-m", "1", "-q", "1").ends(exitOK)
	var stderr text
	if code := run(t.Context(), keeper("-C", "1"), strings.NewReader(""), fullDisk{}, &stderr); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(stderr.String(), "write messages: disk full") {
		t.Errorf("said %q", stderr.String())
	}
	again := begin(t, keeper("-C", "1")...)
	again.ends(exitOK)
	if got := again.stdout.String(); got != "1\n" {
		t.Errorf("got %q", got)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, fmt.Errorf("disk full") }

// fails runs a verb that must fail, and looks for words in what it says.
func fails(t *testing.T, want string, args ...string) {
	t.Helper()
	r := begin(t, args...)
	r.ends(exitFailed)
	if !strings.Contains(r.stderr.String(), want) {
		t.Errorf("%q said\n%swant %q in it", args, r.stderr.String(), want)
	}
}

// TestTLS: the way with each set of certificates, and each mistake with what to do.
func TestTLS(t *testing.T) {
	ca, foreign := transporttest.NewCA(t), transporttest.NewCA(t)
	named := ca.Issue(t, transporttest.Leaf{Name: "broker.example"})
	local, mine := ca.Issue(t, transporttest.Leaf{}), ca.Issue(t, transporttest.Leaf{Name: "me"})
	plain, open, other, strict := transporttest.FreePort(t), transporttest.FreePort(t), transporttest.FreePort(t), transporttest.FreePort(t)
	secure := func(port string, p transporttest.Pair, more string) string {
		return fmt.Sprintf("listener %s 127.0.0.1\ncertfile %s\nkeyfile %s\n%s", port, p.CertFile, p.KeyFile, more)
	}
	transporttest.Mosquitto(t, "allow_anonymous true\nlistener "+plain+" 127.0.0.1\n"+secure(open, local, "")+secure(other, named, "")+
		secure(strict, local, "cafile "+ca.File+"\nrequire_certificate true\n"))
	pub := func(more ...string) []string {
		return append([]string{"pub", "-t", "x", "-m", "1", "-q", "1"}, more...)
	}

	begin(t, pub("-p", open, "--cafile", ca.File)...).ends(exitOK)
	begin(t, pub("-L", "mqtts://127.0.0.1:"+open+"", "--cafile", ca.File)...).ends(exitOK)
	begin(t, pub("-p", other, "--cafile", ca.File, "--insecure")...).ends(exitOK)
	begin(t, pub("-p", strict, "--cafile", ca.File, "--cert", mine.CertFile, "--key", mine.KeyFile)...).ends(exitOK)

	fails(t, "signed the broker's with --cafile", pub("-p", open, "--tls-use-os-certs")...)
	fails(t, "signed the broker's with --cafile", pub("-p", open, "--cafile", foreign.File)...)
	fails(t, "signed the broker's with --cafile", pub("-p", other, "--cafile", foreign.File, "--insecure")...)
	fails(t, "unchecked with --insecure", pub("-p", other, "--cafile", ca.File)...)
	fails(t, "with --cert and --key", pub("-p", strict, "--cafile", ca.File)...)
	fails(t, "does this port speak TLS", pub("-p", plain, "--cafile", ca.File)...)
	fails(t, "Many brokers want mqtts://", pub("-p", open)...)
}

// TestWebSockets in the clear and over TLS.
func TestWebSockets(t *testing.T) {
	ca := transporttest.NewCA(t)
	pair := ca.Issue(t, transporttest.Leaf{})
	plain, ws, wss := transporttest.FreePort(t), transporttest.FreePort(t), transporttest.FreePort(t)
	transporttest.Mosquitto(t, fmt.Sprintf("allow_anonymous true\nlistener %s 127.0.0.1\nlistener %s 127.0.0.1\nprotocol websockets\n"+
		"listener %s 127.0.0.1\nprotocol websockets\ncertfile %s\nkeyfile %s\n", plain, ws, wss, pair.CertFile, pair.KeyFile))
	begin(t, "pub", "-L", "ws://127.0.0.1:"+ws, "-t", "x", "-m", "over ws", "-r", "-q", "1").ends(exitOK)
	sub := begin(t, "sub", "-L", "wss://127.0.0.1:"+wss+"/mqtt", "--cafile", ca.File, "-t", "x", "-C", "1", "-V", "5")
	sub.ends(exitOK)
	if got := sub.stdout.String(); got != "over ws\n" {
		t.Errorf("got %q", got)
	}
	fails(t, "a WebSocket is reached by a ws or wss URL", "pub", "-p", ws, "-t", "x", "-m", "1")
}

// answers is a server that sends each client these packets of MQTT 5, one after each packet it gets, and closes after the last.
func answers(t *testing.T, packets ...packet.Packet) (port string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			for _, p := range packets {
				_, _ = c.Read(make([]byte, 1024))
				_, _ = c.Write(p.Append(nil, packet.V5))
			}
			_, _ = c.Read(make([]byte, 1024))
			c.Close()
		}
	}()
	_, port, _ = net.SplitHostPort(ln.Addr().String())
	return port
}

// TestRefusals: a server's no is exit code 1, with its words and what was refused.
func TestRefusals(t *testing.T) {
	connack := func(code packet.ReasonCode) packet.Packet { return &packet.Connack{Code: code} }
	words := packet.Properties{ReasonString: []byte("see the ACL")}
	denied := &packet.Suback{ID: 1, Codes: []packet.ReasonCode{0, packet.ReasonNotAuthorized}, Props: words}
	notTaken := &packet.Ack{Kind: packet.TypePuback, ID: 1, Code: packet.ReasonQuotaExceeded, Props: words}
	sub, pub := []string{"sub", "-V", "5", "-t", "ok", "-t", "secret/#", "-p"}, []string{"pub", "-V", "5", "-q", "1", "-t", "x", "-m", "1", "-p"}
	for want, tt := range map[string]struct {
		args    []string
		packets []packet.Packet
	}{
		`the server refuses the subscription to "secret/#": not authorized ("see the ACL")`: {sub, []packet.Packet{connack(0), denied}},
		`the server refuses the message on "x": quota exceeded ("see the ACL")`:             {pub, []packet.Packet{connack(0), notTaken}},
		"bad user name or password; are the user, -u, and the password, --password-file":    {pub, []packet.Packet{connack(packet.ReasonBadUserNameOrPassword)}},
		"not authorized; does the broker want a user and a password":                        {sub, []packet.Packet{connack(packet.ReasonNotAuthorized)}},
		"try another version with -V":                                     {sub, []packet.Packet{connack(packet.ReasonUnsupportedVersion)}},
		"choose another client id with -i":                                {sub, []packet.Packet{connack(packet.ReasonClientIDNotValid)}},
		"try again later":                                                 {pub, []packet.Packet{connack(packet.ReasonServerBusy)}},
		"too many wrong passwords":                                        {sub, []packet.Packet{connack(packet.ReasonServerUnavailable)}},
		"without a reason; messages sent: 1, not acknowledged of them: 1": {pub, []packet.Packet{connack(0)}},
		"the server ended the connection: session taken over":             {sub, []packet.Packet{connack(0), &packet.Disconnect{Code: packet.ReasonSessionTakenOver}}},
		"the server ended the connection: administrative action":          {sub, []packet.Packet{connack(0), &packet.Disconnect{Code: packet.ReasonAdministrativeAction}}},
	} {
		t.Run(want, func(t *testing.T) { fails(t, want, append(tt.args, answers(t, tt.packets...))...) })
	}
}

// TestPubNoticesTheEnd: while standard input brings nothing, a lost connection is noticed all the same.
func TestPubNoticesTheEnd(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	port := answers(t, &packet.Connack{}, &packet.Disconnect{Code: packet.ReasonServerShuttingDown})
	var stderr text
	go func() { _, _ = server.Write([]byte("one line\n")) }() // and never a second
	code := run(t.Context(), []string{"pub", "-V", "5", "-t", "x", "-l", "-p", port}, client, &text{}, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "server shutting down") {
		t.Errorf("exit code %d, said %q", code, stderr.String())
	}
}
