package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxPassword is the longest password that MQTT can carry, in bytes (MQTT 3.1.1, 3.1.3.5).
const maxPassword = 65535

// SetPassword gives a user a password in the file at path: it replaces the user's line, or adds one. All other lines and
// comments stay. A file that does not exist is created for its owner alone (mode 0600). The file is replaced in one step,
// so that a gateway that reads it at this moment, or a power cut, meets the old or the new one whole.
func SetPassword(path, user string, password []byte, format Format) error {
	if err := checkUser(user); err != nil {
		return err
	}
	if len(password) == 0 || len(password) > maxPassword {
		return fmt.Errorf("password of %d bytes: 1 to %d are allowed", len(password), maxPassword)
	}
	old, info, err := existing(path)
	if err != nil {
		return fmt.Errorf("read password file: %w", err)
	}
	lines, errs := parseFile(path, old, user)
	if len(errs) > 0 {
		return errors.Join(append(errs, fmt.Errorf("%s was left as it is", path))...)
	}
	h, err := newHash(password, format)
	if err != nil {
		return err
	}
	if err := replaceFile(path, edit(lines, user, user+":"+h.String()), info); err != nil {
		return fmt.Errorf("write password file: %w", err)
	}
	return nil
}

// RemoveUser takes a user's line out of the file at path. All other lines and comments stay, even wrong ones, and the file is replaced in one step.
func RemoveUser(path, user string) error {
	data, err := readAll(path, passwordFile)
	if err != nil {
		return fmt.Errorf("read password file: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read password file: %w", err)
	}
	var kept strings.Builder
	found := false
	for text := range strings.Lines(string(data)) {
		if name, _, ok := strings.Cut(text, ":"); ok && name == user && !strings.HasPrefix(text, "#") {
			found = true
			continue
		}
		kept.WriteString(text)
	}
	if !found {
		return fmt.Errorf("%s: there is no user %q", path, user)
	}
	if err := replaceFile(path, kept.String(), info); err != nil {
		return fmt.Errorf("write password file: %w", err)
	}
	return nil
}

// existing returns the content of the file and what it belongs to; nothing when there is no file yet.
func existing(path string) (string, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	data, err := readAll(path, passwordFile)
	return string(data), info, err
}

// edit returns the file with the user's line replaced, or added at the end.
func edit(lines []line, user, with string) string {
	var b strings.Builder
	done := false
	for _, l := range lines {
		switch {
		case l.user == user && done:
			continue // a second line of the same user
		case l.user == user:
			l.text, done = with, true
		case l.text == "" && len(lines) == 1:
			continue // the file was empty
		}
		b.WriteString(l.text + "\n")
	}
	if !done {
		b.WriteString(with + "\n")
	}
	return b.String()
}

// replaceFile writes the content beside the file and renames it over the file. The new file keeps mode and owner of the
// old one: a service that runs as its own user must still be able to read what root has edited.
func replaceFile(path, content string, old fs.FileInfo) (err error) {
	if old != nil {
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if _, err = tmp.WriteString(content); err != nil {
		return err
	}
	if old != nil {
		if err = keepOwner(tmp, old); err != nil {
			return err
		}
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// keepOwner gives f the mode and owner of another file.
func keepOwner(f *os.File, of fs.FileInfo) error {
	now, err := f.Stat()
	if err != nil {
		return err
	}
	uid, gid, known := owner(of)
	if u, g, _ := owner(now); known && (u != uid || g != gid) {
		if err := f.Chown(uid, gid); err != nil {
			return fmt.Errorf("keep the owner of the file (run this as that user, or as root): %w", err)
		}
	}
	return f.Chmod(of.Mode().Perm())
}

// syncDir makes a rename durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
