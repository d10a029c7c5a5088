package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// pubFlags are the flags of the verb pub.
type pubFlags struct {
	mqttFlags

	topic, message, file string
	lines, stdin, null   bool
	retain               bool
	repeat               uint64
	repeatDelay          float64 // seconds
	inflight             uint16
}

func newPubCommand() *cobra.Command {
	var f pubFlags
	cmd := mqttVerb(&cobra.Command{
		Use:   "pub -t TOPIC {-m TEXT | -f FILE | -s | -l | -n} [flags]",
		Short: "Publish messages to any MQTT broker, as mosquitto_pub does",
		Long: "Pub publishes one message, or with -l one for each line of standard input, and ends when the broker has taken it. The flags are those of\n" +
			"mosquitto_pub where it has them; the broker is any that speaks MQTT 3.1, 3.1.1 or 5, and no configuration is needed.\n" +
			"At QoS 0 a message is sent and nobody says whether it arrived; at QoS 1 and 2 exit code 0 means that the broker has it. With -l and QoS 1 or 2\n" +
			"a lost connection is made again, and lines that were not acknowledged are sent again: some may come twice, none is lost.\n" +
			"Exit codes: 0 done, 1 failed or refused, 2 wrong use.",
		Example: "  tidegate pub -t hall/lamp/set -m on -q 1\n" +
			"  tidegate pub -h 192.168.1.20 -u ann --password-file pw -t tidegate/gw/drive/setpoint/set -m 42 -q 1\n" +
			"  tail -f log | tidegate pub -L mqtts://broker.example/logs --cafile ca.pem -l -q 1",
	}, func(cmd *cobra.Command, properties [][]string) error {
		p, err := f.publisher(cmd, properties)
		if err != nil {
			return usageError{fmt.Errorf("%w\nsee '%s --help'", err, cmd.CommandPath())}
		}
		return p.run(cmd.Context())
	})
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&f.topic, "topic", "t", "", "publish on `TOPIC`")
	flags.StringVarP(&f.message, "message", "m", "", "publish `TEXT`")
	flags.StringVarP(&f.file, "file", "f", "", "publish the content of `FILE`")
	flags.BoolVarP(&f.stdin, "stdin-file", "s", false, "publish all of standard input as one message")
	flags.BoolVarP(&f.lines, "stdin-line", "l", false, "publish each line of standard input as a message")
	flags.BoolVarP(&f.null, "null-message", "n", false, "publish an empty message; with -r it makes the broker forget the retained one")
	flags.BoolVarP(&f.retain, "retain", "r", false, "have the broker retain the message for later subscribers")
	flags.Uint64Var(&f.repeat, "repeat", 1, "publish the message `N` times; not with -l")
	flags.Float64Var(&f.repeatDelay, "repeat-delay", 0, "wait this many `SECONDS` between them")
	flags.Uint16VarP(&f.inflight, "max-inflight", "M", 20, "have at most `N` messages of QoS 1 and 2 under way")
	return cmd
}

// publisher turns the flags into what runs.
func (f *pubFlags) publisher(cmd *cobra.Command, properties [][]string) (*publisher, error) {
	conn, err := f.session(cmd, "pub", properties)
	if err != nil {
		return nil, err
	}
	conn.client.Manual, conn.client.MaxInflight = true, int(f.inflight)
	if conn.topic != "" && f.topic != "" {
		return nil, errors.New("-t and the URL both name a topic: give one of them")
	}
	p := &publisher{session: conn, flags: f, in: cmd.InOrStdin(), log: cmd.ErrOrStderr()}
	p.message = packet.Publish{Topic: []byte(f.topic + conn.topic), QoS: packet.QoS(f.qos), Retain: f.retain, Props: conn.props.publish}
	if len(p.message.Topic) == 0 {
		return nil, errors.New("name the topic with -t")
	}
	if err := packet.ValidTopic(string(p.message.Topic)); err != nil {
		return nil, fmt.Errorf("-t %s: %w: a topic to publish on names one place, without + and #", p.message.Topic, err)
	}
	return p, errors.Join(f.checkSource(cmd), p.message.Validate(conn.client.Connect.Version))
}

// checkSource finds whether there is exactly one source of messages.
func (f *pubFlags) checkSource(cmd *cobra.Command) error {
	sources := 0
	for _, name := range []string{"message", "file", "stdin-file", "stdin-line", "null-message"} {
		if cmd.Flags().Changed(name) {
			sources++
		}
	}
	switch {
	case sources == 0:
		return errors.New("nothing to publish: give -m TEXT, -f FILE, -s, -l, or -n for an empty message")
	case sources > 1:
		return errors.New("-m, -f, -s, -l and -n each say what to publish: give one of them")
	case f.lines && cmd.Flags().Changed("repeat"):
		return errors.New("--repeat is for a single message, not for -l")
	case f.inflight == 0:
		return errors.New("-M 0: nothing could be sent; use 1 or more")
	}
	return nil
}

// run publishes what the flags ask for.
func (p *publisher) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	source, err := p.source(ctx)
	if err != nil {
		return err
	}
	err = p.keepPublishing(ctx, source)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	return err
}

// delay is the wait between repeated messages.
func (f *pubFlags) delay() time.Duration { return time.Duration(f.repeatDelay * float64(time.Second)) }
