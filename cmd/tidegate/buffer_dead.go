package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/api"
)

// deadEntry is a record that was set aside, for programs. Record is missing when what was stored cannot be read.
type deadEntry struct {
	N        int64  `json:"n"`
	Queue    string `json:"queue"`
	Position uint64 `json:"position"`
	Time     string `json:"set_aside"`
	Reason   string `json:"reason"`
	Record   *entry `json:"record,omitempty"`
	Stored   []byte `json:"stored_base64,omitempty"` // what cannot be read
}

func newDeadEntry(d gateway.DeadRecord) deadEntry {
	e := deadEntry{N: d.N, Queue: d.Queue, Position: d.Pos, Time: instant(d.Time), Reason: d.Reason}
	if d.Record == nil {
		e.Stored = d.Bytes
		return e
	}
	inner := newEntry(gateway.Delivery{Pos: d.Pos, Record: d.Record})
	if m, ok := d.Record.Body.(*gateway.Message); ok {
		inner.QoS, inner.Retain = m.QoS, m.Retain
	}
	e.Record = &inner
	return e
}

func (v *bufferVerbs) newDead() *cobra.Command {
	list := v.newDeadList()
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "Look after records that were set aside because nobody could read or take them",
		Args:  cobra.NoArgs,
		RunE:  list.RunE,
	}
	v.jsonFlag(cmd)
	cmd.AddCommand(list, v.newDeadShow(), v.newDeadExport(), v.newDeadDrop(), v.newDeadRetry())
	return cmd
}

func (v *bufferVerbs) newDeadList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List them, the oldest first", Args: cobra.NoArgs}
	cmd.RunE = v.reading(func(cmd *cobra.Command, b api.BufferReader, _ []string) error {
		const row = "%-6v  %-24v  %-10v  %-30v  %v\n"
		out := cmd.OutOrStdout()
		if !v.json {
			fmt.Fprintf(out, row, "N", "QUEUE", "POSITION", "SET ASIDE", "REASON")
		}
		return b.Dead(cmd.Context(), func(d gateway.DeadRecord) error {
			if v.json {
				return printJSON(out, newDeadEntry(d))
			}
			_, err := fmt.Fprintf(out, row, d.N, printable(d.Queue), d.Pos, instant(d.Time), printable(d.Reason))
			return err
		})
	})
	v.jsonFlag(cmd)
	return cmd
}

func (v *bufferVerbs) newDeadShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show N", Short: "Show one of them whole", Args: cobra.ExactArgs(1)}
	cmd.RunE = v.reading(func(cmd *cobra.Command, b api.BufferReader, args []string) error {
		numbers, err := parseNumbers(args)
		if err != nil {
			return err
		}
		var found *deadEntry
		err = b.Dead(cmd.Context(), func(d gateway.DeadRecord) error {
			if d.N != numbers[0] {
				return nil
			}
			e := newDeadEntry(d)
			found = &e
			return errEnough
		})
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
		if found == nil {
			return usageError{fmt.Errorf("no record that was set aside has number %d: see tidegate buffer dead list", numbers[0])}
		}
		if v.json {
			return printJSON(cmd.OutOrStdout(), found)
		}
		return found.print(cmd.OutOrStdout())
	})
	v.jsonFlag(cmd)
	return cmd
}

func (e *deadEntry) print(w io.Writer) error {
	err := printFacts(w, []fact{
		{"number", strconv.FormatInt(e.N, 10)}, {"queue", printable(e.Queue)}, {"set aside", e.Time}, {"reason", printable(e.Reason)},
	})
	if err != nil || e.Record != nil {
		return errors.Join(err, e.printRecord(w))
	}
	_, err = fmt.Fprintf(w, "\nit cannot be read; stored were %d bytes:\n%s", len(e.Stored), hexLines(e.Stored))
	return err
}

func (e *deadEntry) printRecord(w io.Writer) error {
	fmt.Fprintln(w)
	return e.Record.print(w)
}

// hexLines shows bytes in rows of 16.
func hexLines(b []byte) string { return hex.Dump(b) }

func (v *bufferVerbs) newDeadExport() *cobra.Command {
	var path string
	cmd := &cobra.Command{Use: "export", Short: "Write them as JSON lines, and leave them there", Args: cobra.NoArgs}
	cmd.RunE = v.reading(func(cmd *cobra.Command, b api.BufferReader, _ []string) error {
		return toFile(cmd.OutOrStdout(), path, func(w io.Writer) error {
			return b.Dead(cmd.Context(), func(d gateway.DeadRecord) error { return printJSON(w, newDeadEntry(d)) })
		})
	})
	cmd.Flags().StringVarP(&path, "output", "o", "", "write to `FILE`, whole or not at all, instead of standard output")
	return cmd
}

func (v *bufferVerbs) newDeadDrop() *cobra.Command {
	cmd := &cobra.Command{Use: "drop {N... | --all}", Short: "Delete some of them"}
	v.numbered(cmd, "Delete", "deleted", api.Buffer.DropDead)
	return cmd
}

func (v *bufferVerbs) newDeadRetry() *cobra.Command {
	cmd := &cobra.Command{Use: "retry {N... | --all}", Short: "Put some of them back, behind the end of their queue"}
	v.numbered(cmd, "Put back", "put back", api.Buffer.RetryDead)
	return cmd
}

// numbered makes cmd do something with the records whose numbers are its arguments.
func (v *bufferVerbs) numbered(cmd *cobra.Command, verb, outcome string, do func(api.Buffer, context.Context, ...int64) (int64, error)) {
	var all bool
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if all == (len(args) > 0) {
			return errors.New("name numbers, as dead list gives them, or say --all")
		}
		return nil
	}
	cmd.RunE = v.changing(func(cmd *cobra.Command, b api.BufferReader, args []string) (change, error) {
		numbers, err := parseNumbers(args)
		if all {
			numbers, err = allDead(cmd.Context(), b)
		}
		return change{
			count: uint64(len(numbers)), question: fmt.Sprintf("%s %d records?", verb, len(numbers)), outcome: "records " + outcome,
			do: func(ctx context.Context, b api.Buffer) (uint64, error) { return inChunks(ctx, b, numbers, do) },
		}, err
	})
	cmd.Flags().BoolVar(&all, "all", false, "all that are there now")
	v.yesFlag(cmd)
	v.jsonFlag(cmd)
}

// inChunks keeps each request and each transaction small.
func inChunks(ctx context.Context, b api.Buffer, numbers []int64, do func(api.Buffer, context.Context, ...int64) (int64, error)) (total uint64, err error) {
	for some := range slices.Chunk(numbers, 1000) {
		n, err := do(b, ctx, some...)
		total += uint64(n)
		if err != nil {
			return total, fmt.Errorf("%w (%d of %d were done before)", err, total, len(numbers))
		}
	}
	return total, nil
}

func allDead(ctx context.Context, b api.BufferReader) (numbers []int64, err error) {
	err = b.Dead(ctx, func(d gateway.DeadRecord) error {
		numbers = append(numbers, d.N)
		return nil
	})
	return numbers, err
}

func parseNumbers(args []string) ([]int64, error) {
	var numbers []int64
	for _, a := range args {
		n, err := strconv.ParseInt(strings.TrimPrefix(a, "#"), 10, 64)
		if err != nil || n <= 0 {
			return nil, usageError{fmt.Errorf("%s is no number of a record that was set aside: see tidegate buffer dead list", a)}
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}
