package buffer

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Wills were written with two columns first, had four since schema 2, and have five since schema 3. Salvage reads all, also that of a client whose identifier is the
// topic of its will, which without a delay looks like a retained message.
func TestSalvageReadsWillsOfAllForms(t *testing.T) {
	text := func(s string) column { return column{kind: isText, value: []byte(s)} }
	body := column{kind: isBlob, value: encodeMessage(&gateway.Message{Topic: "w"}, time.Time{})}
	number := func(n int64) column { return column{kind: isNumber, n: n} }
	for name, c := range map[string]struct {
		columns []column
		client  string
		want    brokenWill
	}{
		"of schema 1":             {[]column{text("c"), body}, "c", brokenWill{}},
		"of a client that is on":  {[]column{text("c"), body, number(5), {kind: isNull}}, "c", brokenWill{delay: 5}},
		"of one that has left":    {[]column{text("c"), body, number(5), number(7)}, "c", brokenWill{delay: 5, due: int64(7)}},
		"of schema 3":             {[]column{text("c"), body, number(5), {kind: isNull}, text("u")}, "c", brokenWill{delay: 5, user: "u"}},
		"whose topic is its name": {[]column{text("w"), body, number(0), {kind: isNull}}, "w", brokenWill{}},
	} {
		t.Run(name, func(t *testing.T) {
			if k := kindOf(c.columns); k != rowMessage {
				t.Fatalf("taken for a row of kind %d", k)
			}
			b := newBroken()
			b.take(row{kind: rowMessage, columns: c.columns})
			w, ok := b.wills[c.client]
			if !ok || w.delay != c.want.delay || w.due != c.want.due || w.user != c.want.user || len(w.body) == 0 || len(b.retained) != 0 {
				t.Errorf("got %+v, retained %v", b.wills, b.retained)
			}
		})
	}
}
