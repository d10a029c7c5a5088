package auth

import (
	"os/exec"
	"strings"
	"testing"
)

// What crypt(3) makes of "secret". The three kinds share their salt and key.
const bcryptSecret = "$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"

func TestBcryptIsRead(t *testing.T) {
	p, err := LoadPasswords(writeFile(t, "a:$2a"+bcryptSecret+"\nb:$2b"+bcryptSecret+"\ny:$2y"+bcryptSecret+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"a", "b", "y"} {
		if !p.Check(t.Context(), user, []byte("secret")) {
			t.Errorf("%s: the right password is refused", user)
		}
		for _, wrong := range []string{"", "Secret", "secret\x00", strings.Repeat("s", 1000)} {
			if p.Check(t.Context(), user, []byte(wrong)) {
				t.Errorf("%s: password %q is accepted", user, wrong)
			}
		}
	}
}

// TestBcryptOfAnotherProgram reads lines that libxcrypt has made, which is crypt(3) of Debian: "perl -e 'print crypt(PASSWORD, SALT)'".
func TestBcryptOfAnotherProgram(t *testing.T) {
	for _, tt := range []struct{ line, right, wrong string }{
		{"$2b$05$abcdefghijklmnopqrstuuZVEMa1pjhlynBQ1qXmSvGBJpN9h1w8G", "p\u00e4ssw\u00f6rd", "p\xe4ssw\xf6rd"},
		{"$2a$04$....................../dCAsp4PpJoDgv6BeaLP6BKrXlBV1oi", "secret", "secret "},
		{"$2y$06$ZZZZZZZZZZZZZZZZZZZZZuXVwQ08UyQBnIZhsZrgBDiHpqcndqc4y", "secret", "secre"},
		{"$2y$06$abcdefghijklmnopqrstuuxLa0AkDDSrQ9VwNnETzOsObiucpMYgC", "secret", ""},
		{"$2a$04$abcdefghijklmnopqrstuuBzzIgyKkz7xMWYSzkIjUSnxEQFQ0WNe", strings.Repeat("a", 72), strings.Repeat("a", 71)},
	} {
		p, err := LoadPasswords(writeFile(t, "ann:"+tt.line+"\n"))
		if err != nil {
			t.Error(err)
			continue
		}
		if !p.Check(t.Context(), "ann", []byte(tt.right)) {
			t.Errorf("%s: %q is refused", tt.line, tt.right)
		}
		if p.Check(t.Context(), "ann", []byte(tt.wrong)) {
			t.Errorf("%s: %q is accepted", tt.line, tt.wrong)
		}
	}
}

// TestBcryptOfPerl has the machine's crypt(3) make a line now.
func TestBcryptOfPerl(t *testing.T) {
	perl, err := exec.LookPath("perl")
	if err != nil {
		t.Skip("perl is not installed")
	}
	const password, salt = "of now \u20ac", "$2b$04$0123456789ABCDEFGHIJKu"
	out, err := exec.Command(perl, "-e", "print crypt($ARGV[0], $ARGV[1])", password, salt).Output()
	if err != nil || !strings.HasPrefix(string(out), salt[:7]) {
		t.Skipf("crypt(3) of this machine knows no bcrypt: %q, %v", out, err)
	}
	p, err := LoadPasswords(writeFile(t, "ann:"+string(out)+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !p.Check(t.Context(), "ann", []byte(password)) || p.Check(t.Context(), "ann", []byte("of now")) {
		t.Errorf("%s is not read as the hash of %q", out, password)
	}
}

func TestBcryptLinesAreChecked(t *testing.T) {
	body := strings.TrimPrefix(bcryptSecret, "$05$")
	for line, want := range map[string]string{
		"$2b$15$" + body:                        `the cost "15" of a bcrypt hash is outside 04 to 14`,
		"$2b$31$" + body:                        `the cost "31" of a bcrypt hash is outside 04 to 14`,
		"$2b$03$" + body:                        `the cost "03" of a bcrypt hash is outside 04 to 14`,
		"$2b$5$" + body:                         `the cost "5" of a bcrypt hash is outside 04 to 14`,
		"$2b$xx$" + body:                        `the cost "xx" of a bcrypt hash is outside 04 to 14`,
		"$2b$05$" + body[1:]:                    "the bcrypt hash is incomplete: 53 characters of salt and key are needed",
		"$2b$05$" + "=" + body[1:]:              "the bcrypt hash is incomplete: 53 characters of salt and key are needed",
		"$2b$05$" + body[:20] + "!" + body[21:]: "the bcrypt hash is incomplete: 53 characters of salt and key are needed",
		"$2b$05":                                "the $2b$ hash is incomplete",
	} {
		if _, err := parseHash(line); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", line, err, want)
		}
	}
}
