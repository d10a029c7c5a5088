package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// jwtLongest is the longest life of a token that the services of this kind accept.
const jwtLongest = 24 * time.Hour

// leastRSA is the least size of an RSA key for RS256 (RFC 7518, 3.3), in bits.
const leastRSA = 2048

// JWT are the options of a JSON Web Token (RFC 7519) as password, as ClearBlade IoT Core wants it.
type JWT struct {
	Key      Secret        // the private key itself in PEM: RSA for RS256, P-256 for ES256 (RFC 7518, 3.3 and 3.4)
	Audience string        // aud: at ClearBlade the project id
	Subject  string        // sub; "": left out
	Issuer   string        // iss; "": left out
	Username string        // "": "unused", because services of this kind ignore it but MQTT 3.1.1 wants one [MQTT-3.1.2-22]
	Lifetime time.Duration // 1 h
	Clock    Clock
}

// claims are those of RFC 7519, 4.1 that are used, times in seconds of Unix time.
type claims struct {
	Issuer   string `json:"iss,omitempty"`
	Subject  string `json:"sub,omitempty"`
	Audience string `json:"aud"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

// Source returns the source of the tokens.
func (o JWT) Source() (Source, error) {
	if err := required("jwt", [2]string{"audience", o.Audience}); err != nil {
		return nil, err
	}
	life, err := lifetime(o.Lifetime, DefaultLifetime, jwtLongest)
	if err != nil {
		return nil, fmt.Errorf("jwt: %w", err)
	}
	if o.Username == "" {
		o.Username = "unused"
	}
	return func(context.Context) (Credentials, error) {
		now, err := o.Clock.now()
		if err != nil {
			return Credentials{}, fmt.Errorf("sign jwt: %w", err)
		}
		now = now.Truncate(time.Second)
		ends := now.Add(life)
		token, err := o.token(claims{o.Issuer, o.Subject, o.Audience, now.Unix(), ends.Unix()})
		if err != nil {
			return Credentials{}, fmt.Errorf("sign jwt: %w", err)
		}
		return Credentials{Username: o.Username, Password: token, Expires: ends}, nil
	}, nil
}

// token returns the token in the compact form of RFC 7515, 3.1.
func (o JWT) token(c claims) (string, error) {
	text, err := o.Key.read()
	if err != nil {
		return "", err
	}
	key, err := parseKey([]byte(text))
	if err != nil {
		return "", err
	}
	algorithm, signature := "RS256", signRS256
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		algorithm, signature = "ES256", signES256
	}
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	signed := encode([]byte(`{"alg":"`+algorithm+`","typ":"JWT"}`)) + "." + encode(body)
	mark, err := signature(key, sha256.Sum256([]byte(signed)))
	if err != nil {
		return "", err
	}
	return signed + "." + encode(mark), nil
}

// encode is base64url without padding (RFC 7515, 2).
func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// parseKey reads a private key in the forms that openssl writes: PKCS #8, PKCS #1, SEC 1.
func parseKey(text []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(text)
	if block != nil && block.Type == "EC PARAMETERS" { // openssl ecparam -genkey writes it in front
		block, _ = pem.Decode(rest)
	}
	if block == nil {
		return nil, errors.New(`the key is not PEM: it must have a block "-----BEGIN PRIVATE KEY-----"`)
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return usable(key)
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return usable(key)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the block %q holds no private key that can be read: is it a public key, or encrypted?", block.Type)
	}
	return usable(key)
}

// usable returns the key if there is an algorithm for it.
func usable(key any) (crypto.Signer, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < leastRSA {
			return nil, fmt.Errorf("the RSA key has %d bits; RS256 needs %d at least", k.N.BitLen(), leastRSA)
		}
		return k, nil
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P256() {
			return nil, fmt.Errorf("the key is on the curve %s; ES256 needs P-256", k.Curve.Params().Name)
		}
		return k, nil
	}
	return nil, errors.New("the key is neither RSA nor on the curve P-256")
}

func signRS256(key crypto.Signer, sum [sha256.Size]byte) ([]byte, error) {
	return key.Sign(rand.Reader, sum[:], crypto.SHA256)
}

// signES256 returns r and s, 32 bytes each (RFC 7518, 3.4), and not the ASN.1 form that crypto.Signer writes.
func signES256(key crypto.Signer, sum [sha256.Size]byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key.(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		return nil, err
	}
	mark := make([]byte, 64)
	r.FillBytes(mark[:32])
	s.FillBytes(mark[32:])
	return mark, nil
}
