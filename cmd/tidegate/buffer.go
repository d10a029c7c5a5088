package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/api"
)

// readBuffer is a buffer that is looked into, and given back with Close.
type readBuffer interface {
	api.BufferReader
	Close() error
}

// writeBuffer is a buffer that may be changed too.
type writeBuffer interface {
	api.Buffer
	Close() error
}

// bufferVerbs are what the verbs below "buffer" share.
type bufferVerbs struct {
	flags bufferFlags
	place place // that the flags name, once a verb runs
	json  bool
	sure  bool // do not ask
}

func newBufferCommand() *cobra.Command {
	v := &bufferVerbs{}
	cmd := &cobra.Command{
		Use:   "buffer",
		Short: "Look into the buffer, take data out, clear it up",
		Long: "The verbs below ask the gateway that runs, through a socket in its data folder that only its user may open. When none runs,\n" +
			"they open the file themselves; what only reads changes nothing in it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	v.flags.add(cmd)
	cmd.AddCommand(v.newStats(), v.newList(), v.newPeek(), v.newExport(), v.newVerify(), v.newPurge(), v.newDead())
	return cmd
}

func (v *bufferVerbs) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&v.json, "json", false, "print JSON, for programs")
}

func (v *bufferVerbs) yesFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&v.sure, "yes", "y", false, "do not ask")
}

// reading makes a verb of what looks into a buffer.
func (v *bufferVerbs) reading(do func(cmd *cobra.Command, b api.BufferReader, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		var err error
		if v.place, err = v.flags.place(cmd); err != nil {
			return err
		}
		b, err := openToRead(cmd.Context(), v.place)
		if err != nil {
			return err
		}
		return errors.Join(do(cmd, b, args), b.Close())
	}
}

// change is what a verb is about to do with the records of a buffer.
type change struct {
	count    uint64 // of records
	question string // to the person who wants it
	outcome  string // told behind the number of records
	do       func(context.Context, api.Buffer) (uint64, error)
}

// planner looks into a buffer and says what is to be changed there.
type planner func(cmd *cobra.Command, b api.BufferReader, args []string) (change, error)

// changing makes a verb of what changes a buffer. It looks first, then asks, and only then opens the buffer to write.
func (v *bufferVerbs) changing(plan planner) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		var c change
		err := v.reading(func(cmd *cobra.Command, b api.BufferReader, args []string) (err error) {
			c, err = plan(cmd, b, args)
			return err
		})(cmd, args)
		if err != nil {
			return err
		}
		if c.count == 0 {
			return v.printCount(cmd.OutOrStdout(), 0, c.outcome)
		}
		if err := confirm(cmd, v.sure, c.question); err != nil {
			return err
		}
		b, err := openToWrite(cmd.Context(), v.place)
		if err != nil {
			return err
		}
		n, err := c.do(cmd.Context(), b)
		if err := errors.Join(err, b.Close()); err != nil {
			return err
		}
		return v.printCount(cmd.OutOrStdout(), n, c.outcome)
	}
}

func openToRead(ctx context.Context, p place) (readBuffer, error) {
	if client, err := dialGateway(ctx, p); client != nil || err != nil {
		return client, err
	}
	return openFile(p)
}

func openToWrite(ctx context.Context, p place) (writeBuffer, error) {
	if client, err := dialGateway(ctx, p); client != nil || err != nil {
		return client, err
	}
	return openStore(ctx, p)
}

// queueName returns the full name of a queue: an upstream's name stands for its queue. Other queues have a slash in their names.
func queueName(name string) string {
	if strings.Contains(name, "/") || name == "inbox" {
		return name
	}
	return "upstream/" + name
}

// scanQueue is b.Scan for a queue that a person has named. It does not ask for an overview before, which on a large file takes long.
func scanQueue(ctx context.Context, b api.BufferReader, name string, after uint64, fn func(gateway.Delivery) error) error {
	err := b.Scan(ctx, queueName(name), after, fn)
	if err == nil || errors.Is(err, errEnough) {
		return err
	}
	if _, missing := findQueue(ctx, b, name); errors.As(missing, new(usageError)) {
		return missing
	}
	return err
}

// findQueue returns the queue of that name with how much it holds.
func findQueue(ctx context.Context, b api.BufferReader, name string) (gateway.QueueStats, error) {
	stats, err := b.Overview(ctx)
	if err != nil {
		return gateway.QueueStats{}, err
	}
	for _, q := range stats.Queues {
		if q.Name == queueName(name) {
			return q, nil
		}
	}
	return gateway.QueueStats{}, usageError{fmt.Errorf("there is no queue %q, %s", name, thereAre(stats.Queues))}
}

// thereAre names queues, but not all thousand of them.
func thereAre(queues []gateway.QueueStats) string {
	const most = 20
	if len(queues) == 0 {
		return "and no other"
	}
	var names []string
	for _, q := range queues[:min(most, len(queues))] {
		names = append(names, q.Name)
	}
	text := "there are " + strings.Join(names, ", ")
	if more := len(queues) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more: see tidegate buffer stats", more)
	}
	return text
}
