package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
)

// Secret is a value that must not be seen. Printing, logging or marshalling it shows "[secret]"; only Reveal
// returns it.
type Secret struct {
	// A pointer, because fmt prints the fields of a struct even when it cannot call their methods; of a pointer inside
	// a struct it prints the address.
	text *string
}

// NewSecret wraps a value.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the value itself; it is empty when the secret is not set.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsSet tells whether there is a value.
func (s Secret) IsSet() bool { return s.text != nil }

// String returns "[secret]", or "" when it is not set.
func (s Secret) String() string {
	if s.text == nil {
		return ""
	}
	return "[secret]"
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue hides the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value from encoders, JSON among them.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// secretRef is how the file names a secret: by exactly one of the three.
type secretRef struct {
	File       string `toml:"file"`
	Env        string `toml:"env"`
	Credential string `toml:"credential"`
}

// secretHint is what to write instead of a secret itself.
const secretHint = `write { file = "/path" }, { env = "NAME" } or { credential = "name" } (systemd's LoadCredential)`

// resolveSecret reads what the reference at path points to.
func (d *decoder) resolveSecret(path string, ref secretRef) Secret {
	var given []string
	for _, key := range []string{"file", "env", "credential"} {
		if d.out.src.has(join(path, key)) {
			given = append(given, key)
		}
	}
	if len(given) != 1 {
		d.out.at(path, lastKey(path)+": a secret has exactly one source, not "+strconv.Itoa(len(given)), secretHint)
		return Secret{}
	}
	path = join(path, given[0])
	var (
		text string
		ok   bool
	)
	switch given[0] {
	case "file":
		text, ok = d.secretFile(path, d.env.path(ref.File))
	case "env":
		text, ok = d.secretEnv(path, ref.Env)
	case "credential":
		text, ok = d.secretCredential(path, ref.Credential)
	}
	if !ok {
		return Secret{}
	}
	if text == "" {
		d.out.at(path, "the secret is empty", "write it into the "+sourceNoun(given[0])+", or leave the key out")
		return Secret{}
	}
	return NewSecret(text)
}

func sourceNoun(key string) string {
	if key == "env" {
		return "environment variable"
	}
	return "file"
}

// secretFile reads a secret from a file. A file that others may read is a warning and not an error: orchestrators mount
// secrets with mode 0644 into a container that has one user.
func (d *decoder) secretFile(path, name string) (string, bool) {
	data, mode, err := d.env.readFile(name)
	if err != nil {
		d.out.at(path, "read secret: "+fileError(name, err), "the file must exist and be readable for the user that runs tidegate")
		return "", false
	}
	if mode&0o004 != 0 {
		d.out.warn(path, fmt.Sprintf("every user of this machine can read %s", name), "chmod 600 "+name)
	}
	return trimLineEnd(string(data)), true
}

func (d *decoder) secretEnv(path, name string) (string, bool) {
	text, ok := d.env.lookupEnv(name)
	if !ok {
		d.out.at(path, fmt.Sprintf("environment variable %q is not set", name), "set it for the service, or name another source")
	}
	return text, ok
}

// secretCredential reads a credential that systemd passed to the service.
func (d *decoder) secretCredential(path, name string) (string, bool) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		d.out.at(path, fmt.Sprintf("credential %q: not a name", name), "a credential is named without a path, as in LoadCredential=name:/path")
		return "", false
	}
	dir, ok := d.env.lookupEnv("CREDENTIALS_DIRECTORY")
	if !ok || dir == "" {
		d.out.at(path, fmt.Sprintf("credential %q: systemd passed no credentials ($CREDENTIALS_DIRECTORY is not set)", name),
			"add LoadCredential="+name+":/path to the unit, or use { file = ... } outside systemd")
		return "", false
	}
	data, _, err := d.env.readFile(filepath.Join(dir, name))
	if err != nil {
		d.out.at(path, "read credential: "+fileError(name, err), "add LoadCredential="+name+":/path to the unit")
		return "", false
	}
	return trimLineEnd(string(data)), true
}

// fileError says what went wrong with a file, naming it once.
func fileError(name string, err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return name + ": " + err.Error()
}

// trimLineEnd cuts the line end that editors and echo leave behind.
func trimLineEnd(s string) string {
	return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
}
