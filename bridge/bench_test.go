package bridge

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/tidegate/tidegate/gateway"
)

// BenchmarkDrain sends the same records to the same mosquitto, first by bare paho with 64 in flight, then by the bridge, in turns: from a queue in memory
// that costs nothing, and from the buffer's file. The metric bridge/paho is what the bridge keeps of paho's rate, the best round of each compared:
// what else the machine does can only slow a round down. So it wants some rounds: -benchtime=20x.
func BenchmarkDrain(b *testing.B) {
	const records, size = 5000, 100
	for name, fill := range map[string]func(*testing.B, int, int) Queue{"memory": memoryQueue, "buffer": bufferQueue} {
		b.Run(name, func(b *testing.B) {
			server := mosquitto(b)
			bare, bridged := time.Hour, time.Hour
			for b.Loop() {
				bare = min(bare, drainBare(b, server, records, size))
				bridged = min(bridged, drainBridge(b, server, fill(b, records, size), records))
			}
			b.ReportMetric(records/bare.Seconds(), "paho-msg/s")
			b.ReportMetric(records/bridged.Seconds(), "bridge-msg/s")
			b.ReportMetric(bare.Seconds()/bridged.Seconds(), "bridge/paho")
		})
	}
}

// mosquitto starts a broker on a free port of the loopback interface.
func mosquitto(tb testing.TB) *url.URL {
	tb.Helper()
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		if _, err := os.Stat("/usr/sbin/mosquitto"); err != nil {
			tb.Skip("mosquitto is not installed")
		}
		program = "/usr/sbin/mosquitto"
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	l.Close()
	conf := filepath.Join(tb.TempDir(), "mosquitto.conf")
	text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nlog_type none\n", addr.Port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "-c", conf)
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // killed
	})
	server := &url.URL{Scheme: "mqtt", Host: addr.String()}
	awaitServer(tb, server)
	return server
}

func awaitServer(tb testing.TB, server *url.URL) {
	tb.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if c, err := net.Dial("tcp", server.Host); err == nil {
			c.Close()
			return
		}
	}
	tb.Fatal("mosquitto does not listen")
}

// drainBare is the plainest way to send with a window.
func drainBare(b *testing.B, server *url.URL, records, size int) time.Duration {
	b.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://" + server.Host).SetClientID("bare").SetAutoReconnect(false)
	c := mqtt.NewClient(o)
	if t := c.Connect(); t.Wait() && t.Error() != nil {
		b.Fatal(t.Error())
	}
	defer c.Disconnect(0)
	payload := make([]byte, size)
	window := make(chan mqtt.Token, 64)
	began := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() {
		for t := range window {
			t.Wait()
		}
	})
	for range records {
		window <- c.Publish("tidegate/gw/m", 1, false, payload)
	}
	close(window)
	wg.Wait()
	return time.Since(began)
}

func drainBridge(b *testing.B, server *url.URL, queue Queue, records int) time.Duration {
	b.Helper()
	q := &countedQueue{Queue: queue, done: make(chan struct{})}
	q.left.Store(int64(records))
	br, err := New(Options{
		Name: "cloud", ClientID: "bridge", Servers: []*url.URL{server}, Dial: dialTCP, Out: all, Local: noLocal{}, Topics: gateway.Topics{Base: "tidegate/gw"},
		Lanes: []Lane{{Queue: q, Priority: PriorityNormal}}, NextEpoch: func(context.Context) (uint64, error) { return 1, nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- br.Run(ctx) }()
	<-q.done
	took := time.Since(q.began)
	cancel()
	<-ended
	return took
}

// countedQueue has a clock that runs from the first read to the last acknowledgement.
type countedQueue struct {
	Queue
	began time.Time
	left  atomic.Int64
	done  chan struct{}
}

func (q *countedQueue) Open(wake func()) (acked, last uint64) {
	q.began = time.Now()
	return q.Queue.Open(wake)
}

func (q *countedQueue) Ack(pos uint64) {
	q.Queue.Ack(pos)
	if q.left.Add(-1) == 0 {
		close(q.done)
	}
}

func benchRecord(size int) *gateway.Record {
	return &gateway.Record{Time: time.Now(), Body: &gateway.Message{Topic: "tidegate/gw/m", Payload: make([]byte, size), QoS: 1}}
}

// bufferQueue is an upstream's queue whose records wait on disk.
func bufferQueue(b *testing.B, records, size int) Queue {
	b.Helper()
	store := openStore(b)
	u := store.Upstream("cloud")
	stored := make(chan error, 1)
	for i := range records {
		var done func(error)
		if i == records-1 {
			done = func(err error) { stored <- err }
		}
		store.Commit(&gateway.Change{Record: benchRecord(size), To: []gateway.Ref{{Queue: u.Queue(), QoS: 1}}}, done)
	}
	if err := <-stored; err != nil {
		b.Fatal(err)
	}
	return u
}

// memoryQueue is a queue that costs nothing worth measuring.
func memoryQueue(_ *testing.B, records, size int) Queue {
	q := make(listQueue, records)
	for i := range q {
		q[i] = gateway.Delivery{Ref: gateway.Ref{QoS: 1}, Pos: uint64(i + 1), Record: benchRecord(size)}
	}
	return q
}

type listQueue []gateway.Delivery

func (q listQueue) Open(func()) (acked, last uint64) { return 0, uint64(len(q)) }

func (q listQueue) TryRead(after uint64, buf []gateway.Delivery) (int, error) {
	return copy(buf, q[after:]), nil
}

func (q listQueue) Detach()                                    {}
func (q listQueue) Ack(uint64)                                 {}
func (q listQueue) Park(context.Context, uint64, string) error { return nil }
func (q listQueue) Depth() (uint64, time.Time)                 { return 0, time.Time{} }

// noLocal is a local broker that takes nothing.
type noLocal struct{}

func (noLocal) Publish(*gateway.Record, func(error)) {}
