package localbroker_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// counting counts how many passwords are looked at.
type counting struct {
	*house
	looked atomic.Int32
}

func (c *counting) Authenticate(ctx context.Context, user string, password []byte) bool {
	c.looked.Add(1)
	return c.house.Authenticate(ctx, user, password)
}

// doorway is a broker with users and a clock that a test sets.
type doorway struct {
	*rig
	auth *counting
	now  atomic.Int64
}

func startDoorway(t *testing.T) *doorway {
	d := &doorway{auth: &counting{house: newHouse()}}
	d.now.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	d.rig = start(t, func(o *localbroker.Options) {
		o.Auth = d.auth
		o.Now = func() time.Time { return time.Unix(0, d.now.Load()) }
	})
	return d
}

// Return codes of CONNACK (MQTT 3.1.1, 3.2.2.3).
const (
	accepted    = 0
	unavailable = 3
	badPassword = 4
)

func (d *doorway) try(user, password string, want byte) {
	d.t.Helper()
	c := d.login(user, password, packet.Connect{ClientID: user + "'s client", CleanStart: true})
	c.expectBytes([]byte{0x20, 2, 0, want})
	c.close()
}

func TestWrongPasswordsAreLimited(t *testing.T) {
	d := startDoorway(t)
	for i := range 10 {
		d.try(fmt.Sprint("user", i), "guess", badPassword)
	}
	d.try("ann", "guess", unavailable)
	d.try("ann", "ann's", unavailable) // the address has spent what it had, and she has never been here
	if n := d.auth.looked.Load(); n != 10 {
		t.Errorf("%d passwords were looked at, want 10", n)
	}
	d.now.Add(int64(8 * time.Second))
	d.try("ann", "ann's", accepted)
	d.try("bob", "guess", badPassword)
	d.try("bob", "another", unavailable)
	eventually(t, "14 refused connections", func() bool { return d.broker.Stats().Refused == 14 })
	if n := d.broker.Stats().Limited; n != 3 {
		t.Errorf("%d logins were limited, want 3", n)
	}
	d.log.await(t, "too many wrong passwords", "127.0.0.1")
}

// What strangers can bring about is in the log at once, and then once a minute with how often it was: four texts of an address.
func TestRefusalsDoNotFloodTheLog(t *testing.T) {
	d := startDoorway(t)
	refused := uint64(0)
	try := func(n int, user, password string) {
		for range n {
			d.try(user, password, badPassword)
		}
		refused += uint64(n)
		eventually(t, "refused connections", func() bool { return d.broker.Stats().Refused == refused })
	}
	lines := func(words ...string) (n int) {
		for line := range strings.Lines(d.log.String()) {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
				n++
			}
		}
		return n
	}
	want := func(n int, words ...string) {
		t.Helper()
		eventually(t, fmt.Sprint(n, " lines with ", words), func() bool { return lines(words...) >= n })
		if got := lines(words...); got != n {
			t.Errorf("%d lines with %q, want %d:\n%s", got, words, n, d.log)
		}
	}
	try(1, "ann", "wrong")
	want(1, "connection refused", "ann", "127.0.0.1", "times=1")
	try(20, "ann", "wrong")
	want(1, "connection refused", "tried before", "times=1")
	want(2, "connection refused")
	for i := range 5 { // other names are told of too, up to four texts
		try(1, fmt.Sprint("user", i), "wrong")
	}
	want(4, "connection refused")
	d.now.Add(int64(time.Minute))
	try(1, "ann", "wrong")
	want(1, "connection refused", "tried before", "times=20")
	want(5, "connection refused")
}

// Addresses that are made up do not fill the memory of refusals, and after a minute a new one is told of.
func TestRefusalsAreBounded(t *testing.T) {
	said, kept := localbroker.RefusalFlood(100_000)
	if said > 2000 || kept > 1100 {
		t.Errorf("%d of 100,000 refusals were said, and %d addresses are kept", said, kept)
	}
}

// Whoever fails in her name or beside her does not keep a user out who has been here before.
func TestOthersDoNotLockAUserOut(t *testing.T) {
	d := startDoorway(t)
	d.try("ann", "ann's", accepted)
	for i := range 30 {
		d.try("bob", fmt.Sprint(i), map[bool]byte{true: badPassword, false: unavailable}[i < 10])
	}
	d.try("ann", "ann's", accepted)
	for i := range 10 { // she has as many of her own
		d.try("ann", fmt.Sprint(i), badPassword)
	}
	d.try("ann", "ann's", unavailable)
	d.now.Add(int64(8 * time.Second))
	d.try("ann", "ann's", accepted)
}

// A device that is set up wrongly tries the same password for ever. That costs nothing, and keeps nobody else out.
func TestTheSameWrongPasswordIsAnsweredFromMemory(t *testing.T) {
	d := startDoorway(t)
	for range 30 {
		d.try("ann", "wrong", badPassword)
		d.try("nobody", "wrong", badPassword)
	}
	if n := d.auth.looked.Load(); n != 2 {
		t.Errorf("%d passwords were looked at, want 2", n)
	}
	d.try("bob", "bob's", accepted)
	d.auth.change(func() { d.auth.users["ann"] = "wrong" }) // it becomes the right one
	d.broker.Reauthorize()
	d.try("ann", "wrong", accepted)
}

// lateYes knows a password to be right when it is too late.
type lateYes struct{}

func (lateYes) Authenticate(ctx context.Context, _ string, _ []byte) bool {
	<-ctx.Done()
	return true
}

// An answer that comes too late is not counted as a wrong password, and so must not tell of a right one.
func TestALoginThatComesTooLateIsRefused(t *testing.T) {
	var log logBuffer
	inBubble(t, func(t *testing.T, b *bubble) {
		c := b.dial()
		login := packet.Connect{Version: packet.V311, ClientID: "c", CleanStart: true, Username: packet.Some("ann"), Password: []byte("ann's")}
		b.say(c, login.Append(nil, packet.V311))
		if got := b.hear(c, 4); !bytes.Equal(got, []byte{0x20, 2, 0, 4}) {
			t.Errorf("got % x, want a refusal", got)
		}
		log.await(t, "not finished within the connect timeout")
	}, func(o *localbroker.Options) { o.Auth, o.Logger = lateYes{}, slog.New(slog.NewTextHandler(&log, nil)) })
}

// Names and addresses that are made up do not fill the memory, and do not make the limit forget who is failing now.
func TestAttemptsAreBounded(t *testing.T) {
	if n := localbroker.LoginFlood(100_000); n > 2*2*4096 {
		t.Errorf("%d attempts are remembered", n)
	}
}
