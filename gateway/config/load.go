package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// maxFileSize bounds a configuration file. Ten thousand points take about 2 MiB; what is larger is not a
// configuration but a slip, such as the database.
const maxFileSize = 16 << 20

// Env is what a configuration takes from the machine it is read on. The zero Env has no files and no variables.
type Env struct {
	// Dir is where relative file names in the configuration start; empty leaves them as they are.
	Dir string
	// LookupEnv returns an environment variable, as os.LookupEnv does.
	LookupEnv func(name string) (value string, ok bool)
	// ReadFile returns a small file and its mode.
	ReadFile func(name string) (data []byte, mode fs.FileMode, err error)
	// RealPath resolves symbolic links, so that two names of one serial port are seen to be one.
	RealPath func(name string) (string, error)
	// NoCertificates leaves the files of certificates and keys unread: for those who may not read them and do not need them.
	NoCertificates bool
}

// OSEnv returns the Env of this process for a configuration file in dir.
func OSEnv(dir string) Env {
	return Env{Dir: dir, LookupEnv: os.LookupEnv, ReadFile: readFile, RealPath: filepath.EvalSymlinks}
}

// Load reads and checks the configuration file at path. Relative file names in it start from its directory. When the
// file can be read but is wrong, the error is of type Errors.
func Load(path string) (*Config, error) {
	data, _, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data, OSEnv(filepath.Dir(path)))
}

// Parse checks a configuration; name stands in the positions of its errors. An error is always of type Errors.
func Parse(name string, data []byte, env Env) (*Config, error) {
	src := &source{name: name, data: string(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))}
	out := &report{src: src, failed: map[string]bool{}}
	tree, ok := parseTree(src, out)
	if !ok {
		return nil, Errors(out.errors)
	}
	c := newConfig()
	c.src = src
	(&decoder{out: out, env: env}).document(tree, c)
	c.inherit()
	(&checker{cfg: c, env: env, out: out}).check()
	if len(out.errors) > 0 {
		return nil, Errors(sorted(out.errors))
	}
	c.resolvePaths(env)
	c.Warnings = sorted(out.warnings)
	return c, nil
}

// resolvePaths makes file names independent of the working directory.
func (c *Config) resolvePaths(env Env) {
	c.Gateway.DataDir = env.path(c.Gateway.DataDir)
	c.Broker.PasswordFile = env.path(c.Broker.PasswordFile)
	c.Broker.ACLFile = env.path(c.Broker.ACLFile)
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		for _, name := range []*string{&u.TLS.CAFile, &u.TLS.CertFile, &u.TLS.KeyFile, &u.Token.KeyFile} {
			*name = env.path(*name)
		}
	}
	for i := range c.Buses {
		t := &c.Buses[i].TLS
		for _, name := range []*string{&t.CAFile, &t.CertFile, &t.KeyFile} {
			*name = env.path(*name)
		}
	}
	for i := range c.Broker.Listeners {
		t := &c.Broker.Listeners[i].TLS
		for _, name := range []*string{&t.Cert, &t.Key, &t.ClientCA} {
			*name = env.path(*name)
		}
	}
}

// parseTree finds the keys of the file and parses it. An error of syntax is the only one reported: what stands
// behind it may mean anything.
func parseTree(src *source, out *report) (table, bool) {
	fail := func(where span, message, hint string) (table, bool) {
		out.errors = append(out.errors, src.diagnostic(where, message, hint))
		return nil, false
	}
	if strings.HasPrefix(src.data, "\xff\xfe") || strings.HasPrefix(src.data, "\xfe\xff") {
		return fail(span{}, "the file is UTF-16", "save it as UTF-8")
	}
	idx, stop, scanErr := scan(src.data)
	src.idx = idx
	if errors.Is(scanErr, errDeep) {
		return fail(span{stop, stop}, fmt.Sprintf("nested more than %d deep", maxDepth), "no key of Tidegate is nested like this")
	}
	tree := table{}
	if err := decodeTree(src.data, &tree); err != nil {
		var pe toml.ParseError
		if !errors.As(err, &pe) {
			return fail(span{stop, stop}, err.Error(), syntaxHint(""))
		}
		where := span{pe.Position.Start, pe.Position.Start + pe.Position.Len}
		return fail(where, strings.TrimSuffix(lowerFirst(pe.Message), "."), syntaxHint(pe.Message))
	}
	if scanErr != nil { // the library takes what the scanner does not: without positions we cannot go on
		return fail(span{stop, stop}, "cannot tell where the keys stand from here on", "write this line in plain TOML")
	}
	return tree, true
}

// decodeTree runs the TOML library. Its parser panics where it finds what its lexer should not have let through, and a
// gateway must not die of a file.
func decodeTree(data string, tree *table) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("not TOML")
		}
	}()
	_, err = toml.Decode(data, tree)
	return err
}

// syntaxHint says what to do about the commonest errors of syntax.
func syntaxHint(message string) string {
	switch {
	case strings.Contains(message, "already been defined"), strings.Contains(message, "was already created"):
		return "each key and each [table] may stand once; a list of tables is written [[name]]"
	case strings.Contains(message, "strings cannot contain newlines"):
		return `close the string with " on its own line`
	case strings.Contains(message, "invalid escape"):
		return `write the text in 'single quotes', or each backslash twice`
	case strings.Contains(message, "invalid UTF-8"):
		return "save the file as UTF-8; this byte is from another encoding, such as Windows-1252 or Latin-1"
	case strings.Contains(message, "but got ','"):
		return "a fraction is written with a point: 0.1"
	case strings.ContainsAny(message, "“”„‘’"):
		return `write straight quotes: "text"`
	case strings.Contains(message, "expected value"):
		return `write a value behind "="; text stands in "quotes"`
	case strings.Contains(message, "leading zeroes"):
		return "write the number without leading zeroes, or as text in quotes"
	}
	return `a line is key = value, [table] or [[table]]; text stands in "quotes"; # starts a comment`
}

// lowerFirst makes a message of the library look like ours.
func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if strings.HasPrefix(s, "TOML") || n == 0 {
		return s
	}
	return strings.ToLower(string(r)) + s[n:]
}

// path returns the name of a file with a relative name made to start from Dir.
func (e Env) path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(e.Dir, name)
}

func (e Env) lookupEnv(name string) (string, bool) {
	if e.LookupEnv == nil {
		return "", false
	}
	return e.LookupEnv(name)
}

func (e Env) readFile(name string) ([]byte, fs.FileMode, error) {
	if e.ReadFile == nil {
		return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return e.ReadFile(name)
}

// realPath returns name itself where links cannot be followed, as for a port that is not plugged in.
func (e Env) realPath(name string) string {
	if e.RealPath == nil {
		return name
	}
	if real, err := e.RealPath(name); err == nil {
		return real
	}
	return name
}

// readFile reads a regular file of bounded size.
func readFile(name string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if info.IsDir() {
		return nil, 0, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
	}
	var data bytes.Buffer
	data.Grow(int(min(info.Size(), maxFileSize)) + bytes.MinRead) // what is not a regular file may have any size
	if _, err := data.ReadFrom(io.LimitReader(f, maxFileSize+1)); err != nil {
		return nil, 0, err
	}
	if data.Len() > maxFileSize {
		return nil, 0, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("larger than %s", Size(maxFileSize))}
	}
	return data.Bytes(), info.Mode(), nil
}
