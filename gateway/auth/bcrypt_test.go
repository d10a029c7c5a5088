package auth

import (
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
