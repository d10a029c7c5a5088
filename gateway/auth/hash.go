package auth

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Format is a way to hash a password for the file.
type Format uint8

const (
	// PBKDF2 writes $7$ lines, which every mosquitto since 2.0 reads.
	PBKDF2 Format = iota
	// Argon2id writes $argon2id$ lines, which mosquitto reads from 2.1 on. Guessing them on graphics cards costs far more,
	// and each login takes 19 MiB.
	Argon2id
)

// What new hashes cost. A login is checked on the gateway, and after a power cut all clients log in at once, one after
// the other on one core. So one check must stay far below the broker's connect timeout even on an ARMv6 board, which is
// some fifty times slower than a server core at 64-bit hashing. 20,000 iterations take a server about 20 ms and such a
// board about a second; 210,000, which is the advice for web sites, would take it past the timeout. It is 200 times what
// mosquitto 2.0 writes by default, and 20 times what 2.1 does.
const (
	newIterations = 20_000
	newSaltSize   = 12 // the only size that mosquitto 2.0 reads

	// OWASP's first choice for Argon2id: 19 MiB and two passes. It leaves room on a board of 512 MB.
	newArgonMemory  = 19 * 1024 // KiB
	newArgonTime    = 2
	newArgonThreads = 1
	newArgonKeySize = 32
)

// Bounds of what a file may ask for, so that a wrong line costs an error and not the machine.
const (
	maxIterations   = 2_000_000
	maxArgonMemory  = 64 * 1024 // KiB
	maxArgonTime    = 16
	maxArgonThreads = 4
	maxSaltSize     = 128
)

// hash is one parsed password hash.
type hash interface {
	// matches tells whether the password is the one hashed. It takes as long for a wrong password as for the right one.
	matches(password []byte) bool
	// String returns the hash as it stands in the file.
	String() string
}

// newHash hashes a password with a fresh salt.
func newHash(password []byte, format Format) (hash, error) {
	salt := make([]byte, newSaltSize)
	rand.Read(salt) // never fails (crypto/rand)
	switch format {
	case PBKDF2:
		h := pbkdf2Hash{iterations: newIterations, salt: salt}
		key, err := h.derive(password)
		h.key = key
		return h, err
	case Argon2id:
		h := argon2Hash{memory: newArgonMemory, time: newArgonTime, threads: newArgonThreads, salt: salt}
		h.key = h.derive(password, newArgonKeySize)
		return h, nil
	}
	return nil, fmt.Errorf("hash password: unknown format %d", format)
}

// parseHash reads a hash from the file.
func parseHash(text string) (hash, error) {
	fields := strings.Split(text, "$")
	switch {
	case len(fields) < 3 || fields[0] != "":
		return nil, errors.New("not a password hash (a password in the clear?); write it with: tidegate passwd FILE USER")
	case fields[1] == "7" && len(fields) == 5:
		return parsePBKDF2(fields[2], fields[3], fields[4])
	case fields[1] == "6" && len(fields) == 4:
		return parseSHA512(fields[2], fields[3])
	case fields[1] == "argon2id" && len(fields) == 6:
		return parseArgon2(fields[2], fields[3], fields[4], fields[5])
	case isBcrypt(fields[1]) && len(fields) == 4:
		return parseBcrypt(fields[1], fields[2], fields[3])
	case fields[1] == "7", fields[1] == "6", fields[1] == "argon2id", isBcrypt(fields[1]):
		return nil, fmt.Errorf("the $%s$ hash is incomplete", fields[1])
	}
	return nil, fmt.Errorf("hash $%s$ is not supported; $7$, $6$, $argon2id$ and bcrypt ($2a$, $2b$, $2y$) are", fields[1])
}

// pbkdf2Hash is mosquitto's $7$.
type pbkdf2Hash struct {
	iterations int
	salt, key  []byte
}

func parsePBKDF2(iterations, salt, key string) (hash, error) {
	n, err := strconv.Atoi(iterations)
	if err != nil || n < 1 || n > maxIterations {
		return nil, fmt.Errorf("iterations %q are outside 1 to %d", iterations, maxIterations)
	}
	h := pbkdf2Hash{iterations: n}
	h.salt, h.key, err = saltAndKey(base64.StdEncoding, salt, key, sha512.Size, sha512.Size)
	return h, err
}

