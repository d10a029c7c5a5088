package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tidegate/tidegate/buffer"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
)

// users are those who may log in, with their passwords.
type users map[string]string

// Authenticate compares.
func (u users) Authenticate(_ context.Context, user string, password []byte) bool {
	return u[user] != "" && u[user] == string(password)
}

// testBroker is our broker on a port of loopback.
type testBroker struct {
	*localbroker.Broker
	addr string
	stop func() error
}

// startBroker runs a broker over the buffer in dir until stop is called. Without users everybody may connect. addr is "127.0.0.1:0" or where
// an earlier one was.
func startBroker(dir, addr string, logins users) (*testBroker, error) {
	store, err := buffer.Open(context.Background(), buffer.Options{Path: filepath.Join(dir, bufferFile)})
	if err != nil {
		return nil, err
	}
	opts := localbroker.Options{Store: store, Topics: gateway.Topics{Base: "tidegate/gw"}}
	if logins != nil {
		opts.Auth = logins
	}
	broker, err := localbroker.New(opts)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	storing, stopStore := context.WithCancel(context.Background())
	serving, stopBroker := context.WithCancel(context.Background())
	stored, ended := make(chan error, 1), make(chan error, 2)
	go func() { stored <- store.Run(storing) }()
	go func() { ended <- broker.Run(serving) }()
	go func() { ended <- broker.Serve(serving, ln, localbroker.ListenerOptions{AllowAnonymous: logins == nil}) }()
	return &testBroker{broker, ln.Addr().String(), func() error {
		stopBroker()
		err := errors.Join(<-ended, <-ended)
		stopStore()
		return errors.Join(err, <-stored, store.Close())
	}}, nil
}

// mustBroker is startBroker until the test ends.
func mustBroker(t *testing.T, logins users) *testBroker {
	t.Helper()
	b, err := startBroker(t.TempDir(), "127.0.0.1:0", logins)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *testBroker) port() string {
	_, port, _ := net.SplitHostPort(b.addr)
	return port
}

// brokerCommand is the command "broker PORT DIR [USER PASSWORD]" of the scripts.
func brokerCommand(ts *testscript.TestScript, _ bool, args []string) {
	var logins users
	if len(args) == 4 {
		logins = users{args[2]: args[3]}
	}
	ts.Check(ts.Exec("mkdir", args[1]))
	b, err := startBroker(ts.MkAbs(args[1]), "127.0.0.1:0", logins)
	ts.Check(err)
	ts.Defer(func() { ts.Check(b.stop()) })
	ts.Setenv(args[0], b.port())
}

// running is a verb that runs in this process.
type running struct {
	t              *testing.T
	stdout, stderr text
	interrupt      context.CancelFunc
	code           chan int
}

// text is what a verb has written so far.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (x *text) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.Write(p)
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.String()
}

// begin runs a command line until it ends or is interrupted.
func begin(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{t: t, interrupt: cancel, code: make(chan int, 1)}
	go func() { r.code <- run(ctx, args, bytes.NewReader(nil), &r.stdout, &r.stderr) }()
	t.Cleanup(cancel)
	return r
}

// ends waits for the end and compares the exit code.
func (r *running) ends(want int) {
	r.t.Helper()
	select {
	case got := <-r.code:
		if got != want {
			r.t.Errorf("exit code %d, want %d:\n%s%s", got, want, &r.stdout, &r.stderr)
		}
	case <-time.After(patience):
		r.t.Fatalf("it does not end:\n%s%s", &r.stdout, &r.stderr)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
