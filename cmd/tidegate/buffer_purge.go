package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/api"
)

func (v *bufferVerbs) newPurge() *cobra.Command {
	var through string
	cmd := &cobra.Command{
		Use:   "purge QUEUE",
		Short: "Give up what a queue holds: it is never delivered",
		Long: "Purge acknowledges the deliveries of a queue in its consumer's place. An upstream is told with a gap record. Commands to devices cannot\n" +
			"be purged, since who sent them waits for an answer.",
		Example: "  tidegate buffer purge cloud --through 4711\n  tidegate buffer purge cloud --through seq:100000 --yes",
		Args:    cobra.ExactArgs(1),
	}
	cmd.RunE = v.changing(func(cmd *cobra.Command, b api.BufferReader, args []string) (change, error) {
		q, err := findQueue(cmd.Context(), b, args[0])
		if err != nil {
			return change{}, err
		}
		last, n, err := purgeRange(cmd.Context(), b, q, through)
		return change{
			count: n, question: fmt.Sprintf("Give up %d deliveries of queue %s?", n, q.Name), outcome: "deliveries of queue " + q.Name + " given up",
			do: func(ctx context.Context, b api.Buffer) (uint64, error) { return b.Purge(ctx, q.Name, last) },
		}, err
	})
	cmd.Flags().StringVar(&through, "through", "", "only what lies up to `POSITION`, or up to a number of the gateway: seq:N")
	v.yesFlag(cmd)
	v.jsonFlag(cmd)
	return cmd
}

// purgeRange returns the last position that is meant, 0 for all, and how many deliveries lie up to there.
func purgeRange(ctx context.Context, b api.BufferReader, q gateway.QueueStats, through string) (last, n uint64, err error) {
	if through == "" {
		return 0, q.Depth, nil
	}
	text, bySeq := strings.CutPrefix(through, "seq:")
	limit, err := strconv.ParseUint(text, 10, 64)
	if err != nil || limit == 0 {
		return 0, 0, usageError{fmt.Errorf("--through %s: write a position, as list gives it, or seq:N", through)}
	}
	err = b.Scan(ctx, q.Name, 0, func(d gateway.Delivery) error {
		if !bySeq && d.Pos > limit || bySeq && d.Record.Seq > limit {
			return errEnough
		}
		last = d.Pos
		n++
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return last, n, err
}

// confirm asks on the terminal, unless the user has said that he is sure. Without either nothing is done.
func confirm(cmd *cobra.Command, sure bool, question string) error {
	if sure {
		return nil
	}
	in := cmd.InOrStdin()
	if !isTerminal(in) {
		return usageError{fmt.Errorf("%s There is no terminal to ask on: say --yes", question)}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}

// printCount tells with how many records something was done.
func (v *bufferVerbs) printCount(w io.Writer, n uint64, what string) error {
	if v.json {
		return printJSON(w, struct {
			Count uint64 `json:"count"`
		}{n})
	}
	_, err := fmt.Fprintf(w, "%d %s\n", n, what)
	return err
}
