package config

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// span is a piece of the file, in byte offsets.
type span struct{ start, end int }

// entry says where one key stands.
type entry struct {
	key   span // the last part of the key as written; of a [table] the whole header
	value span // the value; of a [table] the header
}

// index says where everything stands. Its paths join keys with dots and count the members of arrays:
// "bus[0].port", "upstream[1].servers[0]". A key that TOML would have to quote is quoted.
type index struct {
	entries map[string]entry
}

// Limits of nesting. No configuration comes near them; they keep a hostile file from exhausting the stack, here and in
// the TOML library, which recurses once per level.
const (
	maxKeyParts = 32
	maxDepth    = 32
)

var (
	// errStuck means that the scanner does not understand the file. The library then reports a syntax error.
	errStuck = errors.New("syntax")
	errDeep  = errors.New("nested too deep")
)

// scanner walks a TOML file for positions only. It is more lenient than TOML: it judges nothing but nesting, because the
// library parses the same text and rejects what is wrong.
type scanner struct {
	data   string
	pos    int
	idx    index
	arrays map[string]int // members so far of each array of tables
	// found is told the path of each key in the order of toml.MetaData.Keys, so that a test can compare the two; nil for nobody.
	found func(path string)
}

// scan returns where every key of data stands. On an error it also returns how far it came.
func scan(data string) (index, int, error) {
	s := newScanner(data)
	err := s.document()
	return s.idx, s.pos, err
}

func newScanner(data string) *scanner {
	return &scanner{data: data, idx: index{entries: map[string]entry{"": {}}}, arrays: map[string]int{}}
}

// scope is the table that keys are added to: its path in the index, and how many parts its key has.
type scope struct {
	path  string
	parts int
}