func (h pbkdf2Hash) derive(password []byte) ([]byte, error) {
	key, err := pbkdf2.Key(sha512.New, string(password), h.salt, h.iterations, sha512.Size)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return key, nil
}

func (h pbkdf2Hash) matches(password []byte) bool {
	key, err := h.derive(password)
	return err == nil && subtle.ConstantTimeCompare(key, h.key) == 1
}

func (h pbkdf2Hash) String() string {
	return fmt.Sprintf("$7$%d$%s$%s", h.iterations, base64.StdEncoding.EncodeToString(h.salt), base64.StdEncoding.EncodeToString(h.key))
}

// sha512Hash is mosquitto's $6$: one SHA512 over password and salt.
type sha512Hash struct{ salt, key []byte }

func parseSHA512(salt, key string) (hash, error) {
	var (
		h   sha512Hash
		err error
	)
	h.salt, h.key, err = saltAndKey(base64.StdEncoding, salt, key, sha512.Size, sha512.Size)
	return h, err
}

func (h sha512Hash) matches(password []byte) bool {
	sum := sha512.New()
	sum.Write(password)
	sum.Write(h.salt)
	return subtle.ConstantTimeCompare(sum.Sum(nil), h.key) == 1
}

func (h sha512Hash) String() string {
	return fmt.Sprintf("$6$%s$%s", base64.StdEncoding.EncodeToString(h.salt), base64.StdEncoding.EncodeToString(h.key))
}

// argon2Hash is a PHC string of Argon2id.
type argon2Hash struct {
	memory, time uint32 // memory in KiB
	threads      uint8
	salt, key    []byte
}

func parseArgon2(version, params, salt, key string) (hash, error) {
	if version != "v="+strconv.Itoa(argon2.Version) {
		return nil, fmt.Errorf("argon2id version %q is not v=%d", version, argon2.Version)
	}
	var m, t, p uint32
	var rest string
	if n, _ := fmt.Sscanf(params+" .", "m=%d,t=%d,p=%d %s", &m, &t, &p, &rest); n != 4 || rest != "." {
		return nil, fmt.Errorf(`argon2id parameters %q are not of the form "m=47104,t=1,p=1"`, params)
	}
	if m < 8*p || m > maxArgonMemory || t < 1 || t > maxArgonTime || p < 1 || p > maxArgonThreads {
		return nil, fmt.Errorf("argon2id parameters %q are outside m=8 to %d (KiB), t=1 to %d, p=1 to %d",
			params, maxArgonMemory, maxArgonTime, maxArgonThreads)
	}
	h := argon2Hash{memory: m, time: t, threads: uint8(p)}
	var err error
	h.salt, h.key, err = saltAndKey(base64.RawStdEncoding, strings.TrimRight(salt, "="), strings.TrimRight(key, "="), 16, 64)
	return h, err
}

func (h argon2Hash) derive(password []byte, size int) []byte {
	return argon2.IDKey(password, h.salt, h.time, h.memory, h.threads, uint32(size))
}

func (h argon2Hash) matches(password []byte) bool {
	return subtle.ConstantTimeCompare(h.derive(password, len(h.key)), h.key) == 1
}

func (h argon2Hash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.key))
}

// saltAndKey decodes the two and checks their sizes. Mosquitto 2.0 writes salts of 12 bytes, 2.1 of 64.
func saltAndKey(enc *base64.Encoding, salt, key string, minKey, maxKey int) (s, k []byte, err error) {
	s, err = enc.Strict().DecodeString(salt)
	if err != nil || len(s) == 0 || len(s) > maxSaltSize {
		return nil, nil, fmt.Errorf("the salt is not base64 of 1 to %d bytes", maxSaltSize)
	}
	k, err = enc.Strict().DecodeString(key)
	if err != nil || len(k) < minKey || len(k) > maxKey {
		return nil, nil, fmt.Errorf("the key is not base64 of %s bytes", sizes(minKey, maxKey))
	}
	return s, k, nil
}

func sizes(low, high int) string {
	if low == high {
		return strconv.Itoa(low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}
