package auth

import (
	"context"
	"crypto/rand"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tidegate/tidegate/gateway"
)

// Passwords checks users against a password file. The file is read once, and again by Reload. All methods may be called
// at the same time.
type Passwords struct {
	path  string
	users atomic.Pointer[users]
	seed  maphash.Seed // of credentials
	// slot is held while a hash is computed. One at a time: a hash takes a core, and an Argon2id hash up to 64 MiB
	// besides, so that a flood of logins would starve the polling of devices or take the memory of a small board.
	slot chan struct{}
}

// LoadPasswords reads the password file at path. An error names every wrong line.
func LoadPasswords(path string) (*Passwords, error) {
	p := newPasswords(path)
	if err := p.Reload(); err != nil {
		return nil, err
	}
	return p, nil
}

func newPasswords(path string) *Passwords {
	return &Passwords{path: path, seed: maphash.MakeSeed(), slot: make(chan struct{}, 1)}
}

// Reload reads the file again. On an error the users stay as they were.
func (p *Passwords) Reload() error {
	lines, err := readFile(p.path)
	if err != nil {
		return err
	}
	hashes := map[string]hash{}
	for _, l := range lines {
		if l.user != "" {
			hashes[l.user] = l.hash
		}
	}
	p.users.Store(newUsers(hashes).after(p.users.Load()))
	return nil
}

// Credential returns a number that changes with a user's hash in the file. ok is false when there is no such user.
func (p *Passwords) Credential(user string) (number uint64, ok bool) {
	u := p.users.Load()
	h, ok := u.hashes[user]
	if !ok {
		return 0, false
	}
	return maphash.String(p.seed, h.String()), true
}

// Len returns the number of users.
func (p *Passwords) Len() int { return len(p.users.Load().hashes) }

// Check tells whether the user exists and has this password. It takes tens of milliseconds, on a small board up to
// seconds, and waits for its turn; when ctx ends before that, the answer is false. For a user who does not exist it takes
// as long as for one who does, so that nobody can find out names by the clock.
func (p *Passwords) Check(ctx context.Context, user string, password []byte) bool {
	u := p.users.Load()
	if u.remembers(user, password) {
		return true
	}
	if !p.enter(ctx) {
		return false
	}
	defer p.leave()
	if u.remembers(user, password) { // another client of this user may have logged in while this one waited
		return true
	}
	h, known := u.find(user)
	if !h.matches(password) || !known {
		return false
	}
	u.remember(user, password)
	return true
}

// enter waits for the slot. It tells whether ctx lasted that long.
func (p *Passwords) enter(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case p.slot <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *Passwords) leave() { <-p.slot }

// users is what one reading of the file gave. Only the memory of logins changes.
type users struct {
	hashes map[string]hash
	decoys []hash
	seed   maphash.Seed
	// digester and seen hold the last right password of each user, so that clients that reconnect all the time, or all at
	// once after the network was away, do not cost a slow hash each.
	digester *gateway.LoginDigester

	mu   sync.Mutex
	seen map[string]gateway.LoginDigest
}

func newUsers(hashes map[string]hash) *users {
	u := &users{hashes: hashes, seed: maphash.MakeSeed(), digester: gateway.NewLoginDigester(), seen: map[string]gateway.LoginDigest{}}
	for _, name := range slices.Sorted(maps.Keys(hashes)) {
		u.decoys = append(u.decoys, hashes[name])
	}
	if len(u.decoys) == 0 {
		salt := make([]byte, newSaltSize)
		rand.Read(salt) // never fails (crypto/rand)
		u.decoys = []hash{pbkdf2Hash{iterations: newIterations, salt: salt}}
	}
	return u
}

// after takes over the logins that old remembers of users whose hash is the same: after a reload nobody has to pay for it again.
func (u *users) after(old *users) *users {
	if old == nil {
		return u
	}
	u.digester = old.digester
	old.mu.Lock()
	defer old.mu.Unlock()
	for name, seen := range old.seen {
		if h := u.hashes[name]; h != nil && h.String() == old.hashes[name].String() {
			u.seen[name] = seen
		}
	}
	return u
}

// find returns the user's hash. For an unknown user it returns that of another, always the same for one name: hashes in
// a file may differ in cost, and unknown names then cost what known ones do.
func (u *users) find(user string) (h hash, known bool) {
	if h, known = u.hashes[user]; known {
		return h, true
	}
	n := maphash.String(u.seed, user) % uint64(len(u.decoys))
	return u.decoys[n], false
}

func (u *users) remembers(user string, password []byte) bool {
	u.mu.Lock()
	seen, ok := u.seen[user]
	u.mu.Unlock()
	return ok && seen.Equal(u.digester.Digest(user, password))
}

func (u *users) remember(user string, password []byte) {
	digest := u.digester.Digest(user, password)
	u.mu.Lock()
	u.seen[user] = digest
	u.mu.Unlock()
}
