package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/localbroker/client"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// publisher is the verb pub at work.
type publisher struct {
	*session
	flags   *pubFlags
	message packet.Publish // without its payload
	in      io.Reader

	sent, taken int // messages
}

// payloads hands out the payloads to publish, one after the other; io.EOF ends them.
type payloads func(ctx context.Context) ([]byte, error)

// source returns the payloads that the flags ask for. What can be read before anybody is bothered is read now.
func (p *publisher) source() (payloads, error) {
	f := p.flags
	var once []byte
	var err error
	switch {
	case f.lines:
		return p.lines(), nil
	case f.stdin:
		once, err = readAll(p.in, "standard input")
	case f.file != "":
		once, err = readFile(f.file)
	default:
		once = []byte(f.message)
	}
	if err != nil {
		return nil, err
	}
	left := f.repeat
	return func(ctx context.Context) ([]byte, error) {
		if left == 0 {
			return nil, io.EOF
		}
		if left--; left < f.repeat-1 {
			return once, wait(ctx, f.delay())
		}
		return once, nil
	}, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("-f: %w", err)
	}
	defer file.Close()
	return readAll(file, path)
}

func readAll(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, packet.MaxRemaining+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > packet.MaxRemaining {
		return nil, fmt.Errorf("read %s: it is larger than an MQTT packet can be, %d bytes", name, packet.MaxRemaining)
	}
	return data, nil
}

// lines hands out the lines of the input. A read of a terminal cannot be stopped: the goroutine that does it ends with the read, which may be
// when the process does.
func (p *publisher) lines() payloads {
	var read chan []byte
	var failed error // set before read is closed
	loop := func(ctx context.Context) {
		defer close(read)
		in := bufio.NewScanner(p.in)
		in.Buffer(nil, packet.MaxRemaining)
		in.Split(splitLines)
		for in.Scan() {
			select {
			case read <- bytes.Clone(in.Bytes()):
			case <-ctx.Done():
				return
			}
		}
		if err := in.Err(); err != nil {
			failed = fmt.Errorf("read standard input: %w", err)
		}
	}
	return func(ctx context.Context) ([]byte, error) {
		if read == nil {
			read = make(chan []byte)
			go loop(ctx)
		}
		select {
		case text, more := <-read:
			if !more {
				return nil, cmp.Or(failed, io.EOF)
			}
			return text, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// splitLines is bufio.ScanLines, but leaves a carriage return in its place: it may be part of the payload, and mosquitto_pub sends it.
func splitLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// publish connects, sends the messages and waits until the broker has taken them.
func (p *publisher) publish(ctx context.Context, source payloads) error {
	c, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	sent := make(chan *client.Delivery, p.flags.inflight)
	g, gctx := errgroup.WithContext(ctx)
	working, finished := context.WithCancel(gctx)
	g.Go(func() error { return discard(working, c) })
	g.Go(func() error {
		defer close(sent)
		return p.send(gctx, c, source, sent)
	})
	g.Go(func() error {
		defer finished()
		return p.collect(gctx, sent)
	})
	if err := g.Wait(); err != nil {
		if c.Err() != nil {
			return fmt.Errorf("connection to %s: %w; messages sent: %d, not acknowledged of them: %d", p.target, c.Err(), p.sent, p.sent-p.taken)
		}
		_ = c.Disconnect(ctx, packet.Disconnect{Props: p.props.disconnect}) // the first error says more
		return err
	}
	if err := c.Disconnect(ctx, packet.Disconnect{Props: p.props.disconnect}); err != nil {
		return fmt.Errorf("connection to %s: %w", p.target, err)
	}
	return nil
}

// discard takes what a session of an earlier time may bring, unacknowledged: it is for somebody else. It returns why the connection ended, so
// that nobody waits for a next line in vain, or nil when ctx did.
func discard(ctx context.Context, c *client.Client) error {
	for {
		if _, err := c.Receive(ctx); ctx.Err() != nil {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (p *publisher) send(ctx context.Context, c *client.Client, source payloads, sent chan<- *client.Delivery) error {
	for {
		payload, err := source(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		m := p.message
		m.Payload = payload
		d, err := c.Send(ctx, &m)
		if err != nil {
			return err
		}
		p.sent++
		select {
		case sent <- d:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// collect waits for the answers, in the order of the messages.
func (p *publisher) collect(ctx context.Context, sent <-chan *client.Delivery) error {
	for d := range sent {
		if _, err := d.Wait(ctx); err != nil {
			return err
		}
		p.taken++
	}
	return nil
}
