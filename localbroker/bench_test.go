package localbroker_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// noStore is a store that keeps nothing, so that the broker alone is measured.
type noStore struct{}

func (noStore) Queue(string) gateway.QueueID { return 1 }

func (noStore) Commit(c *gateway.Change, done func(error)) {
	if done != nil {
		done(nil)
	}
}

func (s noStore) CommitAll(list []gateway.Change, w gateway.Waiter, first uint64) {
	commitEach(s, list, w, first)
}
func (noStore) Attach(gateway.QueueID, func()) uint64                         { return 0 }
func (noStore) Detach(gateway.QueueID)                                        {}
func (noStore) Read(gateway.QueueID, uint64, []gateway.Delivery) (int, error) { return 0, nil }
func (noStore) ReadNow(gateway.QueueID, uint64, []gateway.Delivery) (int, bool) {
	return 0, true
}
func (noStore) Ack(gateway.QueueID, ...uint64)       {}
func (noStore) Recover() (*gateway.Recovered, error) { return &gateway.Recovered{}, nil }

// noHost is where a noStore lives.
type noHost struct{}

func (noHost) open(testing.TB) localbroker.Store { return noStore{} }
func (noHost) close(testing.TB)                  {}
func (noHost) crash(testing.TB)                  {}

// BenchmarkFanIn is 20 publishers of 100 bytes and one subscriber over loopback, with the load generator on the same cores.
func BenchmarkFanIn(b *testing.B) {
	for _, qos := range []packet.QoS{0, 1} {
		b.Run(fmt.Sprint("QoS", qos), func(b *testing.B) {
			r := startOn(b, noHost{})
			benchFanIn(b, r, r.clean("sub"), qos)
		})
	}
	// Over the buffer: what a subscriber confirms at once needs no disk, and so little more than one whose session ends with its connection.
	b.Run("QoS1/buffer/clean", func(b *testing.B) {
		r := startOn(b, &bufferHost{})
		benchFanIn(b, r, r.clean("sub"), 1)
	})
	b.Run("QoS1/buffer/persistent", func(b *testing.B) {
		r := startOn(b, &bufferHost{})
		benchFanIn(b, r, r.persistent("sub", false), 1)
	})
}

func benchFanIn(b *testing.B, r *rig, sub *raw, qos packet.QoS) {
	const publishers = 20
	sub.subscribe("load/#", qos)
	pubs := make([]*raw, publishers)
	for i := range pubs {
		pubs[i] = r.clean(fmt.Sprint("pub", i))
	}
	each := b.N/publishers + 1
	b.ReportAllocs()
	b.ResetTimer()
	for i, p := range pubs {
		go blast(p, fmt.Sprint("load/", i), qos, each)
	}
	receive(b, sub, publishers*each)
	b.ReportMetric(float64(publishers*each)/b.Elapsed().Seconds(), "msg/s")
	if st := r.broker.Stats(); st.Dropped > 0 {
		b.Errorf("%d messages were dropped", st.Dropped)
	}
}

// BenchmarkOneByOne is one message after the other, each on its way when the one before has arrived: what a message costs when there is
// nothing to gather.
func BenchmarkOneByOne(b *testing.B) {
	for _, qos := range []packet.QoS{0, 1} {
		b.Run(fmt.Sprint("QoS", qos), func(b *testing.B) {
			r := startOn(b, noHost{})
			sub, pub := r.clean("sub"), r.clean("pub")
			sub.subscribe("a", qos)
			message := publishBytes("a", string(make([]byte, 100)), qos, 1, false, false)
			got := make([]byte, len(message))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pub.c.Write(message); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(sub.r, got); err != nil {
					b.Fatal(err)
				}
				if qos == 0 {
					continue
				}
				id := binary.BigEndian.Uint16(got[5:])
				if _, err := sub.c.Write(packet.AppendAck(nil, packet.TypePuback, id)); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(pub.r, got[:4]); err != nil { // its PUBACK
					b.Fatal(err)
				}
			}
		})
	}
}

// blast publishes n messages, at QoS 1 with up to 100 of them not yet acknowledged.
func blast(c *raw, topic string, qos packet.QoS, n int) {
	w := bufio.NewWriterSize(c.c, 16<<10)
	const window = 100
	var ack [4]byte
	data := publishBytes(topic, string(make([]byte, 100)), qos, 1, false, false)
	id := 4 + len(topic) // offset of the packet id
	for i := range n {
		if qos > 0 {
			binary.BigEndian.PutUint16(data[id:], uint16(i%65535+1))
		}
		if qos > 0 && i >= window {
			if c.r.Buffered() < 4 {
				_ = w.Flush()
			}
			if _, err := io.ReadFull(c.r, ack[:]); err != nil {
				return
			}
		}
		if _, err := w.Write(data); err != nil {
			return
		}
	}
	_ = w.Flush()
}

// receive reads n messages and acknowledges those of QoS 1.
func receive(b *testing.B, c *raw, n int) {
	w := bufio.NewWriterSize(c.c, 4<<10)
	r := bufio.NewReaderSize(c.c, 64<<10)
	var acks []byte
	for range n {
		head, err := r.Peek(4)
		if err != nil {
			b.Fatal(err)
		}
		size := 2 + int(head[1])
		p, err := r.Peek(size)
		if err != nil {
			b.Fatal(err)
		}
		if p[0]&6 != 0 {
			at := 4 + int(binary.BigEndian.Uint16(p[2:]))
			acks = packet.AppendAck(acks[:0], packet.TypePuback, binary.BigEndian.Uint16(p[at:]))
			_, _ = w.Write(acks)
		}
		_, _ = r.Discard(size)
		if r.Buffered() < size && w.Flush() != nil {
			b.Fatal("flush failed")
		}
	}
}

// BenchmarkPublishBatch is the engine's side: 100 points published for one device, with nobody listening and with one subscriber to all.
func BenchmarkPublishBatch(b *testing.B) {
	for name, filter := range map[string]string{"nobody": "", "one subscriber": "#"} {
		b.Run(name, func(b *testing.B) {
			r := startOn(b, noHost{})
			if filter != "" {
				s := r.clean("s")
				s.subscribe(filter, 0)
				go func() { _, _ = io.Copy(io.Discard, s.c) }()
			}
			batch := &gateway.Batch{Topic: "tg/x/meter", Publish: gateway.PublishPoints}
			for i := range 100 {
				batch.Names = append(batch.Names, fmt.Sprint("p", i))
				batch.Readings = append(batch.Readings, gateway.Reading{Value: gateway.Float32(float32(i) / 10), Quality: gateway.QualityGood})
			}
			b.ReportAllocs()
			for b.Loop() {
				r.broker.Publish(&gateway.Record{Body: batch}, nil)
			}
			b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "points/s")
		})
	}
}
