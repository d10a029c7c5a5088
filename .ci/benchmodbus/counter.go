package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// counter is a subscriber that does nothing but count: MQTT 3.1.1 as far as that needs it.
type counter struct {
	conn net.Conn

	mu    sync.Mutex
	sum   sum
	fault error
}

// sum is what was counted.
type sum struct{ messages, points int }

// subscribe connects as soon as the broker is there, subscribes to the gateway's devices with QoS 0, and counts.
func subscribe(ctx context.Context, broker string) (*counter, error) {
	limit := time.Now().Add(20 * time.Second)
	for {
		conn, err := net.Dial("tcp", broker)
		if err == nil {
			c := &counter{conn: conn}
			go c.count()
			return c, c.greet()
		}
		if time.Now().After(limit) || ctx.Err() != nil {
			return nil, err
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// greet sends CONNECT without a keep-alive and SUBSCRIBE (MQTT 3.1.1, 3.1 and 3.8); their answers are counted over.
func (c *counter) greet() error {
	const filter = "tidegate/bench/+"
	connect := append([]byte{0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 5}, "count"...)
	subscribe := append([]byte{0x82, 0, 0, 1, 0, byte(len(filter))}, filter+"\x00"...)
	connect[1], subscribe[1] = byte(len(connect)-2), byte(len(subscribe)-2)
	_, err := c.conn.Write(append(connect, subscribe...))
	return err
}

func (c *counter) count() {
	r := bufio.NewReaderSize(c.conn, 1<<18)
	for {
		if err := c.packet(r); err != nil {
			c.mu.Lock()
			c.fault = err
			c.mu.Unlock()
			return
		}
	}
}

// packet takes one packet; a PUBLISH is counted.
func (c *counter) packet(r *bufio.Reader) error {
	kind, err := r.ReadByte()
	if err != nil {
		return err
	}
	size, err := length(r)
	if err != nil {
		return err
	}
	if size > r.Size() {
		return fmt.Errorf("a packet of %d bytes", size)
	}
	body, err := r.Peek(size)
	if err != nil {
		return err
	}
	if kind>>4 == 3 {
		n := points(body)
		c.mu.Lock()
		c.sum.messages++
		c.sum.points += n
		c.mu.Unlock()
	}
	_, err = r.Discard(size)
	return err
}

// length reads a remaining length (MQTT 3.1.1, 2.2.3).
func length(r io.ByteReader) (n int, err error) {
	for shift := 0; shift < 28; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		if n |= int(b&0x7f) << shift; b < 0x80 {
			return n, nil
		}
	}
	return 0, errors.New("a remaining length without end")
}

// points counts the good values of a device's JSON.
func points(body []byte) int {
	_, values, ok := bytes.Cut(body, []byte(`"quality":"good","values":{`))
	if !ok {
		return 0
	}
	values, _, _ = bytes.Cut(values, []byte{'}'})
	return bytes.Count(values, []byte{':'}) - bytes.Count(values, []byte(":null"))
}

func (c *counter) seen() sum {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum
}

func (c *counter) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault
}

func (c *counter) Close() error { return c.conn.Close() }
