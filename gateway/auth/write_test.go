package auth

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestSetPasswordCreatesAFileForItsOwnerAlone(t *testing.T) {
	for name, format := range map[string]Format{"$7$": PBKDF2, "$argon2id$": Argon2id} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "users")
			if err := SetPassword(path, "bob", []byte("secret"), format); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			if text := read(t, path); !strings.HasPrefix(text, "bob:"+name) || strings.Count(text, "\n") != 1 {
				t.Errorf("the file holds %q", text)
			}
			p, err := LoadPasswords(path)
			if err != nil {
				t.Fatal(err)
			}
			if !p.Check(t.Context(), "bob", []byte("secret")) || p.Check(t.Context(), "bob", []byte("Secret")) {
				t.Error("the password is not the one written")
			}
		})
	}
}

func TestSetPasswordKeepsTheOtherLines(t *testing.T) {
	path := writeFile(t, "# ours\nal:"+mosquitto6+"\nbob:in the clear, to be replaced\n\ncarl:"+mosquitto7+"\n")
	if err := SetPassword(path, "bob", []byte("new"), PBKDF2); err != nil {
		t.Fatal(err)
	}
	if err := SetPassword(path, "dora", []byte("newer"), PBKDF2); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(read(t, path), "\n")
	for i, want := range []string{"# ours", "al:" + mosquitto6, "bob:$7$", "", "carl:" + mosquitto7, "dora:$7$", ""} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Fatalf("line %d of %q, want %q", i+1, lines, want)
		}
	}
	p, err := LoadPasswords(path)
	if err != nil {
		t.Fatal(err)
	}
	for user, password := range map[string]string{"al": "secret", "bob": "new", "carl": "secret", "dora": "newer"} {
		if !p.Check(t.Context(), user, []byte(password)) {
			t.Errorf("%s cannot log in", user)
		}
	}
}

func TestSetPasswordKeepsModeOwnerAndLink(t *testing.T) {
	path := writeFile(t, "al:"+mosquitto6+"\n")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	wantUID, wantGID := os.Geteuid(), os.Getegid()
	if wantUID == 0 {
		wantUID, wantGID = 1234, 1235
		if err := os.Chown(path, wantUID, wantGID); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := SetPassword(link, "bob", []byte("secret"), PBKDF2); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	uid, gid, known := owner(info)
	if info.Mode().Perm() != 0o640 || known && (uid != wantUID || gid != wantGID) {
		t.Errorf("mode %v, owner %d:%d; want 0640, %d:%d", info.Mode(), uid, gid, wantUID, wantGID)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", info, err)
	}
	if !strings.Contains(read(t, path), "\nbob:$7$") {
		t.Error("the file behind the link was not written")
	}
}

func TestSetPasswordRefusesWhatWouldBreakTheFile(t *testing.T) {
	path := writeFile(t, "al:"+mosquitto6+"\n")
	before := read(t, path)
	for user, want := range map[string]string{
		"":                         "the user name is empty",
		"a:b":                      `user name "a:b": ":" ends the name in the file`,
		"#a":                       `user name "#a": "#" at the start makes the line a comment`,
		"a\nb":                     `user name "a\nb" contains a control character`,
		"a\x7f":                    `user name "a\x7f" contains a control character`,
		"a ":                       `user name "a " starts or ends with a space`,
		"a\xff":                    "the user name is not valid UTF-8",
		strings.Repeat("a", 65536): "the user name is longer than 65535 bytes",
	} {
		if err := SetPassword(path, user, []byte("secret"), PBKDF2); err == nil || err.Error() != want {
			t.Errorf("user %q: got %v, want %s", user, err, want)
		}
	}
	for _, password := range []string{"", strings.Repeat("a", 65536)} {
		if err := SetPassword(path, "bob", []byte(password), PBKDF2); err == nil {
			t.Errorf("a password of %d bytes is taken", len(password))
		}
	}
	if got := read(t, path); got != before {
		t.Errorf("the file was changed to %q", got)
	}
}

func TestSetPasswordLeavesAFileOfAnotherKindAlone(t *testing.T) {
	const text = "[gateway]\nid = \"plant\"\n"
	path := writeFile(t, text)
	err := SetPassword(path, "bob", []byte("secret"), PBKDF2)
	if err == nil || !strings.Contains(err.Error(), path+":1: ") || !strings.Contains(err.Error(), path+" was left as it is") {
		t.Errorf("got %v", err)
	}
	if got := read(t, path); got != text {
		t.Errorf("the file was changed to %q", got)
	}
	if err := SetPassword(t.TempDir(), "bob", []byte("secret"), PBKDF2); err == nil {
		t.Error("a directory is taken for a password file")
	}
	if err := SetPassword(filepath.Join(t.TempDir(), "no", "users"), "bob", []byte("secret"), PBKDF2); err == nil {
		t.Error("a missing directory is not told")
	}
}

func TestSetPasswordLeavesNoOtherFiles(t *testing.T) {
	path := writeFile(t, "")
	if err := SetPassword(path, "bob", []byte("secret"), PBKDF2); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

// A gateway that reads the file while it is written must never see a part of it.
func TestReadersSeeTheWholeFile(t *testing.T) {
	var many strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&many, "user%d:%s\n", i, mosquitto7)
	}
	path := writeFile(t, many.String())
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < 10 && err == nil; i++ {
			err = SetPassword(path, "bob", []byte("secret"), PBKDF2)
		}
		done <- err
	}()
	for reads := 0; ; reads++ {
		p, err := LoadPasswords(path)
		if err != nil || p.Len() < 2000 {
			t.Fatalf("read %d: %v", reads, err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// peer returns the path of a program that nobody here wrote. Without it the test is skipped, or fails where peers are
// required.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err == nil {
			return path
		}
		if os.Getenv("TIDEGATE_REQUIRE_PEERS") == "1" {
			t.Fatalf("%s is not installed, and TIDEGATE_REQUIRE_PEERS=1", name)
		}
		t.Skipf("%s is not installed (Debian package mosquitto)", name)
	}
	return path
}

