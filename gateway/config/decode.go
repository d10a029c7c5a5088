package config

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// table is a TOML table as the library returns it. It lives only between the parser and the decoder in this file.
type table = map[string]any

// decoder moves the tree into structs by their toml tags. It goes on after each mistake, so that a person sees all
// of them at once.
type decoder struct {
	out    *report
	env    Env
	fields map[reflect.Type][]field // of the structs met so far: a file has thousands of points
}

// field is a struct field that the file can set.
type field struct {
	key   string
	index int
}

// fieldsOf lists the fields of a struct type that have a toml tag, in their order.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("toml"); key != "" && key != "-" {
			fields = append(fields, field{key, i})
		}
	}
	return fields
}

func (d *decoder) document(tree table, c *Config) {
	d.fields = map[reflect.Type][]field{}
	d.table("", tree, reflect.ValueOf(c).Elem())
}

// fieldsOf lists the fields as the function does, once for each type.
func (d *decoder) fieldsOf(t reflect.Type) []field {
	fields, ok := d.fields[t]
	if !ok {
		fields = fieldsOf(t)
		d.fields[t] = fields
	}
	return fields
}

// table fills a struct from a table.
func (d *decoder) table(path string, tree table, v reflect.Value) {
	fields := d.fieldsOf(v.Type())
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		at := join(path, key)
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key })
		if i < 0 {
			d.unknown(path, at, key, fields)
			continue
		}
		d.value(at, tree[key], v.Field(fields[i].index))
	}
}

// unknown reports a key that the table does not have.
func (d *decoder) unknown(path, at, key string, fields []field) {
	var known []string
	for _, f := range fields {
		known = append(known, f.key)
	}
	hint := hintFor(key, known, "known keys: "+strings.Join(known, ", "))
	// Files are named with "_file" behind the key in some tables and without in others.
	if short := strings.TrimSuffix(key, "_file"); slices.Contains(known, short) {
		hint = hintFor(short, known, hint)
	} else if slices.Contains(known, key+"_file") {
		hint = hintFor(key+"_file", known, hint)
	} else if home := homeOf(key); home != "" {
		hint = fmt.Sprintf("%q belongs in %s", key, home)
	}
	d.out.atKey(at, fmt.Sprintf("unknown key %q in %s", key, tableName(path)), hint)
}

// value stores one value of any type.
func (d *decoder) value(path string, raw any, v reflect.Value) {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		d.duration(path, raw, p)
		return
	case *Secret:
		d.secret(path, raw, p)
		return
	case selfDecoder:
		p.decode(d, path, raw)
		return
	case enumerated:
		d.enum(path, raw, p, v)
		return
	case encoding.TextUnmarshaler:
		d.text(path, raw, p)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(path, raw, v.Elem())
	case reflect.Struct:
		d.subTable(path, raw, v)
	case reflect.Slice:
		d.list(path, raw, v)
	default:
		d.scalar(path, raw, v)
	}
}

// selfDecoder is a type whose values have several forms in the file.
type selfDecoder interface {
	decode(d *decoder, path string, raw any)
}

func (d *decoder) scalar(path string, raw any, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if s, ok := want[string](d, path, raw, `text in quotes`); ok {
			v.SetString(strings.Clone(s)) // a part of the file would keep all of it
		}
	case reflect.Bool:
		if b, ok := want[bool](d, path, raw, "true or false, without quotes"); ok {
			v.SetBool(b)
		}
	case reflect.Int:
		n, ok := want[int64](d, path, raw, "a whole number, without quotes")
		if ok && n != int64(int32(n)) {
			d.out.at(path, fmt.Sprintf("%s %d: too large", lastKey(path), n), "give a smaller number")
			ok = false
		}
		if ok {
			v.SetInt(n)
		}
	case reflect.Float64:
		if n, whole := raw.(int64); whole {
			raw = float64(n)
		}
		f, ok := want[float64](d, path, raw, needsNumber)
		if ok && (math.IsInf(f, 0) || math.IsNaN(f)) {
			d.out.at(path, fmt.Sprintf("%s %v: not a finite number", lastKey(path), f), "give a number")
			ok = false
		}
		if ok {
			v.SetFloat(f)
		}
	default:
		panic("config: no decoder for " + v.Type().String()) // a field of config.go that no test has set
	}
}

