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
	log     io.Writer

	sent, taken int // messages, over this connection and those before
}

// payloads hands out the payloads to publish, one after the other; io.EOF ends them.
type payloads func(ctx context.Context) ([]byte, error)

// source returns the payloads that the flags ask for. What can be read before anybody is bothered is read now.
func (p *publisher) source(ctx context.Context) (payloads, error) {
	f := p.flags
	var once []byte
	var err error
	switch {
	case f.lines:
		return p.lines(ctx), nil
	case f.stdin:
		once, err = readAll(p.in, "standard input")
		if err == nil && len(once) == 0 { // a program before the pipe has failed, and a retained message would be forgotten
			err = errors.New("read standard input: it is empty; give -n to publish an empty message")
		}
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

// lines hands out the lines of the input, until ctx ends. A read of a terminal cannot be stopped: the goroutine that does it ends with the read,
// which may be when the process does.
func (p *publisher) lines(ctx context.Context) payloads {
	var read chan []byte
	var failed error // set before read is closed
	loop := func() {
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
			go loop()
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

// keepPublishing publishes until all is taken. With lines that must not be lost it goes on when the connection is lost, but for the first one: a
// wrong address is not waited for.
func (p *publisher) keepPublishing(ctx context.Context, source payloads) error {
	keep := p.flags.lines && p.flags.qos > 0
	unanswered := &backlog{source: source}
	pause := firstPause
	for first := true; ; first = false {
		c, err := p.connect(ctx)
		if err == nil {
			if !first {
				fmt.Fprintf(p.log, "connected to %s again\n", p.target)
			}
			pause = firstPause
			unanswered.rewind()
			p.sent = p.taken
			if err = p.publish(ctx, c, unanswered); c.Err() == nil || errors.Is(c.Err(), client.ErrClosed) {
				return err
			}
		} else if first {
			return err
		}
		if err == nil || !keep || ctx.Err() != nil || lasting(err) {
			return err
		}
		fmt.Fprintf(p.log, "%v; connecting again in %v\n", err, pause)
		if err := wait(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, lastPause)
	}
}

// publish sends the messages and waits until the broker has taken them. It closes the connection.
func (p *publisher) publish(ctx context.Context, c *client.Client, source *backlog) error {
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
		return p.collect(gctx, source, sent)
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

func (p *publisher) send(ctx context.Context, c *client.Client, source *backlog, sent chan<- *client.Delivery) error {
	for {
		payload, err := source.next(ctx)
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
func (p *publisher) collect(ctx context.Context, source *backlog, sent <-chan *client.Delivery) error {
	for d := range sent {
		if _, err := d.Wait(ctx); err != nil {
			return err
		}
		source.taken()
		p.taken++
	}
	return nil
}
