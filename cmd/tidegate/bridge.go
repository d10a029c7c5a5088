package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/bridge"
	"github.com/tidegate/tidegate/gateway/app"
	"github.com/tidegate/tidegate/gateway/config"
)

// probe walks from the name of an upstream's server to a message that it has taken, and reports each step as it ends.
type probe func(ctx context.Context, cfg *config.Config, upstream string, report func(bridge.Step)) error

// probeUpstream is the probe of a real upstream.
func probeUpstream(ctx context.Context, cfg *config.Config, upstream string, report func(bridge.Step)) error {
	opts, err := app.ProbeOptions(cfg, upstream)
	if err != nil {
		return err
	}
	bridge.Probe(ctx, opts, report)
	return nil
}

// newBridgeCommand returns the verbs about upstreams. It is given the probe, so that a test can do without an upstream.
func newBridgeCommand(p probe) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bridge",
		Short: "Look after the connections to upstreams",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBridgeTest(p))
	return cmd
}

func newBridgeTest(p probe) *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "test [UPSTREAM]",
		Short: "Try an upstream step by step, and explain what fails",
		Long: "Test resolves the server's name, connects, checks certificates, logs in, subscribes and publishes one message, and says in words what to do\n" +
			"about a step that fails. It uses a client id of its own, so that a gateway that runs stays connected; but where a cloud knows the gateway\n" +
			"by its client id alone, that one is cut off and comes back by itself. Without a name it tries all upstreams of the configuration.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadConfig(cmd.ErrOrStderr(), path)
			if err != nil {
				return err
			}
			names, err := upstreamsToTest(cfg, args)
			if err != nil {
				return err
			}
			var errs []error
			for _, name := range names {
				show := stepPrinter(cmd.OutOrStdout(), name, asJSON)
				errs = append(errs, testUpstream(cmd.Context(), p, cfg, name, show))
			}
			return errors.Join(errs...)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, for programs")
	return cmd
}

// upstreamsToTest returns the names of the upstreams that args mean.
func upstreamsToTest(cfg *config.Config, args []string) ([]string, error) {
	var names []string
	for _, u := range cfg.Upstreams {
		if len(args) == 0 || args[0] == u.Name {
			names = append(names, u.Name)
		}
	}
	switch {
	case len(cfg.Upstreams) == 0:
		return nil, usageError{errors.New("the configuration has no [[upstream]] to test")}
	case len(names) == 0:
		var have []string
		for _, u := range cfg.Upstreams {
			have = append(have, u.Name)
		}
		return nil, usageError{fmt.Errorf("there is no upstream %q, there are %s", args[0], strings.Join(have, ", "))}
	}
	return names, nil
}

// testUpstream shows each step. It fails when one of them has failed: what it was is shown already.
func testUpstream(ctx context.Context, p probe, cfg *config.Config, name string, show func(bridge.Step) error) error {
	var failed string
	var showErr error
	err := p(ctx, cfg, name, func(s bridge.Step) {
		if !s.OK && failed == "" {
			failed = fmt.Sprintf("step %q of %s", s.Name, s.Server)
		}
		showErr = errors.Join(showErr, show(s))
	})
	if err == nil && failed != "" {
		err = fmt.Errorf("upstream %s: %s failed", name, failed)
	}
	return errors.Join(err, showErr)
}

// stepPrinter returns what prints the steps of one upstream as they come.
func stepPrinter(w io.Writer, upstream string, asJSON bool) func(bridge.Step) error {
	if asJSON {
		return func(s bridge.Step) error { return printJSON(w, newStepDoc(upstream, s)) }
	}
	paint := newPainter(w)
	server := ""
	return func(s bridge.Step) error {
		if s.Server != server {
			server = s.Server
			fmt.Fprintf(w, "upstream %s, %s\n", upstream, server)
		}
		return printStep(w, paint, s)
	}
}

func printStep(w io.Writer, paint painter, s bridge.Step) error {
	state := paint.good("ok    ")
	if !s.OK {
		state = paint.bad("failed")
	}
	_, err := fmt.Fprintf(w, "  %s  %-9s  %8s  %s\n", state, s.Name, tookText(s.Took), printable(s.Detail))
	if err == nil && s.Advice != "" {
		_, err = fmt.Fprintf(w, "          %s\n", strings.ReplaceAll(printableLines(s.Advice), "\n", "\n          "))
	}
	return err
}

// tookText prints a duration as exactly as a person can use, nothing for a step that had nothing to do.
func tookText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// stepDoc is a step for programs.
type stepDoc struct {
	Upstream string  `json:"upstream"`
	Server   string  `json:"server"`
	Step     string  `json:"step"`
	OK       bool    `json:"ok"`
	Took     float64 `json:"took_seconds"`
	Detail   string  `json:"detail,omitempty"`
	Advice   string  `json:"advice,omitempty"`
}

func newStepDoc(upstream string, s bridge.Step) stepDoc {
	return stepDoc{upstream, s.Server, s.Name, s.OK, s.Took.Seconds(), s.Detail, s.Advice}
}
