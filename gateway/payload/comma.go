package payload

import "strings"

const (
	digits    = "0123456789"
	maxDigits = 40 // of a number that a hint repeats
)

// hintComma explains an error in JSON at a byte of it, when there stands a fraction that is written with a comma, as in half the world; "" when
// there is none.
func hintComma(src []byte, at int64) string {
	n := int(min(at, int64(len(src))))
	before, after := strings.TrimSuffix(string(src[:n]), ","), strings.TrimPrefix(string(src[n:]), ",")
	if len(before)+len(after) != len(src)-1 { // no comma there, or two
		return ""
	}
	whole := before[len(strings.TrimRight(before, digits)):]
	fraction := after[:len(after)-len(strings.TrimLeft(after, digits))]
	before, after = strings.TrimSuffix(before, whole), strings.TrimPrefix(after, fraction)
	thousands := len(after) > 1 && after[0] == ',' && strings.Contains(digits, after[1:2])
	if whole == "" || fraction == "" || len(whole)+len(fraction) > maxDigits || strings.HasSuffix(before, ".") || strings.HasPrefix(after, ".") || thousands {
		return ""
	}
	if strings.HasSuffix(before, "-") {
		whole = "-" + whole
	}
	return ": a fraction has a point, not a comma: " + whole + "." + fraction
}
