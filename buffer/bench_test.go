package buffer

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// diskBytes is what this process has caused to be sent to the disk, whole pages, checkpoints included.
func diskBytes(b *testing.B) (n int64) {
	b.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skipf("bytes cannot be measured: %v", err)
	}
	_, rest, _ := strings.Cut(string(text), "\nwrite_bytes: ")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		b.Fatal(err)
	}
	return n
}

// queues makes n queues.
func (r *rig) makeQueues(n int) []gateway.QueueID {
	list := make([]gateway.QueueID, n)
	for i := range list {
		list[i] = r.Queue(fmt.Sprint("upstream/", i))
	}
	return list
}

// lanMessage is a LAN publish of 200 bytes, with a payload that does not compress.
func lanMessage(i int) *gateway.Message {
	payload := make([]byte, 200)
	x := uint64(i)*0x9e3779b97f4a7c15 + 1
	for j := range payload {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		payload[j] = byte(x)
	}
	return &gateway.Message{Topic: fmt.Sprintf("plant/line%d/machine%d/state", i%7, i%31), Payload: payload, QoS: 1}
}

// BenchmarkAppend appends records of a 200 byte LAN publish in groups of 100 while their consumers are away, and acknowledges them:
// "steady" 5 groups later, "outage" after all were appended. One operation is one record, from append to acknowledgement, with its part of the
// checkpoints. Needs a real disk under the temporary folder: set TMPDIR.
func BenchmarkAppend(b *testing.B) {
	for _, scenario := range []string{"steady", "outage"} {
		for _, consumers := range []int{1, 3, 50} {
			b.Run(fmt.Sprintf("%s/consumers=%d", scenario, consumers), func(b *testing.B) { benchmarkAppend(b, scenario, consumers) })
		}
	}
}

func benchmarkAppend(b *testing.B, scenario string, consumers int) {
	const size = 100
	groups := (b.N + size - 1) / size
	r := newRig(b, Options{})
	queues := r.makeQueues(consumers)
	r.commitDue()
	refs := to(queues...)
	messages := make([]*gateway.Message, size*16)
	for i := range messages {
		messages[i] = lanMessage(i)
	}
	at := time.Unix(1700000000, 123456789) // of a length that does not vary, nor then what is written
	acked := uint64(0)
	ack := func() {
		for range size {
			acked++
			for _, q := range queues {
				r.Ack(q, acked)
			}
		}
	}
	lag := 5
	if scenario == "outage" {
		lag = groups
	}
	before, base := diskBytes(b), r.Stats()
	b.ResetTimer()
	for g := range groups {
		for i := range size {
			r.Commit(&gateway.Change{Record: &gateway.Record{Time: at, Body: messages[(g*size+i)%len(messages)]}, To: refs}, func(error) {})
		}
		if g >= lag {
			ack()
		}
		r.commitDue()
		r.runCalls()
	}
	appended := b.Elapsed()
	file, _, err := r.writer.fileBytes() // when nothing is acknowledged yet
	if err != nil {
		b.Fatal(err)
	}
	for acked < uint64(groups*size) {
		for range 10 { // what a drain acknowledges within one commit interval, about
			if acked < uint64(groups*size) {
				ack()
			}
		}
		r.commitDue()
	}
	if err := r.writer.checkpoint("TRUNCATE"); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	n := float64(groups * size)
	st := r.Stats()
	b.ReportMetric(float64(diskBytes(b)-before)/n, "disk-B/record")
	b.ReportMetric(float64(r.writer.meter.bytes-base.BytesOut)/n, "written-B/record")
	b.ReportMetric(float64(r.writer.meter.fsyncs-base.Fsyncs)/n, "fsyncs/record")
	b.ReportMetric(n/appended.Seconds(), "appended/s")
	if scenario == "outage" {
		b.ReportMetric(float64(file)/n, "file-B/record")
	}
	if st.Written-base.Written != uint64(n) {
		b.Fatalf("%d written, want %v", st.Written-base.Written, n)
	}
}

// runCalls calls callbacks as the dispatcher would.
func (r *rig) runCalls() {
	var d dispatcher
	d.run(r.Store)
}

// BenchmarkElided is the way of a record while all consumers keep up: commit, read, acknowledge, all in memory.
func BenchmarkElided(b *testing.B) {
	for _, consumers := range []int{1, 3} {
		b.Run(fmt.Sprintf("consumers=%d", consumers), func(b *testing.B) {
			r := running(b, Options{})
			queues := r.makeQueues(consumers)
			r.flush()
			for _, q := range queues {
				r.Attach(q, func() {})
			}
			refs := to(queues...)
			m := lanMessage(1)
			buf := make([]gateway.Delivery, 16)
			done := func(error) {}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				r.Commit(&gateway.Change{Record: &gateway.Record{Time: r.start, Body: m}, To: refs}, done)
				for _, q := range queues {
					if n, err := r.Read(q, uint64(i), buf); n != 1 || err != nil {
						b.Fatal(n, err)
					}
					r.Ack(q, uint64(i+1))
				}
			}
			b.StopTimer()
			if st := r.Stats(); st.Elided < uint64(b.N)*9/10 {
				b.Logf("only %d of %d elided", st.Elided, b.N)
			}
		})
	}
}

// BenchmarkOffline is 20 publishers with a window of 100 to a session that is away: each message waits for its fsync.
func BenchmarkOffline(b *testing.B) {
	r := running(b, Options{})
	q := r.Queue("session/away")
	r.flush()
	const publishers, window = 20, 100
	ended := make(chan struct{})
	for p := range publishers {
		go func() {
			slots := make(chan struct{}, window)
			for i := p; i < b.N; i += publishers {
				slots <- struct{}{}
				r.Commit(&gateway.Change{Record: &gateway.Record{Time: r.start, Body: lanMessage(i)}, To: to(q)}, func(error) { <-slots })
			}
			for range window {
				slots <- struct{}{}
			}
			ended <- struct{}{}
		}()
	}
	for range publishers {
		<-ended
	}
	b.StopTimer()
	st := r.Stats()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(st.Written)/float64(st.Commits), "records/commit")
	b.ReportMetric(float64(st.BytesOut)/float64(b.N), "written-B/record")
}

// BenchmarkDrain reads a backlog from disk, 64 at a time, and acknowledges it.
func BenchmarkDrain(b *testing.B) {
	r := running(b, Options{})
	q := r.Queue("upstream/x")
	for i := range b.N {
		r.Commit(&gateway.Change{Record: &gateway.Record{Time: r.start, Body: lanMessage(i)}, To: to(q)}, nil)
		if i%1000 == 999 {
			r.flush()
		}
	}
	r.flush()
	runtime.GC()
	b.ResetTimer()
	pos, buf := r.Attach(q, func() {}), make([]gateway.Delivery, 64)
	for read := 0; read < b.N; {
		n, err := r.Read(q, pos, buf)
		if n == 0 || err != nil {
			b.Fatal(n, err)
		}
		for _, d := range buf[:n] {
			pos = d.Pos
			r.Ack(q, pos)
		}
		read += n
	}
}