// want returns raw as a T, or reports what the key needs instead.
func want[T any](d *decoder, path string, raw any, needs string) (T, bool) {
	v, ok := raw.(T)
	if !ok {
		d.out.at(path, fmt.Sprintf("%s: needs %s, not %s", lastKey(path), needs, kindOf(raw)), d.example(path, raw, needs))
	}
	return v, ok
}

// example shows how the value would be written with the type that the key needs, where that can be guessed.
func (d *decoder) example(path string, raw any, needs string) string {
	text, isText := raw.(string)
	switch key := lastKey(path); {
	case isText && strings.Contains(needs, "list"):
		return fmt.Sprintf(`write %s = [%q]`, key, text)
	case strings.Contains(needs, "quotes") && !strings.Contains(needs, "without"):
		switch raw.(type) {
		case int64, float64, bool:
			return fmt.Sprintf(`write %s = "%v"`, key, raw)
		}
	case isText && (isNumber(text) || text == "true" || text == "false"):
		return fmt.Sprintf(`write %s = %s`, key, text)
	case isText && needs == needsNumber && isNumber(withPoint(text)):
		return fmt.Sprintf(`write %s = %s`, key, withPoint(text))
	}
	return "tidegate reference shows " + tableName(parent(path))
}

const needsNumber = "a number, without quotes"

func isNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}

// withPoint returns a fraction that is written with a comma, as in half the world, with a point. A second separator makes it no number.
func withPoint(text string) string { return strings.Replace(text, ",", ".", 1) }

func (d *decoder) duration(path string, raw any, out *time.Duration) {
	s, ok := raw.(string)
	if !ok {
		d.out.at(path, fmt.Sprintf("%s: needs a duration in quotes, not %s", lastKey(path), kindOf(raw)), durationHint)
		return
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		d.out.at(path, fmt.Sprintf("%s %q: not a duration", lastKey(path), s), durationHint)
		return
	}
	*out = v
}

const durationHint = `write a number and its unit without a space: "50ms", "1s", "2m", "168h"`

func (d *decoder) enum(path string, raw any, e enumerated, v reflect.Value) {
	s, ok := want[string](d, path, raw, "text in quotes")
	if !ok {
		return
	}
	i := indexOf(e.names(), s)
	if i < 0 {
		list := quotedList(e.names())
		d.out.at(path, fmt.Sprintf("%s %q: not %s", lastKey(path), s, list), hintFor(s, e.names(), "write "+list))
		return
	}
	v.SetUint(uint64(i))
}

func (d *decoder) text(path string, raw any, u encoding.TextUnmarshaler) {
	if _, isSize := u.(*Size); isSize && kindOf(raw) != "text" {
		d.out.at(path, fmt.Sprintf("%s: needs a size in quotes, not %s", lastKey(path), kindOf(raw)), sizeHint)
		return
	}
	s, ok := want[string](d, path, raw, "text in quotes")
	if !ok {
		return
	}
	var ve *valueError
	if err := u.UnmarshalText([]byte(s)); errors.As(err, &ve) {
		d.out.at(path, fmt.Sprintf("%s %q: %s", lastKey(path), s, ve.reason), ve.hint)
	}
}

func (d *decoder) secret(path string, raw any, out *Secret) {
	tree, ok := raw.(table)
	if !ok {
		d.out.at(path, lastKey(path)+": a secret does not stand in the configuration itself", secretHint)
		return
	}
	var ref secretRef
	before := len(d.out.errors)
	d.table(path, tree, reflect.ValueOf(&ref).Elem())
	if len(d.out.errors) == before {
		*out = d.resolveSecret(path, ref)
	}
}

func (d *decoder) subTable(path string, raw any, v reflect.Value) {
	switch tree := raw.(type) {
	case table:
		d.table(path, tree, v)
	case []table:
		d.out.at(at(path, 0), fmt.Sprintf("%s is one table, not a list", tableName(path)),
			fmt.Sprintf("write %s with single brackets, once", tableName(path)))
	default:
		d.out.at(path, fmt.Sprintf("%s: needs a table, not %s", lastKey(path), kindOf(raw)),
			fmt.Sprintf("write %s on a line of its own and its keys below, or %s = { key = value }", tableName(path), lastKey(path)))
	}
}

