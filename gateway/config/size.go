package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. In the file it is text with a unit: "512B", "256KiB", "64MiB", "1GiB".
type Size int64

// The units of Size.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

// String returns the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits() {
		if s != 0 && s%u.size == 0 {
			return fmt.Sprintf("%d%s", int64(s/u.size), u.name)
		}
	}
	return "0B"
}

type sizeUnit struct {
	name string
	size Size
}

// sizeUnits lists the units, largest first, so that "B" is the last suffix tried.
func sizeUnits() []sizeUnit {
	return []sizeUnit{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", 1}}
}

const sizeHint = `write a whole number and one of the units B, KiB, MiB, GiB, TiB, without a space: "64MiB"`

// UnmarshalText reads a size with its unit. Decimal units are refused rather than guessed at: people write
// MB for both meanings.
func (s *Size) UnmarshalText(text []byte) error {
	notSize := &valueError{reason: "not a size", hint: sizeHint}
	for _, u := range sizeUnits() {
		digits, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 63)
		switch {
		case errors.Is(err, strconv.ErrRange) || err == nil && n > uint64(math.MaxInt64/int64(u.size)):
			return &valueError{reason: "too large", hint: "give a size below 8388608TiB"}
		case err != nil:
			return notSize
		}
		*s = Size(n) * u.size
		return nil
	}
	return notSize
}
