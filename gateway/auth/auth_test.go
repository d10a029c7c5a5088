package auth

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// writeFile puts a password file into a fresh directory.
func writeFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Hashes of "secret": the first two written by mosquitto_passwd 2.0.11, the third built from the definition.
const (
	mosquitto7 = "$7$101$C9vTfUjsRoqlXyiI$E9caBCIMrkuU0EY9TxAfDLAVIzJpWKDl6/TeWBqx8z9CpjapFErr3rv4mKOkanMnXA15aS6IXUPUSxUm4zT9/g=="
	mosquitto6 = "$6$hJ8bdNdPNL/qHcaE$oL+TPHurYbU/ErFKeL8AgkniL568ITqBeLglF+1BMwpFthWQiBroyQDnCoDLrbn2W4TM+YgLU/i0pZ4Eggjqjw=="
)

// argonLine builds a PHC string with the parameters of mosquitto 2.1, but less memory.
func argonLine() string {
	h := argon2Hash{memory: 64, time: 1, threads: 1, salt: bytes.Repeat([]byte{7}, 64)}
	h.key = h.derive([]byte("secret"), 64)
	return h.String()
}

func TestCheckEveryFormat(t *testing.T) {
	long := sha512.Sum512([]byte("secret" + strings.Repeat("s", 64))) // a salt of 64 bytes, as mosquitto 2.1 writes
	p, err := LoadPasswords(writeFile(t, "# users of the plant\n\nseven:"+mosquitto7+"\r\nsix:"+mosquitto6+"\nargon:"+argonLine()+
		"\nhöhe 1:"+"$6$"+base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 64)))+"$"+base64.StdEncoding.EncodeToString(long[:])))
	if err != nil {
		t.Fatal(err)
	}
	if p.Len() != 4 {
		t.Errorf("%d users, want 4", p.Len())
	}
	for _, user := range []string{"seven", "six", "argon", "höhe 1"} {
		for range 2 { // the second time is answered from memory
			if !p.Check(t.Context(), user, []byte("secret")) {
				t.Errorf("%s: the right password is refused", user)
			}
			for _, wrong := range []string{"", "Secret", "secret ", "secretsecret"} {
				if p.Check(t.Context(), user, []byte(wrong)) {
					t.Errorf("%s: password %q is accepted", user, wrong)
				}
			}
		}
	}
	for _, user := range []string{"", "nobody", "# users of the plant", "Seven"} {
		if p.Check(t.Context(), user, []byte("secret")) {
			t.Errorf("unknown user %q is accepted", user)
		}
	}
}

