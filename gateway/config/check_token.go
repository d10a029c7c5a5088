package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// tokenKeys are the keys of [upstream.token] that a kind must have, and those that it may have.
type tokenKeys struct{ must, may []string }

func (k TokenKind) keys() tokenKeys {
	switch k {
	case TokenAzureSAS:
		return tokenKeys{must: []string{"key"}, may: []string{"lifetime", "device", "hub", "resource", "policy"}}
	case TokenJWT:
		return tokenKeys{must: []string{"key_file", "audience"}, may: []string{"lifetime", "issuer", "subject"}}
	case TokenTencent:
		return tokenKeys{must: []string{"key", "product", "device"}, may: []string{"lifetime"}}
	case TokenAliyun:
		return tokenKeys{must: []string{"key", "product", "device"}}
	case TokenHuawei:
		return tokenKeys{must: []string{"key", "device"}}
	}
	return tokenKeys{}
}

// longest is the longest life of a token that its services take.
func (k TokenKind) longest() time.Duration {
	switch k {
	case TokenJWT:
		return 24 * time.Hour
	case TokenTencent:
		return 30 * 24 * time.Hour
	}
	return 365 * 24 * time.Hour
}

// token checks [upstream.token] and that nothing else says what it says.
func (c *checker) token(path string, u Upstream) {
	if !c.given(path) || c.out.failed[path] {
		return
	}
	c.tokenOrPassword(parent(path), u)
	if !c.need(path, "kind", "add kind = "+quotedList(TokenKind(0).names())) || c.out.failed[join(path, "kind")] {
		return
	}
	keys := u.Token.Kind.keys()
	for _, key := range keys.must {
		c.need(path, key, tokenExample(key))
	}
	known := slices.Concat([]string{"kind"}, keys.must, keys.may)
	for _, f := range fieldsOf(reflect.TypeFor[Token]()) {
		if where := join(path, f.key); c.given(where) && !slices.Contains(known, f.key) {
			c.out.atKey(where, fmt.Sprintf("%s: not of kind %q", f.key, u.Token.Kind), "that kind has "+strings.Join(known[1:], ", "))
		}
	}
	within(c, join(path, "lifetime"), u.Token.Lifetime, 2*time.Minute, u.Token.Kind.longest())
	c.tokenKey(path, u.Token)
}

func tokenExample(key string) string {
	switch key {
	case "key":
		return `add key = { file = "/path" }, { env = "NAME" } or { credential = "name" }`
	case "key_file":
		return `add key_file = "device-key.pem"`
	}
	return fmt.Sprintf(`add %s = "..."`, key)
}

// tokenOrPassword reports a second source of what the token gives.
func (c *checker) tokenOrPassword(path string, u Upstream) {
	if c.given(join(path, "password")) {
		c.out.at(join(path, "password"), "password: the token is the password", "remove one of the two")
	}
	switch where := join(path, "username"); u.Token.Kind {
	case TokenAliyun, TokenHuawei, TokenTencent:
		if c.given(where) {
			c.out.at(where, fmt.Sprintf("username: a token of kind %q has one of its own", u.Token.Kind), "remove it")
		}
	}
}

// tokenKey checks that the key can sign.
func (c *checker) tokenKey(path string, t Token) {
	if text := t.Key.Reveal(); text != "" && (t.Kind == TokenAzureSAS || t.Kind == TokenTencent) {
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			c.out.at(join(path, "key"), "key: not base64", "take the key as the cloud shows it, with nothing around it")
		}
	}
	where := join(path, "key_file")
	if t.Kind != TokenJWT || !c.given(where) || c.out.failed[where] {
		return
	}
	name := c.env.path(t.KeyFile)
	text, _, err := c.env.readFile(name)
	switch {
	case err != nil:
		c.out.at(where, "read key_file: "+fileError(name, err), "the file must exist and be readable for the user that runs tidegate")
	case !signs(text):
		c.fail(where, t.KeyFile, "contains no private key that can sign a token",
			"it must be an RSA (2048 bits or more) or P-256 key in PEM: openssl ecparam -name prime256v1 -genkey -noout")
	}
}

// leastRSA is the least size of an RSA key for RS256, in bits (RFC 7518, 3.3).
const leastRSA = 2048

// signs tells whether a PEM file holds a key for RS256 or ES256.
func signs(text []byte) bool {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return false
		}
		if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return key.N.BitLen() >= leastRSA
		}
		if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return key.Curve == elliptic.P256()
		}
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			switch key := key.(type) {
			case *rsa.PrivateKey:
				return key.N.BitLen() >= leastRSA
			case *ecdsa.PrivateKey:
				return key.Curve == elliptic.P256()
			}
		}
		text = rest
	}
}
