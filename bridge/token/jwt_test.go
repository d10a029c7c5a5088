package token_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/bridge/token"
)

// openssl runs the command line tool, which knows nothing of our code.
func openssl(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed: apt-get install openssl")
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %v: %v: %s%s", args, err, out, stderr.String())
	}
	return out
}

// makeToken signs with a key in PEM and returns the parts of the token, decoded, and what was signed.
func makeToken(t *testing.T, key string) (header, claims, mark []byte, signed string) {
	t.Helper()
	source, err := token.JWT{
		Audience: "project", Subject: "gw7", Issuer: "plant", Clock: clockAt(at), Key: secret(key),
	}.Source()
	if err != nil {
		t.Fatal(err)
	}
	c, err := source(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Username != "unused" || c.Expires.Unix() != 1735689600 {
		t.Errorf("username %q, ends %v", c.Username, c.Expires)
	}
	var parts [3][]byte
	fields := strings.Split(c.Password, ".")
	for i := range parts {
		if parts[i], err = base64.RawURLEncoding.DecodeString(fields[i]); err != nil {
			t.Fatal(err)
		}
	}
	return parts[0], parts[1], parts[2], fields[0] + "." + fields[1]
}

const wantClaims = `{"iss":"plant","sub":"gw7","aud":"project","iat":1735686000,"exp":1735689600}`

// TestRS256 compares the signature, which is the same each time, with that of openssl; for both forms of key that openssl writes.
func TestRS256(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key.pem")
	openssl(t, nil, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", file)
	pkcs8, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{"PKCS 8": pkcs8, "PKCS 1": openssl(t, pkcs8, "rsa", "-traditional")} {
		t.Run(name, func(t *testing.T) {
			header, claims, mark, signed := makeToken(t, string(key))
			if string(header) != `{"alg":"RS256","typ":"JWT"}` || string(claims) != wantClaims {
				t.Errorf("header %s, claims %s", header, claims)
			}
			if want := openssl(t, []byte(signed), "dgst", "-sha256", "-sign", file); !bytes.Equal(mark, want) {
				t.Error("the signature is not that of openssl")
			}
		})
	}
}

// TestES256 lets openssl check the signature, for the form with parameters in front too.
func TestES256(t *testing.T) {
	dir := t.TempDir()
	sec1 := openssl(t, nil, "ecparam", "-name", "prime256v1", "-genkey")
	public := filepath.Join(dir, "public.pem")
	openssl(t, sec1, "ec", "-pubout", "-out", public)
	for name, key := range map[string][]byte{"SEC 1": sec1, "PKCS 8": openssl(t, sec1, "pkcs8", "-topk8", "-nocrypt")} {
		t.Run(name, func(t *testing.T) {
			header, claims, mark, signed := makeToken(t, string(key))
			if string(header) != `{"alg":"ES256","typ":"JWT"}` || string(claims) != wantClaims || len(mark) != 64 {
				t.Fatalf("header %s, claims %s, %d bytes of signature", header, claims, len(mark))
			}
			der, err := asn1.Marshal([]*big.Int{new(big.Int).SetBytes(mark[:32]), new(big.Int).SetBytes(mark[32:])})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "signature")
			if err := os.WriteFile(file, der, 0o600); err != nil {
				t.Fatal(err)
			}
			openssl(t, []byte(signed), "dgst", "-sha256", "-verify", public, "-signature", file)
		})
	}
}

func TestUnusableKeys(t *testing.T) {
	block := func(kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	wrongCurve, errCurve := x509.MarshalECPrivateKey(p384)
	public, errPublic := x509.MarshalPKIXPublicKey(p384.Public())
	for want, key := range map[string]string{
		"the key is not PEM":                          "hello",
		`the block "PUBLIC KEY" holds no private key`: block("PUBLIC KEY", public, errPublic),
		"curve P-384; ES256 needs P-256":              block("EC PRIVATE KEY", wrongCurve, errCurve),
		"has 1024 bits; RS256 needs 2048":             block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small), nil),
	} {
		t.Run(want, func(t *testing.T) {
			source, err := token.JWT{Audience: "a", Clock: clockAt(at), Key: secret(key)}.Source()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := source(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
