package gateway

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
)

// LoginDigest stands for a user name and a password in memory.
type LoginDigest [sha256.Size]byte

// Equal tells whether both are of the same name and password, in a time that does not depend on them. They are of the same LoginDigester.
func (d LoginDigest) Equal(other LoginDigest) bool { return hmac.Equal(d[:], other[:]) }

// LoginDigester makes digests by a key that is random and never leaves the process, so that they are of no use outside. Its methods may be
// called by many goroutines.
type LoginDigester struct{ key [sha256.Size]byte }

// NewLoginDigester returns a digester with a key of its own.
func NewLoginDigester() *LoginDigester {
	d := new(LoginDigester)
	rand.Read(d.key[:]) // never fails (crypto/rand)
	return d
}

// Digest returns the digest of a user name and a password.
func (d *LoginDigester) Digest(user string, password []byte) (sum LoginDigest) {
	mac := hmac.New(sha256.New, d.key[:])
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(user)))) // where the name ends and the password starts
	mac.Write([]byte(user))
	mac.Write(password)
	mac.Sum(sum[:0])
	return sum
}
