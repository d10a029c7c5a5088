package buffer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// publishUntilKilled publishes numbers from where the last one stopped, as 20 publishers with a message each under way, to an upstream
// that drains and a session that is away. It prints what was acknowledged, and what the upstream was given.
func publishUntilKilled(path string) error {
	s, err := Open(context.Background(), Options{Path: path})
	if err != nil {
		return err
	}
	out := newPrinter(os.Stdout)
	session := s.Queue("session/away")
	up := s.Upstream("cloud")
	go func() { _ = s.Run(context.Background()) }()
	go drain(up, out)
	var next uint64
	if _, err := fmt.Fscan(os.Stdin, &next); err != nil {
		return err
	}
	window := make(chan struct{}, 20)
	for {
		window <- struct{}{}
		next++
		n := next
		s.Commit(&gateway.Change{Record: record(strconv.FormatUint(n, 10)), To: to(session, up.Queue())}, func(err error) {
			if err == nil {
				out.print("acknowledged", n)
			}
			<-window
		})
	}
}

// drain gives the upstream what it is due and acknowledges with a window between.
func drain(up *Upstream, out *printer) {
	pos := up.Attach()
	buf := make([]gateway.Delivery, 16)
	for {
		n, err := up.Read(context.Background(), pos, buf)
		if err != nil {
			return
		}
		for _, d := range buf[:n] {
			pos = d.Pos
			if m, ok := d.Record.Body.(*gateway.Message); ok {
				n, _ := strconv.ParseUint(string(m.Payload), 10, 64)
				out.print("delivered", n)
			}
			if pos > 8 {
				up.Ack(pos - 8)
			}
		}
	}
}

// printer writes whole lines, each with one call, so that what a killed process has written is true.
type printer struct{ lines chan string }

func newPrinter(w io.Writer) *printer {
	p := &printer{make(chan string)}
	go func() {
		for l := range p.lines {
			_, _ = io.WriteString(w, l)
		}
	}()
	return p
}

func (p *printer) print(what string, n uint64) { p.lines <- fmt.Sprintf("%s %d\n", what, n) }

// TestNothingAcknowledgedIsLostByKill kills a publishing process at random moments and looks what is there.
func TestNothingAcknowledgedIsLostByKill(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	path := filepath.Join(t.TempDir(), "buffer.db")
	acknowledged, delivered := map[uint64]bool{}, map[uint64]bool{}
	highest := uint64(0)
	for range rounds {
		highest = killedRound(t, path, highest, acknowledged, delivered)
	}
	r := newRig(t, Options{Path: path})
	session := numbers(t, r.read(r.Queue("session/away"), 0))
	up := numbers(t, r.read(r.Queue("upstream/cloud"), 0))
	for n := range acknowledged {
		if !session[n] {
			t.Errorf("%d was acknowledged and is lost for the session", n)
		}
		if !up[n] && !delivered[n] {
			t.Errorf("%d was acknowledged and is lost for the upstream", n)
		}
	}
	t.Logf("%d kills: %d published, %d acknowledged, %d delivered upstream, %d kept for the session",
		rounds, highest, len(acknowledged), len(delivered), len(session))
}

// killedRound lets a child publish numbers above highest, kills it, and returns the highest that it may have used.
func killedRound(t *testing.T, path string, highest uint64, acknowledged, delivered map[uint64]bool) uint64 {
	t.Helper()
	cmd := child(t, "publish", path)
	cmd.Stdin = strings.NewReader(fmt.Sprintln(highest))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Duration(300+rand.IntN(300))*time.Millisecond, func() { _ = cmd.Process.Kill() })
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		what, number, _ := strings.Cut(scanner.Text(), " ")
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			continue // the line that the kill has cut
		}
		if what == "acknowledged" {
			acknowledged[n] = true
		} else {
			delivered[n] = true
		}
		highest = max(highest, n)
	}
	_ = cmd.Wait()
	return highest + 100 // some were under way
}

// numbers returns the numbers that were delivered, which must rise.
func numbers(t *testing.T, list []gateway.Delivery) map[uint64]bool {
	t.Helper()
	set, last := map[uint64]bool{}, uint64(0)
	for _, d := range list {
		m, ok := d.Record.Body.(*gateway.Message)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(string(m.Payload), 10, 64)
		if err != nil || n <= last {
			t.Fatalf("%q follows %d", m.Payload, last)
		}
		set[n], last = true, n
	}
	return set
}

// When done is called the record is in the files, not only in the process.
func TestWhatIsDoneIsInTheFiles(t *testing.T) {
	r := running(t, Options{})
	q := r.Queue("session/x")
	r.flush()
	copied := make(chan string, 1)
	r.Commit(&gateway.Change{Record: record("one"), To: to(q)}, func(error) { copied <- copyFiles(t, r.opts.Path) })
	k := newRig(t, Options{Path: <-copied})
	k.want(k.read(q, 0), "one")
}
