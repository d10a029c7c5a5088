package config

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
)

// DefaultID proposes a gateway id: the host name and a short hash of the machine id, "plant-pi-3fa9c1". The hash keeps
// two boards made from one image apart. The caller keeps the id once chosen, because host names change.
func DefaultID() string {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	machine, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(machine) == 0 {
		// A container often has none. What distinguishes it is then drawn, and kept like the rest.
		machine = make([]byte, 16)
		rand.Read(machine) // never fails (crypto/rand)
	}
	return defaultID(host, machine)
}

// defaultID builds the id. The machine id itself is confidential (machine-id(5)), so it is the key of the hash and
// does not appear in it.
func defaultID(host string, machine []byte) string {
	mac := hmac.New(sha256.New, machine)
	mac.Write([]byte("tidegate gateway id"))
	suffix := hex.EncodeToString(mac.Sum(nil)[:3])
	host, _, _ = strings.Cut(host, ".")
	host = strings.Map(func(r rune) rune {
		if r < 128 && bareKeyChar(byte(r)) {
			return r
		}
		return '-'
	}, host)
	if host == "" {
		host = "gateway"
	}
	return host[:min(len(host), maxName-len(suffix)-1)] + "-" + suffix
}
