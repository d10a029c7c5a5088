package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Diagnostic is one error or warning about a configuration.
type Diagnostic struct {
	Position
	Message string // what is wrong
	Hint    string // what to do

	line          string // the line of the file, safe to print
	column, width int    // of the mark under it, in characters from 0
}

// Error returns the diagnostic on one line: "file:line:column: message; hint".
func (d Diagnostic) Error() string {
	return d.place() + ": " + d.Message + "; " + d.Hint
}

func (d Diagnostic) place() string {
	return fmt.Sprintf("%s:%d:%d", d.File, d.Line, d.Column)
}

// Render returns the diagnostic for a person: the message, the line of the file with a mark under the place, and
// what to do. It ends with a line end.
func (d Diagnostic) Render() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", d.place(), d.Message)
	fmt.Fprintf(&b, "%6d | %s\n", d.Line, d.line)
	fmt.Fprintf(&b, "       | %s%s\n", strings.Repeat(" ", d.column), strings.Repeat("^", d.width))
	fmt.Fprintf(&b, "         %s\n", d.Hint)
	return b.String()
}

// Errors are all errors of one configuration, in the order of the file. There is at least one.
type Errors []Diagnostic

// Error renders all errors for a person, with their number at the end.
func (e Errors) Error() string {
	var b strings.Builder
	for _, d := range e {
		b.WriteString(d.Render())
		b.WriteByte('\n')
	}
	if len(e) == 1 {
		return b.String() + "1 error in the configuration"
	}
	return fmt.Sprintf("%s%d errors in the configuration", b.String(), len(e))
}

// Unwrap returns the single errors, for errors.As.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i := range e {
		errs[i] = e[i]
	}
	return errs
}

// Pos returns where a value stands, by its path: "bus[0].port", "broker.listener[1]". A value that the file does not
// give has the position of the table that would hold it.
func (c *Config) Pos(path string) Position {
	e, _ := c.src.find(path)
	return c.src.position(e.value.start)
}

// Forget gives up the memory that tells where each value stands, for a program that has found what it looked for: it is more than the values
// take. Pos and Error answer as before, and take longer. Nobody else uses c meanwhile.
func (c *Config) Forget() { c.src.idx = index{} }

// Error returns an error about the value at path in the form of this package's own errors, for what only
// another package can find out. The message says what is wrong, the hint what to do.
func (c *Config) Error(path, message, hint string) Diagnostic {
	e, _ := c.src.find(path)
	return c.src.diagnostic(e.value, message, hint)
}

func (s *source) diagnostic(where span, message, hint string) Diagnostic {
	d := Diagnostic{Position: s.position(where.start), Message: oneLine(message), Hint: oneLine(hint)}
	d.line, d.column, d.width = s.excerpt(where)
	return d
}

// oneLine makes text from the file fit for a message.
func oneLine(s string) string {
	const longest = 400
	runes := []rune(mask(printable(s[:min(len(s), maxLine)])))
	if len(runes) > longest {
		return string(runes[:longest]) + "..."
	}
	return string(runes)
}

var (
	// What is given to a key that sounds like a secret, spelling mistakes included: a text, or whatever stands there to the end of the line.
	secretText = regexp.MustCompile(`(?i)((?:(?:pas|pwd|secret)[\w.-]*|(?:token|api_?key|\bkey)[\w-]*)["']?\s*=\s*)` +
		`(""".*|'''.*|"(?:[^"\\]|\\.)*"?|'[^']*'?|[^"'{\s].*)`)
	// A table given to such a key.
	secretTable = regexp.MustCompile(`(?i)((?:pas|pwd|secret|api_?key|\bkey)[\w.-]*["']?\s*=\s*\{\s*(?:[\w-]+\s*=\s*)?)([^}]*)`)
	// What says where a secret is, and may be seen: the name of a file, a variable or a credential.
	secretPlace = regexp.MustCompile(`_file|[.{]\s*(file|env|credential)\s*=`)
	// The name of a file given to key, which is where a listener's private key is. No secret in base64 or hexadecimal looks like it.
	keyFile = regexp.MustCompile(`^key\s*=\s*["'][^"']*\.(pem|key)["']$`)
	// The user and password of a URL, whatever characters they have.
	userInfo = regexp.MustCompile(`(://)([^\s"']+)(@)`)
)

// mask overwrites secrets in a piece of the file with as many stars. A diagnostic shows lines of the file, and
// goes to logs and bug reports.
func mask(s string) string {
	for _, re := range []*regexp.Regexp{secretText, secretTable} {
		s = replace(re, s, func(m string, parts []string) string {
			ours := strings.HasPrefix(parts[2], "value") // "key = value", as hints say
			if ours || secretPlace.MatchString(parts[1]) || keyFile.MatchString(m) {
				return m
			}
			return parts[1] + stars(parts[2])
		})
	}
	return replace(userInfo, s, func(_ string, parts []string) string { return parts[1] + stars(parts[2]) + parts[3] })
}

// replace replaces each match m, which has those parts, by what with returns.
func replace(re *regexp.Regexp, s string, with func(m string, parts []string) string) string {
	return re.ReplaceAllStringFunc(s, func(m string) string { return with(m, re.FindStringSubmatch(m)) })
}

func stars(s string) string { return strings.Repeat("*", len([]rune(s))) }

// report collects errors and warnings.
type report struct {
	src      *source
	errors   []Diagnostic
	warnings []Diagnostic
	failed   map[string]bool // paths with an error, so that one mistake gives one message
}

// at adds an error at the place of path, unless the path has one already.
func (r *report) at(path, message, hint string) {
	if r.failed[path] {
		return
	}
	r.failed[path] = true
	e, _ := r.src.find(path)
	r.errors = append(r.errors, r.src.diagnostic(e.value, message, hint))
}

// atKey adds an error that is about the key itself and not about its value.
func (r *report) atKey(path, message, hint string) {
	r.failed[path] = true
	e, _ := r.src.find(path)
	r.errors = append(r.errors, r.src.diagnostic(e.key, message, hint))
}

// about adds an error about a table as a whole, which may have several.
func (r *report) about(path, message, hint string) {
	e, _ := r.src.find(path)
	r.errors = append(r.errors, r.src.diagnostic(e.value, message, hint))
}

func (r *report) warn(path, message, hint string) {
	e, _ := r.src.find(path)
	r.warnings = append(r.warnings, r.src.diagnostic(e.value, message, hint))
}

// sorted orders diagnostics as they stand in the file.
func sorted(list []Diagnostic) []Diagnostic {
	slices.SortStableFunc(list, func(a, b Diagnostic) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return list
}
