package localbroker

import (
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// Bounds of what strangers can write into the log.
const (
	refusalTexts   = 4    // of one kind that are told of one address in a minute
	maxRefusedFrom = 1024 // addresses, each for each listener and kind, that are told apart
)

// refusals lets what is said of connections that never came to be into the log: at once what is new of an address, and then each text once a
// minute with how often it stands for. Who has no session can bring such lines about as fast as he can connect.
type refusals struct {
	mu   sync.Mutex
	seed maphash.Seed
	from map[refusedKey]*refusedFrom
}

// refusedKey is an address, where it has connected to, and a kind of refusals: the reason code, 0 where there is none.
type refusedKey struct {
	address, listener string
	kind              packet.ReasonCode
}

// refusedFrom is what was said of one kind of an address lately.
type refusedFrom struct {
	texts [refusalTexts]refusalText
	at    time.Time // of the latest refusal
}

type refusalText struct {
	sum uint64
	seldom
}

func newRefusals() *refusals {
	return &refusals{seed: maphash.MakeSeed(), from: make(map[refusedKey]*refusedFrom)}
}

// say reports whether why a connection was refused is to be said now, and for how many refusals that stands.
func (r *refusals) say(now time.Time, c *conn, reason error) (times int, due bool) {
	sum := maphash.String(r.seed, reason.Error())
	key := refusedKey{addressOf(c.host), c.lo.Name, refusalKind(reason)}
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.find(now, key)
	f.at = now
	return f.place(now, sum).say(now)
}

// refusalKind is the reason code that the client was told, or would have been in MQTT 5.
func refusalKind(reason error) packet.ReasonCode {
	var r *refusal
	if errors.As(reason, &r) {
		return r.code
	}
	code, _ := disconnectCode(reason)
	return code
}

// find returns what was said of an address. When there are too many in a minute the rest are taken for one.
func (r *refusals) find(now time.Time, key refusedKey) *refusedFrom {
	if f := r.from[key]; f != nil {
		return f
	}
	if len(r.from) >= maxRefusedFrom {
		for k, f := range r.from {
			if isOver(now, f.at) {
				delete(r.from, k)
			}
		}
	}
	if len(r.from) >= maxRefusedFrom {
		key = refusedKey{} // no address is
	}
	f := r.from[key]
	if f == nil {
		f = new(refusedFrom)
		r.from[key] = f
	}
	return f
}

// place returns the line of a text: its own, a free one, or, when all are taken, the last one, which counts for all others.
func (f *refusedFrom) place(now time.Time, sum uint64) *seldom {
	free := &f.texts[refusalTexts-1]
	for i := len(f.texts) - 1; i >= 0; i-- {
		t := &f.texts[i]
		switch {
		case t.sum == sum && !t.last.IsZero():
			return &t.seldom
		case t.last.IsZero() || isOver(now, t.last):
			free = t
		}
	}
	free.sum = sum
	return &free.seldom
}

// isOver tells whether the minute since then is over. When the clock was set back it is.
func isOver(now, then time.Time) bool {
	age := now.Sub(then)
	return age < 0 || age >= time.Minute
}
