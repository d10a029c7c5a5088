package auth

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// maxBcryptCost bounds what a line may ask for. A login then takes about a second on a server core.
const maxBcryptCost = 14

// bcryptSize is the length of salt and key together, in bcrypt's own base64.
const bcryptSize = 22 + 31

const bcryptDigits = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// bcryptHash is a hash as htpasswd -B and many other programs write it: $2a$, $2b$ and $2y$ differ in nothing but their name. It sees the first 72 bytes
// of a password.
type bcryptHash string

func isBcrypt(kind string) bool { return kind == "2a" || kind == "2b" || kind == "2y" }

func parseBcrypt(kind, cost, rest string) (hash, error) {
	n, err := strconv.Atoi(cost)
	if err != nil || len(cost) != 2 || n < bcrypt.MinCost || n > maxBcryptCost {
		return nil, fmt.Errorf("the cost %q of a bcrypt hash is outside %02d to %d", cost, bcrypt.MinCost, maxBcryptCost)
	}
	if len(rest) != bcryptSize || strings.Trim(rest, bcryptDigits) != "" {
		return nil, fmt.Errorf("the bcrypt hash is incomplete: %d characters of salt and key are needed", bcryptSize)
	}
	return bcryptHash("$" + kind + "$" + cost + "$" + rest), nil
}

func (h bcryptHash) matches(password []byte) bool {
	return bcrypt.CompareHashAndPassword([]byte(h), password) == nil // compares in constant time
}

func (h bcryptHash) String() string { return string(h) }