// list fills a slice of tables or of values.
func (d *decoder) list(path string, raw any, v reflect.Value) {
	if !isTableType(v.Type().Elem()) {
		members, ok := want[[]any](d, path, raw, "a list in [brackets]")
		if !ok {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(members), len(members)))
		for i, m := range members {
			d.value(at(path, i), m, v.Index(i))
		}
		return
	}
	trees, ok := d.tables(path, raw)
	if !ok {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(trees), len(trees)))
	for i, tree := range trees {
		if def, ok := v.Index(i).Addr().Interface().(defaulter); ok {
			def.setDefaults()
		}
		d.table(at(path, i), tree, v.Index(i))
	}
}

// tables returns the members of a list of tables, in either of TOML's notations.
func (d *decoder) tables(path string, raw any) ([]table, bool) {
	switch list := raw.(type) {
	case []table:
		return list, true
	case []any:
		trees := make([]table, len(list))
		for i, m := range list {
			tree, ok := m.(table)
			if !ok {
				d.out.at(at(path, i), fmt.Sprintf("%s: needs tables, not %s", lastKey(path), kindOf(m)),
					fmt.Sprintf("write %s for each", tableName(at(path, i))))
				return nil, false
			}
			trees[i] = tree
		}
		return trees, true
	}
	name := tableName(at(path, 0))
	d.out.at(path, fmt.Sprintf("%s: needs a list of tables, not %s", lastKey(path), kindOf(raw)),
		fmt.Sprintf("write %s with double brackets, once for each", name))
	return nil, false
}

// isTableType tells whether a type is written as a table, and not as one value.
func isTableType(t reflect.Type) bool {
	_, isText := reflect.New(t).Interface().(encoding.TextUnmarshaler)
	_, isOwn := reflect.New(t).Interface().(selfDecoder)
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[Secret]() && !isText && !isOwn
}

// kindOf names the type of a TOML value for a sentence.
func kindOf(raw any) string {
	switch raw.(type) {
	case string:
		return "text"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "true or false"
	case time.Time:
		return "a date or time"
	case table:
		return "a table"
	case []table:
		return "a list of tables"
	}
	return "a list"
}

// lastKey returns the key at the end of a path, without the number of a member: "servers" of
// "upstream[0].servers[1]".
func lastKey(path string) string {
	if strings.HasSuffix(path, "]") {
		path = parent(path)
	}
	return path[strings.LastIndexByte(path, '.')+1:]
}

// tableName writes the path of a table as its header: "[broker.session]", "[[device.point]]".
func tableName(path string) string {
	if path == "" {
		return "the file"
	}
	var b strings.Builder
	depth := 0
	for _, r := range path {
		switch r {
		case '[':
			depth++
		case ']':
			depth--
		default:
			if depth == 0 {
				b.WriteRune(r)
			}
		}
	}
	if strings.HasSuffix(path, "]") {
		return "[[" + b.String() + "]]"
	}
	return "[" + b.String() + "]"
}

// homeOf returns the header of the only table that has the key, or "" when none or several do.
func homeOf(key string) string {
	var homes []string
	eachTable("", reflect.TypeFor[Config](), func(path string, fields []field) {
		if slices.ContainsFunc(fields, func(f field) bool { return f.key == key }) {
			homes = append(homes, tableName(path))
		}
	})
	if len(homes) != 1 {
		return ""
	}
	return homes[0]
}

// eachTable calls visit for each kind of table below t; lists have the number 0 in their path.
func eachTable(path string, t reflect.Type, visit func(path string, fields []field)) {
	fields := fieldsOf(t)
	visit(path, fields)
	for _, f := range fields {
		ft, at0 := t.Field(f.index).Type, join(path, f.key)
		if ft.Kind() == reflect.Slice {
			ft, at0 = ft.Elem(), at(at0, 0)
		}
		if isTableType(ft) {
			eachTable(at0, ft, visit)
		}
	}
}
