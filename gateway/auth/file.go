package auth

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxFileSize bounds a file; it is room for the passwords of a hundred thousand users.
const maxFileSize = 16 << 20

// maxErrors bounds how many wrong lines are told. More are not worth reading: the file is something else.
const maxErrors = 20

// line is one line of a password file. Of a comment or an empty line only the text is set.
type line struct {
	text string
	user string
	hash hash
}

// LineError is a wrong line of a password or ACL file.
type LineError struct {
	File   string
	Line   int // from 1
	Reason string
}

// Error returns "file:line: reason".
func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason) }

// readFile reads and parses the file at path.
func readFile(path string) ([]line, error) {
	data, err := readAll(path, passwordFile)
	if err != nil {
		return nil, fmt.Errorf("read password file: %w", err)
	}
	lines, errs := parseFile(path, string(data), "")
	return lines, errors.Join(errs...)
}

// passwordFile is what a file is called that should hold passwords.
const passwordFile = "a password file"

// readAll reads a file of the kind that is given, which cannot be larger than maxFileSize.
func readAll(path, kind string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err == nil && len(data) > maxFileSize {
		err = fmt.Errorf("%s is larger than %d MiB, so it is not %s", path, maxFileSize>>20, kind)
	}
	return data, err
}

// parseFile parses all lines and returns an error for each wrong one. The line of the user named except may be wrong: it
// is about to be replaced.
func parseFile(name, data, except string) ([]line, []error) {
	var (
		lines []line
		errs  []error
	)
	first := map[string]int{} // the line of each user
	for i, text := range strings.Split(strings.TrimSuffix(data, "\n"), "\n") {
		l, err := parseLine(strings.TrimRight(text, "\r"))
		if err == nil && first[l.user] > 0 {
			err = fmt.Errorf("user %q stands already in line %d; remove one of the two", l.user, first[l.user])
		}
		if err != nil && (except == "" || l.user != except) {
			errs = append(errs, &LineError{name, i + 1, err.Error()})
		}
		if l.user != "" {
			first[l.user] = i + 1
		}
		lines = append(lines, l)
		if len(errs) == maxErrors {
			errs = append(errs, fmt.Errorf("%s: more wrong lines are not shown", name))
			break
		}
	}
	return lines, errs
}

// parseLine parses one line. The user is set even if the rest is wrong.
func parseLine(text string) (line, error) {
	l := line{text: text}
	if strings.TrimSpace(text) == "" || strings.HasPrefix(text, "#") {
		return l, nil
	}
	user, rest, found := strings.Cut(text, ":")
	if !found {
		return l, errors.New(`no ":" between user name and password hash`)
	}
	if err := checkUser(user); err != nil {
		return l, err
	}
	l.user = user
	var err error
	l.hash, err = parseHash(strings.TrimRight(rest, " \t"))
	return l, err
}

// checkUser tells what makes a user name unfit for the file.
func checkUser(user string) error {
	switch {
	case user == "":
		return errors.New("the user name is empty")
	case !utf8.ValidString(user):
		return errors.New("the user name is not valid UTF-8")
	case len(user) > 65535: // MQTT counts its bytes in 16 bits
		return errors.New("the user name is longer than 65535 bytes")
	case strings.HasPrefix(user, "#"):
		return fmt.Errorf(`user name %q: "#" at the start makes the line a comment`, user)
	case strings.Contains(user, ":"):
		return fmt.Errorf(`user name %q: ":" ends the name in the file`, user)
	case strings.ContainsFunc(user, unicode.IsControl):
		return fmt.Errorf("user name %q contains a control character", user)
	case strings.TrimSpace(user) != user:
		return fmt.Errorf("user name %q starts or ends with a space", user)
	}
	return nil
}