func TestReadsWhatMosquittoPasswdWrites(t *testing.T) {
	program := peer(t, "mosquitto_passwd")
	for _, args := range [][]string{{}, {"-H", "sha512"}, {"-H", "sha512-pbkdf2"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "users")
			out, err := exec.Command(program, append(args, "-c", "-b", path, "bob", "correct horse")...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			p, err := LoadPasswords(path)
			if err != nil {
				t.Fatal(err)
			}
			if !p.Check(t.Context(), "bob", []byte("correct horse")) || p.Check(t.Context(), "bob", []byte("correct")) {
				t.Errorf("the password of %q is not read", read(t, path))
			}
			if err := SetPassword(path, "al", []byte("x"), PBKDF2); err != nil {
				t.Errorf("cannot add to it: %v", err)
			}
		})
	}
}

// TestMosquittoTakesWhatIsWrittenHere starts a mosquitto with our file and logs in.
func TestMosquittoTakesWhatIsWrittenHere(t *testing.T) {
	program := peer(t, "mosquitto")
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	if err := SetPassword(users, "bob", []byte("correct horse"), PBKDF2); err != nil {
		t.Fatal(err)
	}
	address := startMosquitto(t, program, dir, "password_file "+users+"\n")
	const accepted, notAuthorised = 0, 5 // CONNACK return codes (MQTT 3.1.1, 3.2.2.3)
	for password, want := range map[string]byte{"correct horse": accepted, "wrong": notAuthorised} {
		if got := connect(t, address, "bob", password); got != want {
			t.Errorf("password %q: mosquitto answers %d, want %d", password, got, want)
		}
	}
}

// startMosquitto runs mosquitto on a free port of loopback until the test ends.
func startMosquitto(t *testing.T, program, dir, extra string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	conf := filepath.Join(dir, "mosquitto.conf")
	// mosquitto gives up root for a user who cannot read the test's directory, unless it is told to stay.
	text := "user root\nlistener " + port + " 127.0.0.1\n" + extra
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-v", "-c", conf)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	var log bytes.Buffer
	for s := bufio.NewScanner(stderr); s.Scan(); {
		log.WriteString(s.Text() + "\n")
		if strings.Contains(s.Text(), "running") {
			go io.Copy(io.Discard, stderr) // until it ends; with a full pipe it would stand still
			return address
		}
	}
	t.Fatalf("mosquitto did not start:\n%s", &log)
	return ""
}

// connect sends one CONNECT of MQTT 3.1.1 and returns the code of the CONNACK.
func connect(t *testing.T, address, user, password string) byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	field := func(s string) string { return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }
	body := field("MQTT") + "\x04\xc2\x00\x1e" + field("test") + field(user) + field(password)
	if _, err := io.WriteString(conn, "\x10"+string(rune(len(body)))+body); err != nil {
		t.Fatal(err)
	}
	var ack [4]byte
	if _, err := io.ReadFull(conn, ack[:]); err != nil {
		t.Fatal(err)
	}
	return ack[3]
}

func TestRemoveUserKeepsTheOtherLines(t *testing.T) {
	path := writeFile(t, "# al: ours\nal:"+mosquitto6+"\nbob:in the clear\n\n#al:commented out\ncarl:"+mosquitto7)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := RemoveUser(path, "al"); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, path), "# al: ours\nbob:in the clear\n\n#al:commented out\ncarl:"+mosquitto7; got != want {
		t.Errorf("the file holds %q, want %q", got, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := RemoveUser(path, "al"); err == nil || err.Error() != path+`: there is no user "al"` {
		t.Errorf("got %v", err)
	}
}
