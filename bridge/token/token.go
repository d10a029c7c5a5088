package token

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"
)

// Credentials are what CONNECT carries.
type Credentials struct {
	ClientID string // "": the configured one; some schemes sign it, or put their parameters into it
	Username string
	Password string
	Expires  time.Time // when the cloud ends a connection made with them; zero: never
}

// Source makes credentials for one connection.
type Source func(context.Context) (Credentials, error)

// Secret reads a key. It is called for each signature.
type Secret func() (string, error)

// Clock is what a signature takes its time from. Both functions are required.
type Clock struct {
	Now          func() time.Time
	Synchronised func() bool // false: the time may be anything, as after a start without network
}

// ErrClock is the reason why nothing is signed before the clock is set.
var ErrClock = errors.New("the clock is not synchronised, so the cloud would refuse what is signed with its time; " +
	"wait for NTP, or set the clock")

// DefaultLifetime is how long a token of Azure or a JSON Web Token is valid when the options do not say.
const DefaultLifetime = time.Hour

// now returns the time to sign.
func (c Clock) now() (time.Time, error) {
	if !c.Synchronised() {
		return time.Time{}, ErrClock
	}
	return c.Now(), nil
}

// lifetime returns how long a token shall live: d, which is checked, or the usual when it is 0.
func lifetime(d, usual, most time.Duration) (time.Duration, error) {
	switch {
	case d == 0:
		return usual, nil
	case d < time.Minute || d > most:
		return 0, fmt.Errorf("token lifetime %v is outside 1m to %v", d, most)
	}
	return d, nil
}

// read reads a secret. Files end with a line break that does not belong to it.
func (s Secret) read() (string, error) {
	text, err := s()
	if err != nil {
		return "", fmt.Errorf("read the key to sign with: %w", err)
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", errors.New("read the key to sign with: it is empty")
	}
	return text, nil
}

// readBase64 reads a secret that is given in base64.
func (s Secret) readBase64() ([]byte, error) {
	text, err := s.read()
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil { // the text is a secret: it is not shown
		return nil, errors.New("read the key to sign with: it is not base64; copy it whole, with the \"=\" at its end")
	}
	return key, nil
}

// sign returns the HMAC (RFC 2104) of text.
func sign(h func() hash.Hash, key []byte, text string) []byte {
	mac := hmac.New(h, key)
	mac.Write([]byte(text)) // never fails
	return mac.Sum(nil)
}

// required returns an error for the first of the named options that is empty.
func required(scheme string, options ...[2]string) error {
	for _, o := range options {
		if o[1] == "" {
			return fmt.Errorf("%s: %s is missing", scheme, o[0])
		}
	}
	return nil
}