func (s *scanner) document() error {
	var (
		table scope
		err   error
	)
	for s.skipBlank(); s.pos < len(s.data); s.skipBlank() {
		if s.data[s.pos] == '[' {
			table, err = s.header()
		} else {
			err = s.pair(table, 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// header reads [a.b] or [[a.b]].
func (s *scanner) header() (scope, error) {
	start := s.pos
	opening, closing := "[", "]"
	if strings.HasPrefix(s.data[s.pos:], "[[") {
		opening, closing = "[[", "]]"
	}
	s.pos += len(opening)
	parts, _, err := s.keys()
	if err != nil {
		return scope{}, err
	}
	if !s.accept(closing) {
		return scope{}, errStuck
	}
	where := span{start, s.pos}
	path := s.resolve("", parts[:len(parts)-1], where)
	path = join(path, parts[len(parts)-1])
	switch n := s.arrays[path]; {
	case opening == "[[":
		s.arrays[path] = n + 1
		s.note(path, entry{where, where})
		path = at(path, n)
	case n > 0: // not valid TOML, but then the library says so
		path = at(path, n-1)
	}
	s.idx.entries[path] = entry{where, where}
	s.tell(path)
	return scope{path, len(parts)}, nil
}

// resolve walks down from path along the parts, into the newest member of every array of tables on the way, and
// notes tables that are only implied.
func (s *scanner) resolve(path string, parts []string, where span) string {
	for _, part := range parts {
		path = join(path, part)
		s.note(path, entry{where, where})
		if n := s.arrays[path]; n > 0 {
			path = at(path, n-1)
		}
	}
	return path
}

// note adds an entry unless the path already has one.
func (s *scanner) note(path string, e entry) {
	if _, ok := s.idx.entries[path]; !ok {
		s.idx.entries[path] = e
	}
}

func (s *scanner) tell(path string) {
	if s.found != nil {
		s.found(path)
	}
}

// pair reads key = value into the table.
func (s *scanner) pair(table scope, depth int) error {
	parts, where, err := s.keys()
	if err != nil {
		return err
	}
	count := table.parts + len(parts)
	if count > maxKeyParts {
		return errDeep
	}
	if !s.accept("=") {
		return errStuck
	}
	parent := s.resolve(table.path, parts[:len(parts)-1], where)
	path := join(parent, parts[len(parts)-1])
	s.tell(path)
	value, err := s.value(scope{path, count}, depth)
	s.idx.entries[path] = entry{where, value}
	return err
}

// keys reads a.b."c d", and returns the span of the last part.
func (s *scanner) keys() ([]string, span, error) {
	var parts []string
	for {
		s.skipSpace()
		start := s.pos
		part, err := s.keyPart()
		if err != nil {
			return nil, span{}, err
		}
		where := span{start, s.pos}
		if parts = append(parts, part); len(parts) > maxKeyParts {
			return nil, span{}, errDeep
		}
		s.skipSpace()
		if !s.accept(".") {
			return parts, where, nil
		}
	}
}

func (s *scanner) keyPart() (string, error) {
	start := s.pos
	switch c := s.peek(); {
	case c == '"' || c == '\'':
		if err := s.quoted(c); err != nil {
			return "", err
		}
		text := s.data[start+1 : s.pos-1]
		if c == '"' {
			return unescape(text), nil
		}
		return text, nil
	default:
		for s.pos < len(s.data) && bareKeyChar(s.data[s.pos]) {
			s.pos++
		}
		if s.pos == start {
			return "", errStuck
		}
		return s.data[start:s.pos], nil
	}
}

// value reads any value and returns its span.
func (s *scanner) value(sc scope, depth int) (span, error) {
	s.skipSpace()
	start := s.pos
	var err error
	switch rest := s.data[s.pos:]; {
	case depth >= maxDepth:
		err = errDeep
	case strings.HasPrefix(rest, `"""`), strings.HasPrefix(rest, "'''"):
		err = s.multiline(rest[:3])
	case s.peek() == '"', s.peek() == '\'':
		err = s.quoted(s.peek())
	case s.peek() == '[':
		err = s.array(sc, depth+1)
	case s.peek() == '{':
		err = s.inlineTable(sc, depth+1)
	default:
		err = s.bare()
	}
	return span{start, s.pos}, err
}

// bare reads a number, a boolean or a date; a date may contain a space.
func (s *scanner) bare() error {
	n := strings.IndexAny(s.data[s.pos:], ",]}#\r\n")
	if n < 0 {
		n = len(s.data) - s.pos
	}
	n = len(strings.TrimRight(s.data[s.pos:s.pos+n], " \t"))
	if n == 0 {
		return errStuck
	}
	s.pos += n
	return nil
}

// quoted reads a string on one line, from its opening to its closing quote.
func (s *scanner) quoted(quote byte) error {
	for s.pos++; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c == quote:
			s.pos++
			return nil
		case c == '\n':
			return errStuck
		case c == '\\' && quote == '"':
			s.pos++
		}
	}
	s.pos = len(s.data)
	return errStuck
}

// multiline reads a string between triple quotes. One or two quotes may stand directly before the closing three.
func (s *scanner) multiline(quotes string) error {
	for s.pos += 3; s.pos < len(s.data); s.pos++ {
		switch {
		case s.data[s.pos] == '\\' && quotes[0] == '"':
			s.pos++
		case strings.HasPrefix(s.data[s.pos:], quotes):
			s.pos += 3
			for range 2 {
				s.accept(quotes[:1])
			}
			return nil
		}
	}
	s.pos = len(s.data)
	return errStuck
}

func (s *scanner) array(sc scope, depth int) error {
	s.pos++
	for i := 0; ; i++ {
		s.skipBlank()
		if s.accept("]") {
			return nil
		}
		path := at(sc.path, i)
		value, err := s.value(scope{path, sc.parts}, depth)
		s.idx.entries[path] = entry{value, value}
		if err != nil {
			return err
		}
		s.skipBlank()
		if !s.accept(",") && s.peek() != ']' {
			return errStuck
		}
	}
}

func (s *scanner) inlineTable(sc scope, depth int) error {
	s.pos++
	for {
		s.skipBlank()
		if s.accept("}") {
			return nil
		}
		if err := s.pair(sc, depth); err != nil {
			return err
		}
		s.skipBlank()
		if !s.accept(",") && s.peek() != '}' {
			return errStuck
		}
	}
}

// peek returns the next byte, or 0 at the end; a valid file contains no byte 0.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) accept(text string) bool {
	if strings.HasPrefix(s.data[s.pos:], text) {
		s.pos += len(text)
		return true
	}
	return false
}

func (s *scanner) skipSpace() {
	for s.peek() == ' ' || s.peek() == '\t' {
		s.pos++
	}
}

// skipBlank skips space, line ends and comments.
func (s *scanner) skipBlank() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		case '#':
			if n := strings.IndexByte(s.data[s.pos:], '\n'); n >= 0 {
				s.pos += n
			} else {
				s.pos = len(s.data)
			}
		default:
			return
		}
	}
}

func bareKeyChar(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// unescape replaces the escapes of a TOML basic string. Of a malformed one it keeps the text: the library refuses
// the file.
func unescape(text string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, `\`)
		b.WriteString(before)
		if !found || after == "" {
			return b.String()
		}
		c := after[0]
		text = after[1:]
		if i := strings.IndexByte(`btnfre"\`, c); i >= 0 {
			b.WriteByte("\b\t\n\f\r\x1b\"\\"[i])
			continue
		}
		digits := min(map[byte]int{'x': 2, 'u': 4, 'U': 8}[c], len(text))
		n, err := strconv.ParseUint(text[:digits], 16, 32)
		if err != nil || !utf8.ValidRune(rune(n)) {
			continue
		}
		b.WriteRune(rune(n))
		text = text[digits:]
	}
}
