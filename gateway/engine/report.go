package engine

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// fault is what goes wrong with the polls of a group.
type fault struct {
	text  string // as logged
	clean int    // polls in a row without an error
}

// report logs what went wrong with a poll: once for as long as it stays the same, also when it comes and goes.
func (b *bus) report(d *device, p *poll, now time.Time) {
	for _, g := range p.groups[:p.at+1] {
		f := &d.faults[g]
		if p.err == nil || g != p.failed {
			b.reportClean(d, f, now)
			continue
		}
		f.clean = 0
		if text := p.err.Error(); text != f.text {
			f.text = text
			args := []any{"error", text, "points", d.unread(p.groups)}
			if p.errs > 1 {
				args = append(args, "other_requests_failed", p.errs-1)
			}
			b.tell(d, now, slog.LevelWarn, "poll failed, in part or as a whole", args...)
		}
	}
}

// reportClean logs that nothing goes wrong any more, when that has lasted.
func (b *bus) reportClean(d *device, f *fault, now time.Time) {
	if f.clean++; f.text == "" || f.clean < quietPolls {
		return
	}
	f.text = ""
	if !slices.ContainsFunc(d.faults, func(f fault) bool { return f.text != "" }) {
		b.tell(d, now, slog.LevelInfo, "device is polled without errors again")
	}
}

// tell logs a change of a device, or counts it as left out when it changes all the time.
func (b *bus) tell(d *device, now time.Time, level slog.Level, text string, args ...any) {
	args = append([]any{"device", d.Name}, args...)
	d.log.Do(now, func(leftOut uint64) {
		b.log.Log(context.Background(), level, text, withLeftOut(args, leftOut)...)
	})
}

// withLeftOut adds how many lines were left out before this one.
func withLeftOut(args []any, n uint64) []any {
	if n > 0 {
		args = append(args, "left_out", n)
	}
	return args
}

// unreadNames bounds the names that unread lists.
const unreadNames = 5

// unread says which points of the groups the last poll brought nothing for, such as "2 of 8: a, b". A value that was read and is none, as by
// the device's own word, is not among them.
func (d *device) unread(groups []int) string {
	var names []string
	points := 0
	for _, g := range groups {
		points += len(d.Groups[g].Points)
		for _, p := range d.Groups[g].Points {
			if d.readings[p].Quality != gateway.QualityGood && !wasRead(d.readings[p].Reason) {
				names = append(names, d.names[p])
			}
		}
	}
	more := ""
	if len(names) > unreadNames {
		more = ", ..."
	}
	return fmt.Sprintf("%d of %d: %s%s", len(names), points, strings.Join(names[:min(len(names), unreadNames)], ", "), more)
}

// wasRead reports whether a reading is bad for what the device answered.
func wasRead(r gateway.Reason) bool {
	return r == gateway.ReasonOutOfRange || r == gateway.ReasonNotNumber || r == gateway.ReasonSentinel
}
