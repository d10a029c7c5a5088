package localbroker

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// How many wrong passwords are taken in a row, and the time after which one more is: a person who mistypes does not notice, and a program that
// guesses gets some ten thousand a day from an address, whatever the passwords cost to check. Many that are tried at once are all checked, and
// then make the wait longer, up to a bound.
const (
	loginBurst = 10
	loginDebt  = 64
	loginEvery = 8 * time.Second
)

// maxAttempts bounds each half of the memory of failed logins, see attempts; a record takes some 150 bytes.
const maxAttempts = 4096

// proof is how a connection has logged in.
type proof struct {
	checked    bool   // with a user name and a password
	credential uint64 // of the user, at that time
}

// logIn checks a user name and a password, unless too many were wrong lately.
func (c *conn) logIn(ctx context.Context, user string, password []byte) error {
	b := c.b
	who := b.logins.attempt(user, c.host)
	now := b.opts.Now()
	sum := b.logins.digester.Digest(user, password)
	switch b.logins.ask(now, who, sum) {
	case loginTooMany:
		b.stats.limited.Add(1)
		return refused(packet.ReasonServerUnavailable, "user %q from %s: too many wrong passwords lately, wait %s", user, who.address, loginEvery)
	case loginWrongAgain:
		return refused(packet.ReasonBadUserNameOrPassword, "user %q is not known, or the password is wrong; it was tried before", user)
	}
	var p proof
	r, ok := b.opts.Auth.(Revoker)
	if ok {
		p.credential, _ = r.Credential(user) // before the check: what changes meanwhile is seen by register
	}
	right := b.opts.Auth.Authenticate(ctx, user, password)
	if ctx.Err() != nil {
		// Mostly nobody has looked at the password, so that it counts neither as wrong nor, lest it be found out without being counted, as right.
		return refused(packet.ReasonBadUserNameOrPassword, "user %q: the login was not finished within the connect timeout: %w", user, ctx.Err())
	}
	if !right {
		b.logins.failed(now, who, sum)
		return refused(packet.ReasonBadUserNameOrPassword, "user %q is not known, or the password is wrong", user)
	}
	p.checked = true
	c.login = p
	b.logins.succeeded(now, who)
	return nil
}

// addressOf returns the address that logins are counted for. Who has one IPv6 address has all those of its network.
func addressOf(host string) string {
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Is6() || ip.Is4In6() {
		return host
	}
	network, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return network.String()
}

// attempt is whose login it is, and where it comes from. The user stands here as a number, because names may be long and anybody may send them.
type attempt struct {
	user    uint64
	address string
}

// attempt returns the key of a login.
func (l *logins) attempt(user, host string) attempt {
	return attempt{maphash.String(l.seed, user), addressOf(host)}
}

type loginAnswer uint8

const (
	loginMayTry     loginAnswer = iota
	loginWrongAgain             // it is the wrong password of last time
	loginTooMany
)

// logins limits wrong passwords by address, and by user from wherever they come. A user who has logged in from an address before has a limit of his own
// there, so that nobody can lock him out by failing in his name or beside him. The wrong password of last time is answered from
// memory and not counted: a device that is set up wrongly tries it for ever, and nothing is learned from it.
type logins struct {
	mu       sync.Mutex
	known    attempts // users at addresses from where they have logged in, and the latest wrong passwords of others
	any      attempts // a user from anywhere, or an address with any user: the other name is empty
	seed     maphash.Seed
	digester *gateway.LoginDigester // of wrong passwords
}

func newLogins() *logins {
	return &logins{seed: maphash.MakeSeed(), digester: gateway.NewLoginDigester()}
}

// ask tells whether a password may be looked at.
func (l *logins) ask(now time.Time, who attempt, sum gateway.LoginDigest) loginAnswer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.known.find(who); r != nil && r.hasWrong && sum.Equal(r.wrong) {
		return loginWrongAgain
	}
	for _, r := range l.records(who, false) {
		if r.left(now) < 1 {
			return loginTooMany
		}
	}
	return loginMayTry
}

// failed counts a wrong password.
func (l *logins) failed(now time.Time, who attempt, sum gateway.LoginDigest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records(who, true) {
		r.tokens, r.at = max(-loginDebt, r.left(now)-1), now
	}
	r := l.known.make(who)
	r.wrong, r.hasWrong = sum, true
}

// succeeded notes that a user belongs to an address.
func (l *logins) succeeded(now time.Time, who attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.known.make(who)
	*r = loginRecord{trusted: true, tokens: loginBurst, at: now}
}

// forgetWrong forgets what was wrong: it may be right now.
func (l *logins) forgetWrong() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known.each(func(r *loginRecord) { r.hasWrong = false })
}

// records returns what limits an attempt. Those that do not exist yet limit nothing, and are made if need be.
func (l *logins) records(who attempt, create bool) []*loginRecord {
	if r := l.known.find(who); r != nil && r.trusted {
		return []*loginRecord{r}
	}
	var list []*loginRecord
	for _, key := range [2]attempt{{user: who.user}, {address: who.address}} {
		if r := l.any.find(key); r != nil {
			list = append(list, r)
		} else if create {
			list = append(list, l.any.make(key))
		}
	}
	return list
}

// loginRecord is what is known of some logins.
type loginRecord struct {
	tokens   float64 // wrong passwords that were left at that time; below 0 is a debt
	at       time.Time
	trusted  bool
	hasWrong bool
	wrong    gateway.LoginDigest // of the latest wrong password
}

// left returns how many wrong passwords are taken now. A clock that was set back gives nothing and takes nothing.
func (r *loginRecord) left(now time.Time) float64 {
	more := max(0, now.Sub(r.at)).Seconds() / loginEvery.Seconds()
	return min(loginBurst, r.tokens+more)
}

// attempts remembers the latest few thousand attempts: when the young are too many they become the old, and the old are forgotten but for those
// that are asked for again.
type attempts struct{ young, old map[attempt]*loginRecord }

func (a *attempts) find(key attempt) *loginRecord {
	if r := a.young[key]; r != nil {
		return r
	}
	r := a.old[key]
	if r != nil {
		a.put(key, r)
	}
	return r
}

// make returns the record of a key, a new one if there is none.
func (a *attempts) make(key attempt) *loginRecord {
	r := a.find(key)
	if r == nil {
		r = &loginRecord{tokens: loginBurst}
		a.put(key, r)
	}
	return r
}

func (a *attempts) put(key attempt, r *loginRecord) {
	if len(a.young) >= maxAttempts || a.young == nil {
		a.young, a.old = make(map[attempt]*loginRecord), a.young
	}
	a.young[key] = r
}

func (a *attempts) each(do func(*loginRecord)) {
	for _, r := range a.old {
		do(r)
	}
	for _, r := range a.young {
		do(r)
	}
}
