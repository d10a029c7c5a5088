package engine

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/gateway"
)

// check turns the settings of a command into writes, or says why the first wrong one is refused. All are checked before any is written.
func (d *device) check(settings []gateway.Setting) ([]write, error) {
	writes, next := make([]write, 0, len(settings)), 0
	for _, s := range settings {
		i, ok := d.point(s.Point, next)
		if !ok {
			return nil, fmt.Errorf("device %s has no point %.60s", d.Name, s.Point)
		}
		if !d.Points[i].Writable {
			return nil, fmt.Errorf("point %s is not writable", s.Point)
		}
		v, err := fit(&d.Points[i], s.Value)
		if err != nil {
			return nil, fmt.Errorf("value of %s: %w", s.Point, err)
		}
		if d.checker != nil {
			if err := d.checker.Check(d.index, i, v); err != nil {
				return nil, fmt.Errorf("point %s: %w", s.Point, err)
			}
		}
		writes, next = append(writes, write{i, v}), i+1
	}
	return writes, nil
}

// fit gives v the kind of point p and checks its range. A point of no kind takes anything.
func fit(p *gateway.Point, v gateway.Value) (gateway.Value, error) {
	switch p.Kind {
	case gateway.KindBool:
		return fitBool(v)
	case gateway.KindString:
		return fitText(p, v)
	case gateway.KindBytes:
		return fitBytes(v)
	case gateway.KindNone:
		return v, nil
	default:
		return fitNumber(p, v)
	}
}

// fitBool takes 0 and 1 too: many controls know no other words.
func fitBool(v gateway.Value) (gateway.Value, error) {
	switch v {
	case gateway.Bool(true), gateway.Int(1):
		return gateway.Bool(true), nil
	case gateway.Bool(false), gateway.Int(0):
		return gateway.Bool(false), nil
	}
	return gateway.Value{}, fmt.Errorf("%s is not true or false", v)
}

// fitText takes the number of a name too. It stays a number: of several with the same name the command has chosen one.
func fitText(p *gateway.Point, v gateway.Value) (gateway.Value, error) {
	text := v.Kind() == gateway.KindString
	switch {
	case p.Names == nil && text:
		return v, nil
	case p.Names == nil:
		return gateway.Value{}, fmt.Errorf("%s is not text", v)
	}
	for n, name := range p.Names {
		if text && v.Text() == name || !text && v == gateway.Int(n) {
			return v, nil
		}
	}
	return gateway.Value{}, fmt.Errorf("%.60s is none of %s", v, names(p.Names))
}

// names lists names with their numbers.
func names(of map[int64]string) string {
	var list []string
	for _, n := range slices.Sorted(maps.Keys(of)) {
		list = append(list, fmt.Sprintf("%s (%d)", of[n], n))
	}
	return strings.Join(list, ", ")
}

func fitBytes(v gateway.Value) (gateway.Value, error) {
	b, err := base64.StdEncoding.DecodeString(v.Text())
	if v.Kind() != gateway.KindString || err != nil {
		return gateway.Value{}, errors.New("it is not base64 text")
	}
	return gateway.Bytes(b), nil
}

func fitNumber(p *gateway.Point, v gateway.Value) (gateway.Value, error) {
	switch v.Kind() {
	case gateway.KindInt, gateway.KindUint, gateway.KindFloat64:
	default:
		return gateway.Value{}, fmt.Errorf("%s is not a number%s", v, hintComma(v))
	}
	if p.Min != 0 || p.Max != 0 {
		switch f := v.Float(); {
		case f < p.Min:
			return gateway.Value{}, fmt.Errorf("%s is below %s", v, number(p.Min))
		case f > p.Max:
			return gateway.Value{}, fmt.Errorf("%s is above %s", v, number(p.Max))
		}
	}
	switch p.Kind {
	case gateway.KindInt:
		return fitInt(v)
	case gateway.KindUint:
		return fitUint(v)
	case gateway.KindFloat32:
		if math.Abs(v.Float()) > math.MaxFloat32 {
			return gateway.Value{}, fmt.Errorf("%s does not fit a float32", v)
		}
		return gateway.Float32(float32(v.Float())), nil
	default:
		return gateway.Float64(v.Float()), nil
	}
}

// hintComma explains a text that is a number with a comma, as half the world writes a fraction; "" for any other value.
func hintComma(v gateway.Value) string {
	whole, fraction, found := strings.Cut(v.Text(), ",")
	point := whole + "." + fraction
	if _, err := strconv.ParseFloat(point, 64); !found || err != nil || v.Kind() != gateway.KindString {
		return ""
	}
	return ": write " + point + ", with a point and without quotes"
}

func fitInt(v gateway.Value) (gateway.Value, error) {
	switch {
	case v.Kind() == gateway.KindFloat64:
		return gateway.Value{}, fmt.Errorf("%s is not a whole number of 64 bits", v)
	case v.Kind() == gateway.KindUint && v.Bits() > math.MaxInt64:
		return gateway.Value{}, fmt.Errorf("%s is above %d", v, int64(math.MaxInt64))
	}
	return gateway.Int(int64(v.Bits())), nil
}

func fitUint(v gateway.Value) (gateway.Value, error) {
	switch {
	case v.Kind() == gateway.KindFloat64:
		return gateway.Value{}, fmt.Errorf("%s is not a whole number of 64 bits", v)
	case v.Kind() == gateway.KindInt && int64(v.Bits()) < 0:
		return gateway.Value{}, fmt.Errorf("%s is below 0", v)
	}
	return gateway.Uint(v.Bits()), nil
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
