package modbus

import (
	"math"
	"strconv"
)

// A float16 has 1 bit of sign, 5 of exponent with bias 15, and 10 of fraction (IEEE 754-2019, 3.6: binary16).
const (
	halfInfinity = 0x7C00
	halfOverflow = 65520 // what is rounded to infinity: half a step above the largest, 65504
)

// fromHalf returns the number of these bits: NaN and infinities as they are.
func fromHalf(bits uint16) float64 {
	exponent, fraction := int(bits>>10&0x1F), float64(bits&0x3FF)
	var f float64
	switch {
	case exponent == 0:
		f = math.Ldexp(fraction, -24)
	case exponent < 31:
		f = math.Ldexp(1024+fraction, exponent-25)
	case fraction == 0:
		f = math.Inf(1)
	default:
		return math.NaN()
	}
	return math.Copysign(f, 1-2*float64(bits>>15))
}

// toHalf returns the bits of the nearest float16, of two the even one; those of an infinity when f is beyond the range.
func toHalf(f float64) uint16 {
	var sign uint16
	if math.Signbit(f) {
		sign = 0x8000
	}
	switch a := math.Abs(f); {
	case math.IsNaN(f):
		return 0x7E00
	case a >= halfOverflow:
		return sign | halfInfinity
	case a < 0x1p-14: // subnormal; rounding up to the smallest normal one gives its bits
		return sign | uint16(math.RoundToEven(a*0x1p24))
	default:
		fraction, exponent := math.Frexp(a) // fraction is at least a half, so that 2048 times it has 11 bits
		return sign | uint16(exponent+14)<<10 + uint16(math.RoundToEven(fraction*2048)-1024)
	}
}

// shortHalf returns the shortest decimal number that is nearest to this float16 and no other: 0.1 and not 0.09997559, whose further digits nobody has
// measured. Five digits tell all of them apart.
func shortHalf(bits uint16) float64 {
	f := fromHalf(bits)
	if f == 0 || !finite(f) {
		return f
	}
	for digits := 1; digits <= 5; digits++ {
		short, err := strconv.ParseFloat(strconv.FormatFloat(f, 'g', digits, 64), 64)
		if err == nil && toHalf(short) == bits {
			return short
		}
	}
	return f
}
