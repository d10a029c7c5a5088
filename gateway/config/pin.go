package config

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// Pin is the SHA-256 of a public key (of its SubjectPublicKeyInfo, as RFC 7469, 2.4 has it). In the file it is text as curl writes
// it: "sha256//" and base64.
type Pin [sha256.Size]byte

const pinPrefix = "sha256//"

// String returns the pin as it stands in the file.
func (p Pin) String() string { return pinPrefix + base64.StdEncoding.EncodeToString(p[:]) }

// UnmarshalText reads the text form.
func (p *Pin) UnmarshalText(text []byte) error {
	digits, ok := strings.CutPrefix(string(text), pinPrefix)
	sum, err := base64.StdEncoding.DecodeString(digits)
	if !ok || err != nil || len(sum) != len(p) {
		return &valueError{
			reason: "not the SHA-256 of a public key",
			hint:   `write "sha256//" and its base64: openssl x509 -in cert.pem -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64`,
		}
	}
	copy(p[:], sum)
	return nil
}
