package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tidegate/tidegate/buffer"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/api"
)

// TestMain makes the program callable from the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tidegate": main})
}

// TestScripts runs testdata/script: the command line as a person uses it. Beside the usual commands they have
//
//	fill DIR     make a buffer with something in it
//	serve DIR    be a gateway that has the buffer in DIR open, until the script ends
//	hold DIR     be a gateway that has it open and does not answer, until the script ends
//	await SOCKET wait until a gateway answers on it
//	damage FILE  flip a bit of each payload that holds the word "damage"
//	broker PORT DIR [USER PASSWORD]  run the broker over a new buffer in DIR, its port in $PORT, until the script ends
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"fill": fill, "serve": serve, "hold": hold, "await": await, "damage": damage, "broker": brokerCommand},
	})
}

// runStore opens the buffer in a folder of the script and runs it until stop is called.
func runStore(ts *testscript.TestScript, dir string) (store *buffer.Store, stop func()) {
	store, err := buffer.Open(context.Background(), buffer.Options{Path: filepath.Join(ts.MkAbs(dir), bufferFile)})
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- store.Run(ctx) }()
	return store, func() {
		cancel()
		ts.Check(<-ended)
		ts.Check(store.Close())
	}
}

func fill(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.MkdirAll(ts.MkAbs(args[0]), 0o700))
	store, stop := runStore(ts, args[0])
	defer stop()
	at := time.Date(2026, 10, 5, 9, 30, 0, 0, time.UTC)
	cloud := store.Upstream("cloud")
	session := store.Queue("session/tv")
	put := func(body gateway.Body, to ...gateway.Ref) {
		stored := make(chan error, 1)
		store.Commit(&gateway.Change{Record: &gateway.Record{Time: at, Body: body}, To: to, Barrier: true}, func(err error) { stored <- err })
		ts.Check(<-stored)
	}
	up := gateway.Ref{Queue: cloud.Queue(), QoS: 1}
	put(&gateway.Message{Topic: "hall/poison", Payload: []byte("bad"), QoS: 1}, up)
	ts.Check(cloud.Park(context.Background(), 1, "the upstream closed the connection five times"))
	put(&gateway.Message{Topic: "hall/a", Payload: []byte(`{"x":1}`), QoS: 1, Properties: &gateway.Properties{ContentType: "application/json"}}, up)
	put(&gateway.Message{Topic: "hall/bin", Payload: []byte("\xff\x00damage")}, up)
	put(&gateway.Message{Topic: "hall/text", Payload: []byte("say \"hi\",\r\nyou\x1b[31m")}, up)
	put(&gateway.Batch{
		Topic: "tidegate/gw/meter", Publish: gateway.PublishBoth, Time: at, Names: []string{"u", "i", "s"},
		Readings: []gateway.Reading{
			{Value: gateway.Float32(230.1), Quality: gateway.QualityGood, Time: at},
			{Quality: gateway.QualityBad, Reason: gateway.ReasonTimeout, Time: at.Add(time.Second)},
			{Value: gateway.String("a,b"), Quality: gateway.QualityGood, Time: at},
		},
	}, up, gateway.Ref{Queue: session, View: 2, QoS: 1, Retain: true})
}

func serve(ts *testscript.TestScript, _ bool, args []string) {
	store, stop := runStore(ts, args[0])
	l, err := api.ListenControl(filepath.Join(ts.MkAbs(args[0]), api.ControlSocket))
	ts.Check(err)
	server := api.NewControl(api.ControlOptions{Buffer: store, Snapshots: api.Snapshots{
		Broker:  func() gateway.BrokerStats { return gateway.BrokerStats{} },
		Bridges: func() []gateway.BridgeStats { return nil },
		Buses:   func() []gateway.BusStats { return nil },
	}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	ts.Defer(func() {
		cancel()
		ts.Check(<-ended)
		stop()
	})
}

func hold(ts *testscript.TestScript, _ bool, args []string) {
	_, stop := runStore(ts, args[0])
	ts.Defer(stop)
}

func await(ts *testscript.TestScript, _ bool, args []string) {
	const patience = time.Minute // to find out that nothing comes
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := api.Dial(ctx, ts.MkAbs(args[0]))
		if err == nil {
			ts.Check(c.Close())
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("no gateway has answered: %v", err)
		}
	}
}

func damage(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	text, err := os.ReadFile(path)
	ts.Check(err)
	found := false
	for i := 0; i+len("damage") <= len(text); i++ {
		if string(text[i:i+len("damage")]) == "damage" {
			text[i] ^= 1
			found = true
		}
	}
	if !found {
		ts.Fatalf("%s holds nothing to damage", path)
	}
	ts.Check(os.WriteFile(path, text, 0o600))
}
