package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// subFlags are the flags of the verb sub.
type subFlags struct {
	mqttFlags

	topics, without, unsubscribe []string
	print                        printFlags
	count                        uint64
	timeout                      float64 // seconds
	exitSubscribed               bool
	noRetained, retainedOnly     bool
	retainAsPublished            bool
	removeRetained               bool
}

func newSubCommand() *cobra.Command {
	var f subFlags
	cmd := mqttVerb(&cobra.Command{
		Use:   "sub -t FILTER [flags]",
		Short: "Subscribe to topics of any MQTT broker and print what comes, as mosquitto_sub does",
		Long: "Sub subscribes, prints each payload as a line, and goes on until it is stopped. When the connection is lost it connects again. The flags are\n" +
			"those of mosquitto_sub where it has them; the broker is any that speaks MQTT 3.1, 3.1.1 or 5, and no configuration is needed.\n" +
			"A message of QoS 1 or 2 is acknowledged when it is written to the output, so that a persistent session (-c) loses none.\n" +
			"Exit codes: 0 done, 1 failed, refused, or timed out before -C messages had come, 2 wrong use.",
		Example: "  tidegate sub -t 'tidegate/#' -v\n" +
			"  tidegate sub -h 192.168.1.20 -u ann --password-file pw -t 'hall/+/temp' -C 1 -W 5\n" +
			"  tidegate sub -L wss://broker.example/mqtt --cafile ca.pem -t alarms -q 1 -c -i panel --json",
	}, func(cmd *cobra.Command, properties [][]string) error {
		s, err := f.subscriber(cmd, properties)
		if err != nil {
			return usageError{fmt.Errorf("%w\nsee '%s --help'", err, cmd.CommandPath())}
		}
		return s.run(cmd.Context())
	})
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.topics, "topic", "t", nil, "subscribe to `FILTER`; may come several times")
	flags.StringArrayVarP(&f.without, "filter-out", "T", nil, "print nothing on topics that match `FILTER`; may come several times")
	flags.StringArrayVarP(&f.unsubscribe, "unsubscribe", "U", nil, "unsubscribe from `FILTER`, for a persistent session; may come several times")
	flags.Uint64VarP(&f.count, "count", "C", 0, "end after `N` messages")
	flags.Float64VarP(&f.timeout, "timeout", "W", 0, "end after this many `SECONDS`; before -C messages have come that is a failure")
	flags.BoolVarP(&f.exitSubscribed, "exit-subscribed", "E", false, "end as soon as the broker has confirmed the subscriptions")
	flags.BoolVarP(&f.noRetained, "no-retained", "R", false, "print no retained messages")
	flags.BoolVar(&f.retainedOnly, "retained-only", false, "print only retained messages, and end at the first that is not")
	flags.BoolVar(&f.retainAsPublished, "retain-as-published", false, "MQTT 5: show the retain flag as the publisher has set it")
	flags.BoolVar(&f.removeRetained, "remove-retained", false, "have the broker forget each retained message that comes and is not filtered out")
	f.print.add(cmd)
	return cmd
}

// subscriber turns the flags into what runs.
func (f *subFlags) subscriber(cmd *cobra.Command, properties [][]string) (*subscriber, error) {
	conn, err := f.session(cmd, "sub", properties)
	if err != nil {
		return nil, err
	}
	conn.client.Manual = true
	s := &subscriber{session: conn, flags: f, out: cmd.OutOrStdout(), log: cmd.ErrOrStderr()}
	if s.print, err = f.print.printer(cmd.ErrOrStderr()); err != nil {
		return nil, err
	}
	if conn.topic != "" {
		f.topics = append([]string{conn.topic}, f.topics...)
	}
	return s, s.requests()
}

// requests makes the packets that follow the handshake.
func (s *subscriber) requests() error {
	f := s.flags
	if len(f.topics) == 0 && len(f.unsubscribe) == 0 {
		return errors.New("nothing to subscribe to: name a topic with -t, as in -t 'tidegate/#'")
	}
	if f.noRetained && f.retainedOnly {
		return errors.New("-R and --retained-only leave nothing to print")
	}
	if f.retainAsPublished && s.client.Connect.Version != packet.V5 {
		return errors.New("--retain-as-published is for MQTT 5 only: give -V 5")
	}
	for _, filter := range f.topics {
		s.subscribe.Subscriptions = append(s.subscribe.Subscriptions, packet.Subscription{
			Filter: filter, QoS: packet.QoS(f.qos), RetainAsPublished: f.retainAsPublished,
		})
	}
	s.subscribe.Props, s.unsubscribe.Props = s.props.subscribe, s.props.unsubscribe
	s.unsubscribe.Filters = f.unsubscribe
	var errs []error
	if len(f.topics) > 0 {
		errs = append(errs, s.subscribe.Validate(s.client.Connect.Version))
	}
	if len(f.unsubscribe) > 0 {
		errs = append(errs, s.unsubscribe.Validate(s.client.Connect.Version))
	}
	for _, filter := range f.without {
		errs = append(errs, packet.ValidFilter(filter))
	}
	return errors.Join(errs...)
}

// errTimedOut tells that -W has passed.
var errTimedOut = errors.New("timed out")

// run subscribes until there is a reason to end.
func (s *subscriber) run(ctx context.Context) error {
	if s.flags.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(s.flags.timeout*float64(time.Second)), errTimedOut)
		defer cancel()
	}
	err := s.keepConnected(ctx)
	switch {
	case errors.Is(err, errTimedOut) && s.count < s.flags.count:
		return fmt.Errorf("timed out after %v s with %d of %d messages", s.flags.timeout, s.count, s.flags.count)
	case errors.Is(err, errTimedOut), errors.Is(err, errDone), errors.Is(err, context.Canceled): // a signal is how it is ended
		return nil
	}
	return err
}
