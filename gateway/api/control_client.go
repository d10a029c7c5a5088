package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/gateway"
)

// ErrNoGateway tells that no gateway listens on a control socket.
var ErrNoGateway = errors.New("no gateway runs there")

// errCut tells that an answer ended in the middle.
var errCut = errors.New("the gateway went away before its answer was complete: look whether it still runs, and try again")

// statusTimeout is how long a gateway may take to say that it is there.
const statusTimeout = 5 * time.Second

// Client talks to a running gateway through its control socket. It is a [Buffer].
type Client struct {
	path   string
	http   http.Client
	status Status
}

var _ Buffer = (*Client)(nil)

// Dial finds out whether a gateway answers on the control socket at path. The error wraps ErrNoGateway when nobody listens there, and
// fs.ErrPermission when it belongs to another user.
func Dial(ctx context.Context, path string) (*Client, error) {
	c := &Client{path: path, http: http.Client{Transport: &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dialControl(ctx, path) },
		MaxIdleConnsPerHost: 1, IdleConnTimeout: statusTimeout,
	}}}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	err := c.get(ctx, "/v1/status", &c.status)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		err = ErrNoGateway
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("ask the gateway on %s: %w", path, err)
	}
	return c, nil
}

// Status returns what the gateway said about itself when it was dialled.
func (c *Client) Status() Status { return c.status }

// Close gives the connection back.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Overview implements [BufferReader].
func (c *Client) Overview(ctx context.Context) (gateway.BufferStats, error) {
	var doc bufferDoc
	err := c.get(ctx, "/v1/buffer/stats", &doc)
	return doc.stats(), err
}

// Scan implements [BufferReader].
func (c *Client) Scan(ctx context.Context, queue string, after uint64, fn func(gateway.Delivery) error) error {
	query := url.Values{"queue": {queue}, "after": {strconv.FormatUint(after, 10)}}
	return c.lines(ctx, "/v1/buffer/scan?"+query.Encode(), func(l *line) error {
		if l.Delivery == nil {
			return nil
		}
		d, err := l.Delivery.parse()
		if err != nil {
			return fmt.Errorf("parse delivery %d: %w", l.Delivery.Position, err)
		}
		return fn(d)
	})
}

// Verify implements [BufferReader].
func (c *Client) Verify(ctx context.Context, told func(done, total int64)) (v gateway.Verdict, err error) {
	err = c.lines(ctx, "/v1/buffer/verify", func(l *line) error {
		switch {
		case l.Verdict != nil:
			v = gateway.Verdict(*l.Verdict)
		case l.Progress != nil && told != nil:
			told(l.Progress.Done, l.Progress.Total)
		}
		return nil
	})
	return v, err
}

// Dead implements [BufferReader].
func (c *Client) Dead(ctx context.Context, fn func(gateway.DeadRecord) error) error {
	return c.lines(ctx, "/v1/buffer/dead", func(l *line) error {
		if l.Dead == nil {
			return nil
		}
		d, err := l.Dead.parse()
		if err != nil {
			return fmt.Errorf("parse record %d that was set aside: %w", l.Dead.N, err)
		}
		return fn(d)
	})
}

// Purge implements [Buffer].
func (c *Client) Purge(ctx context.Context, queue string, through uint64) (uint64, error) {
	return c.post(ctx, "/v1/buffer/purge", purgeRequest{queue, through})
}

// DropDead implements [Buffer].
func (c *Client) DropDead(ctx context.Context, n ...int64) (int64, error) {
	count, err := c.post(ctx, "/v1/buffer/dead/drop", numbersRequest{n})
	return int64(count), err
}

// RetryDead implements [Buffer].
func (c *Client) RetryDead(ctx context.Context, n ...int64) (int64, error) {
	count, err := c.post(ctx, "/v1/buffer/dead/retry", numbersRequest{n})
	return int64(count), err
}

// do sends a request and returns the body of its answer. The host in the URL means nothing.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var plain *url.Error
		if errors.As(err, &plain) { // its text holds an address that nobody has asked for
			err = plain.Err
		}
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var l line
	if err := json.NewDecoder(io.LimitReader(resp.Body, controlBody)).Decode(&l); err != nil || l.Error == "" {
		return nil, fmt.Errorf("the gateway answers %s %s with %s: is it of the same version?", method, path, resp.Status)
	}
	return nil, errors.New(l.Error)
}

func (c *Client) get(ctx context.Context, path string, v any) error {
	body, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(v)
}

func (c *Client) post(ctx context.Context, path string, v any) (uint64, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return 0, err
	}
	body, err := c.do(ctx, http.MethodPost, path, bytes.NewReader(b))
	if err != nil {
		return 0, err
	}
	defer body.Close()
	var answer countAnswer
	err = json.NewDecoder(body).Decode(&answer)
	return answer.Count, err
}

// lines calls fn with each line of a streamed answer before its end.
func (c *Client) lines(ctx context.Context, path string, fn func(*line) error) error {
	ctx, cancel := context.WithCancel(ctx) // fn may have had enough
	defer cancel()
	body, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var l line
		if err := dec.Decode(&l); err != nil {
			return cut(ctx, err)
		}
		switch {
		case l.End:
			return nil
		case l.Error != "":
			return errors.New(l.Error)
		}
		if err := fn(&l); err != nil {
			return err
		}
	}
}

// cut says why an answer has no more lines.
func cut(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, new(net.Error)):
		return errCut
	}
	return err
}