func TestEmptyFileHasNoUsers(t *testing.T) {
	p, err := LoadPasswords(writeFile(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	if p.Len() != 0 || p.Check(t.Context(), "anyone", nil) {
		t.Error("someone can log in")
	}
}

func TestLoadNamesEveryWrongLine(t *testing.T) {
	key := strings.Repeat("A", 86) + "=="
	lines := []struct{ text, reason string }{
		{"# a comment", ""},
		{"bob:" + mosquitto7, ""},
		{"bob:" + mosquitto6, `user "bob" stands already in line 2; remove one of the two`},
		{"no colon", `no ":" between user name and password hash`},
		{":" + mosquitto7, "the user name is empty"},
		{" a:" + mosquitto7, `user name " a" starts or ends with a space`},
		{"a\tb:" + mosquitto7, `user name "a\tb" contains a control character`},
		{"c:hunter2", "not a password hash (a password in the clear?); write it with: tidegate passwd FILE USER"},
		{"d:$2x$10$abcdefgh", "hash $2x$ is not supported; $7$, $6$, $argon2id$ and bcrypt ($2a$, $2b$, $2y$) are"},
		{"e:$7$101$c2FsdA==", "the $7$ hash is incomplete"},
		{"f:$7$0$c2FsdA==$" + key, `iterations "0" are outside 1 to 2000000`},
		{"g:$7$99999999$c2FsdA==$" + key, `iterations "99999999" are outside 1 to 2000000`},
		{"h:$7$101$$" + key, "the salt is not base64 of 1 to 128 bytes"},
		{"i:$7$101$c2FsdA==$AAAA", "the key is not base64 of 64 bytes"},
		{"j:$6$c2FsdA==$!!", "the key is not base64 of 64 bytes"},
		{"k:$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHQ$" + key, `argon2id version "v=16" is not v=19`},
		{"l:$argon2id$v=19$m=64,t=1$c2FsdHNhbHQ$" + key, `argon2id parameters "m=64,t=1" are not of the form "m=47104,t=1,p=1"`},
		{"m:$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$" + key, `argon2id parameters "m=4194304,t=1,p=1" are outside m=8 to 65536 (KiB), t=1 to 16, p=1 to 4`},
		{"n:$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAA", "the key is not base64 of 16 to 64 bytes"},
	}
	var text, want []string
	path := filepath.Join(t.TempDir(), "users")
	for i, l := range lines {
		text = append(text, l.text)
		if l.reason != "" {
			want = append(want, fmt.Sprintf("%s:%d: %s", path, i+1, l.reason))
		}
	}
	if err := os.WriteFile(path, []byte(strings.Join(text, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := LoadPasswords(path)
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got:\n%v\nwant:\n%s", err, strings.Join(want, "\n"))
	}
	var le *LineError
	if !errors.As(err, &le) || le.Line != 3 {
		t.Errorf("got %+v", le)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Error("the error shows a password")
	}
}

func TestLoadStopsAtAFileOfAnotherKind(t *testing.T) {
	_, err := LoadPasswords(writeFile(t, strings.Repeat("[gateway]\n", 1000)))
	if err == nil || strings.Count(err.Error(), "\n") != maxErrors || !strings.HasSuffix(err.Error(), "more wrong lines are not shown") {
		t.Errorf("got %v", err)
	}
	_, err = LoadPasswords(filepath.Join(t.TempDir(), "missing"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestReload(t *testing.T) {
	path := writeFile(t, "a:"+mosquitto7+"\n")
	p, err := LoadPasswords(path)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Check(t.Context(), "a", []byte("secret")) {
		t.Fatal("a is refused")
	}
	if err := os.WriteFile(path, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Reload(); err == nil || !p.Check(t.Context(), "a", []byte("secret")) {
		t.Errorf("a broken file (%v) took the users away", err)
	}
	if err := os.WriteFile(path, []byte("b:"+mosquitto7), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	if p.Check(t.Context(), "a", []byte("secret")) || !p.Check(t.Context(), "b", []byte("secret")) {
		t.Error("the old users are still in force")
	}
}

// A reload must not make everybody pay for his next login, and must not let anybody in with an old password.
func TestReloadRemembersThoseWhoStay(t *testing.T) {
	path := writeFile(t, "stays:"+mosquitto7+"\nchanges:"+mosquitto7+"\ngoes:"+mosquitto7+"\n")
	p, err := LoadPasswords(path)
	if err != nil {
		t.Fatal(err)
	}
	before := map[string]uint64{}
	for _, user := range []string{"stays", "changes", "goes"} {
		if !p.Check(t.Context(), user, []byte("secret")) {
			t.Fatalf("%s is refused", user)
		}
		before[user], _ = p.Credential(user)
	}
	if err := os.WriteFile(path, []byte("stays:"+mosquitto7+"\nchanges:"+mosquitto6+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	u := p.users.Load()
	if !u.remembers("stays", []byte("secret")) || u.remembers("changes", []byte("secret")) || u.remembers("goes", []byte("secret")) {
		t.Error("the wrong logins are remembered")
	}
	if n, ok := p.Credential("stays"); !ok || n != before["stays"] {
		t.Error("the credential of one who stays has changed")
	}
	if n, ok := p.Credential("changes"); !ok || n == before["changes"] {
		t.Error("the credential of one with a new password has not changed")
	}
	if _, ok := p.Credential("goes"); ok || p.Check(t.Context(), "goes", []byte("secret")) {
		t.Error("one who is gone is still known")
	}
}

// fakeHash counts how often and how many at a time it is computed.
type fakeHash struct {
	right           string
	computed        atomic.Int32
	running, atOnce atomic.Int32
	hold            chan struct{} // when set, each computation waits for it
}

func (h *fakeHash) String() string { return "fake" }

func (h *fakeHash) matches(password []byte) bool {
	h.computed.Add(1)
	if n := h.running.Add(1); n > h.atOnce.Load() {
		h.atOnce.Store(n)
	}
	if h.hold != nil {
		<-h.hold
	}
	h.running.Add(-1)
	return string(password) == h.right
}

func fakePasswords(h *fakeHash) *Passwords {
	p := newPasswords("")
	p.users.Store(newUsers(map[string]hash{"known": h}))
	return p
}

func TestUnknownUserCostsWhatAKnownOneDoes(t *testing.T) {
	h := &fakeHash{right: "secret"}
	p := fakePasswords(h)
	for _, user := range []string{"known", "unknown", ""} {
		before := h.computed.Load()
		if p.Check(t.Context(), user, []byte("wrong")) {
			t.Errorf("%q is accepted", user)
		}
		if n := h.computed.Load() - before; n != 1 {
			t.Errorf("user %q: %d hashes computed, want 1", user, n)
		}
	}
	if p.Check(t.Context(), "unknown", []byte("secret")) {
		t.Error("an unknown user is accepted with another's password")
	}
}

func TestRightPasswordIsHashedOnce(t *testing.T) {
	h := &fakeHash{right: "secret"}
	p := fakePasswords(h)
	for range 5 {
		if !p.Check(t.Context(), "known", []byte("secret")) {
			t.Fatal("refused")
		}
	}
	if n := h.computed.Load(); n != 1 {
		t.Errorf("%d hashes computed, want 1", n)
	}
	for range 3 {
		if p.Check(t.Context(), "known", []byte("wrong")) {
			t.Fatal("accepted")
		}
	}
	if n := h.computed.Load(); n != 4 {
		t.Errorf("%d hashes computed, want each wrong password to cost one", n)
	}
}

func TestFloodOfLoginsHashesOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHash{right: "secret", hold: make(chan struct{})}
		p := fakePasswords(h)
		ctx, cancel := context.WithCancel(t.Context())
		answers := make(chan bool, 100)
		for range cap(answers) {
			go func() { answers <- p.Check(ctx, "known", []byte("wrong")) }()
		}
		synctest.Wait()
		if n := h.running.Load(); n != 1 {
			t.Errorf("%d hashes are being computed", n)
		}
		for range 10 {
			h.hold <- struct{}{}
		}
		synctest.Wait()
		cancel() // those who wait give up at once, the one that is being computed ends
		synctest.Wait()
		if n := len(answers); n != 99 {
			t.Errorf("%d have an answer, want all but the one being computed", n)
		}
		h.hold <- struct{}{}
		synctest.Wait()
		if n := h.computed.Load(); n != 11 || h.atOnce.Load() != 1 {
			t.Errorf("%d hashes were computed, %d at a time; want 11, 1", n, h.atOnce.Load())
		}
		for range cap(answers) {
			if <-answers {
				t.Error("a wrong password was accepted")
			}
		}
	})
}

// A hundred logins at once take the memory of a few, whatever their hashes ask for.
func TestFloodOfLoginsTakesTheMemoryOfOne(t *testing.T) {
	h := argon2Hash{memory: 16 << 10, time: 1, threads: 1, salt: bytes.Repeat([]byte{7}, 16), key: make([]byte, 32)}
	p := newPasswords("")
	p.users.Store(newUsers(map[string]hash{"known": h}))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var done sync.WaitGroup
	for range 100 {
		done.Go(func() { p.Check(t.Context(), "known", []byte("wrong")) })
	}
	done.Wait()
	runtime.ReadMemStats(&after)
	if got, one := after.HeapSys-before.HeapSys, uint64(h.memory)<<10; after.HeapSys > before.HeapSys && got > 6*one {
		t.Errorf("the heap grew by %d MiB, want no more than a few times %d", got>>20, one>>20)
	}
}

func TestOneLoginIsEnoughForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHash{right: "secret", hold: make(chan struct{})}
		p := fakePasswords(h)
		answers := make(chan bool, 50)
		for range cap(answers) {
			go func() { answers <- p.Check(t.Context(), "known", []byte("secret")) }()
		}
		synctest.Wait()
		h.hold <- struct{}{}
		for range cap(answers) {
			if !<-answers {
				t.Error("refused")
			}
		}
		if n := h.computed.Load(); n != 1 {
			t.Errorf("%d hashes computed, want 1", n)
		}
	})
}

// FuzzParseFile: whatever a file holds, reading it does not panic, and what is accepted is what it says it is.
func FuzzParseFile(f *testing.F) {
	f.Add("a:" + mosquitto7 + "\n# c\n\nb:" + mosquitto6)
	f.Add("a:" + argonLine())
	f.Add("a:$7$1$$\n:x\n$")
	f.Fuzz(func(t *testing.T, data string) {
		lines, errs := parseFile("users", data, "")
		for _, l := range lines {
			if l.hash == nil || len(errs) > 0 {
				continue
			}
			again, err := parseHash(l.hash.String())
			if err != nil || again.String() != l.hash.String() {
				t.Errorf("%q reads as %q, and then %v (%v)", l.text, l.hash, again, err)
			}
		}
	})
}
