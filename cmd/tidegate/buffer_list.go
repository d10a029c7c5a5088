package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/api"
)

// errEnough ends a scan that has found what was wanted.
var errEnough = errors.New("enough was found")

// summary is a delivery in a list, for programs.
type summary struct {
	Position uint64 `json:"position"`
	Seq      uint64 `json:"seq"`
	Time     string `json:"time"`
	Kind     string `json:"kind"`
	Topic    string `json:"topic,omitempty"`
	Bytes    int    `json:"bytes"`
}

func (v *bufferVerbs) newList() *cobra.Command {
	var limit int
	var after uint64
	cmd := &cobra.Command{
		Use:   "list QUEUE",
		Short: "List what a queue holds: position, number, time, bytes, topic",
		Args:  cobra.ExactArgs(1),
	}
	cmd.RunE = v.reading(func(cmd *cobra.Command, b api.BufferReader, args []string) error {
		out := cmd.OutOrStdout()
		head := sync.OnceFunc(func() { v.listHead(out) }) // not above an error
		n := 0
		err := scanQueue(cmd.Context(), b, args[0], after, func(d gateway.Delivery) error {
			if n++; limit > 0 && n > limit {
				return errEnough
			}
			head()
			return v.listOne(out, d)
		})
		if err == nil {
			head()
		}
		if errors.Is(err, errEnough) {
			fmt.Fprint(cmd.ErrOrStderr(), "there are more: --limit 0 lists all\n")
			return nil
		}
		return err
	})
	cmd.Flags().IntVar(&limit, "limit", 50, "list `N` at most; 0: all")
	cmd.Flags().Uint64Var(&after, "after", 0, "begin behind `POSITION`")
	v.jsonFlag(cmd)
	return cmd
}

// listRow has its last column free: a table that is lined up would have to be held in memory.
const listRow = "%-10v  %-10v  %-30v  %-7v  %7v  %v\n"

func (v *bufferVerbs) listHead(w io.Writer) {
	if !v.json {
		fmt.Fprintf(w, listRow, "POSITION", "SEQ", "TIME", "KIND", "BYTES", "TOPIC")
	}
}

func (v *bufferVerbs) listOne(w io.Writer, d gateway.Delivery) error {
	e := newEntry(d)
	if v.json {
		return printJSON(w, summary{e.Position, e.Seq, e.Time, e.Kind, e.Topic, e.size(d)})
	}
	_, err := fmt.Fprintf(w, listRow, e.Position, e.Seq, e.Time, e.Kind, e.size(d), e.title())
	return err
}

func (v *bufferVerbs) newPeek() *cobra.Command {
	var position uint64
	cmd := &cobra.Command{
		Use:   "peek QUEUE",
		Short: "Show one record whole, the oldest of the queue unless --position names another",
		Args:  cobra.ExactArgs(1),
	}
	cmd.RunE = v.reading(func(cmd *cobra.Command, b api.BufferReader, args []string) error {
		name := queueName(args[0])
		var e *entry
		err := scanQueue(cmd.Context(), b, args[0], max(position, 1)-1, func(d gateway.Delivery) error {
			if position == 0 || d.Pos == position {
				found := newEntry(d)
				e = &found
			}
			return errEnough
		})
		switch {
		case err != nil && !errors.Is(err, errEnough):
			return err
		case e == nil && position == 0:
			return fmt.Errorf("queue %s is empty", name)
		case e == nil:
			return usageError{fmt.Errorf("queue %s holds nothing at position %d: see tidegate buffer list %s", name, position, name)}
		}
		return v.show(cmd.OutOrStdout(), e)
	})
	cmd.Flags().Uint64Var(&position, "position", 0, "show the record at position `N`, as list gives it")
	v.jsonFlag(cmd)
	return cmd
}

// show prints an entry whole.
func (v *bufferVerbs) show(w io.Writer, e *entry) error {
	if v.json {
		return printJSON(w, e)
	}
	return e.print(w)
}

// fact is a line of what is printed for a person; without a text it is left out.
type fact struct{ name, text string }

func printFacts(w io.Writer, facts []fact) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range facts {
		if f.text != "" {
			fmt.Fprintf(tw, "%s\t%s\n", f.name, f.text)
		}
	}
	return tw.Flush()
}

func (e *entry) print(w io.Writer) error {
	taken := e.Time
	if e.ClockUnset {
		taken += ", by a clock that was not set"
	}
	facts := []fact{
		{"position", fmt.Sprint(e.Position)},
		{"seq", fmt.Sprint(e.Seq)},
		{"time", taken},
		{"origin", printable(e.Origin)},
		{"kind", e.Kind},
		{"topic", e.title()},
		{"qos", fmt.Sprint(e.QoS)},
		{"retain", yes(e.Retain)},
	}
	facts = append(facts, e.Properties.facts()...)
	if err := printFacts(w, facts); err != nil {
		return err
	}
	switch {
	case e.Readings != nil:
		return printReadings(w, e.Readings)
	case e.Payload != "":
		_, err := fmt.Fprintf(w, "\n%s\n", printableLines(e.Payload))
		return err
	case e.PayloadBase64 != nil:
		_, err := fmt.Fprintf(w, "\n%s", hexLines(e.PayloadBase64))
		return err
	}
	return nil
}

func (p *properties) facts() []fact {
	if p == nil {
		return nil
	}
	facts := []fact{{"content type", printable(p.ContentType)}, {"response topic", printable(p.ResponseTopic)}}
	if p.CorrelationData != nil {
		facts = append(facts, fact{"correlation", fmt.Sprintf("%x", p.CorrelationData)})
	}
	if p.Expiry != nil {
		facts = append(facts, fact{"expires after", fmt.Sprintf("%d s", *p.Expiry)})
	}
	for _, u := range p.User {
		facts = append(facts, fact{"user property", printable(u)})
	}
	return facts
}

func printReadings(w io.Writer, list []reading) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nPOINT\tVALUE\tQUALITY\tREASON")
	for _, r := range list {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", r.Point, printable(string(r.Value)), r.Quality, r.Reason)
	}
	return tw.Flush()
}

func yes(v bool) string {
	if v {
		return "yes"
	}
	return ""
}

// printableLines is text of several lines as it may be shown.
func printableLines(text string) string {
	var b bytes.Buffer
	for i, l := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(printable(strings.TrimSuffix(l, "\r")))
	}
	return b.String()
}
