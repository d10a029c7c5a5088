package modbus

import (
	"math"
	"math/big"
	"strconv"
)

// decimal computes raw * scale + offset as one would on paper, from the decimal numbers that scale and offset are in the
// configuration: the only rounding is that of the result to the nearest float64.
type decimal struct {
	scale, offset int64
	power         float64 // 10 to the number of decimals; 0 when scale and offset are not decimal numbers of reasonable length
	// The same numbers without bounds, and as they are held.
	exactScale, exactOffset     *big.Rat
	inexactScale, inexactOffset float64
}

// maxExact is the largest integer up to which float64 holds every integer.
const maxExact = 1 << 53

func newDecimal(scale, offset float64) decimal {
	d := decimal{exactScale: rational(scale), exactOffset: rational(offset), inexactScale: scale, inexactOffset: offset}
	power := math.Pow10(max(decimals(scale), decimals(offset)))
	s, o := math.Round(scale*power), math.Round(offset*power)
	if power > 1e15 || math.Abs(s) > maxExact || math.Abs(o) > maxExact || s/power != scale || o/power != offset {
		return d
	}
	d.scale, d.offset, d.power = int64(s), int64(o), power
	return d
}

// apply scales raw. What fits into the integers that a float64 holds costs a multiplication and a division. A scale that is no short
// decimal number, such as a third, is multiplied as it is, as long as raw has no more than 32 bits.
func (d decimal) apply(raw integer) float64 {
	n, small := raw.int64()
	switch {
	case !small:
	case d.power != 0:
		if sum, ok := d.sum(n); ok {
			return float64(sum) / d.power
		}
	case n >= -math.MaxUint32 && n <= math.MaxUint32:
		return float64(n)*d.inexactScale + d.inexactOffset
	}
	sum := new(big.Rat).SetInt(raw.big())
	f, _ := sum.Mul(sum, d.exactScale).Add(sum, d.exactOffset).Float64()
	return f
}

// sum returns the scaled number times the power of ten, if dividing it is the first rounding.
func (d decimal) sum(n int64) (int64, bool) {
	product := n * d.scale
	if n != 0 && product/n != d.scale || product > maxExact*256 || product < -maxExact*256 {
		return 0, false
	}
	sum := product + d.offset
	return sum, d.power == 1 || sum <= maxExact && sum >= -maxExact
}

// unapply returns the whole number that comes nearest to f when it is scaled; of two the one farther from 0.
func (d decimal) unapply(f float64) *big.Int {
	r := new(big.Rat).SetFloat64(f)
	r.Sub(r, d.exactOffset)
	r.Quo(r, d.exactScale)
	half := big.NewRat(1, 2)
	if r.Sign() < 0 {
		half.Neg(half)
	}
	r.Add(r, half)
	return new(big.Int).Quo(r.Num(), r.Denom())
}

// rational returns the decimal number that f prints as: 0.1 is a tenth.
func rational(f float64) *big.Rat {
	r, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'e', -1, 64))
	if !ok {
		return new(big.Rat)
	}
	return r
}

// decimals returns how many digits f has behind its point when printed as short as possible.
func decimals(f float64) int {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	for i := range s {
		if s[i] == '.' {
			return len(s) - i - 1
		}
	}
	return 0
}

// integer is a whole number as a type of up to 64 bits holds it.
type integer struct {
	bits   uint64 // two's complement when signed
	signed bool
}

// int64 returns the number, and whether an int64 holds it.
func (n integer) int64() (int64, bool) {
	return int64(n.bits), n.signed || n.bits <= math.MaxInt64
}

func (n integer) big() *big.Int {
	if n.signed {
		return big.NewInt(int64(n.bits))
	}
	return new(big.Int).SetUint64(n.bits)
}

func (n integer) float() float64 {
	if n.signed {
		return float64(int64(n.bits))
	}
	return float64(n.bits)
}
