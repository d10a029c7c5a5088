package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/gateway/app"
	"github.com/tidegate/tidegate/gateway/config"
)

func newCheckCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration and say everything that is wrong with it",
		Long: "Check reads a configuration with its password and ACL files as run would, opens nothing, and names every mistake with file, line and column.\n" +
			"It plans the requests of each bus, refuses a serial line that would need more than all its time, and warns above 70 %.\n" +
			"The exit code is 0 when the configuration can be run and 2 when it cannot.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(cmd.ErrOrStderr(), path)
			if err != nil {
				return err
			}
			if err := carryOut(app.CheckAccess, cfg, cmd.ErrOrStderr()); err != nil {
				return err
			}
			if err := carryOut(app.CheckLoad, cfg, cmd.ErrOrStderr()); err != nil {
				return err
			}
			points := 0
			for _, d := range cfg.Devices {
				points += len(d.Points)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: ok: buses %d, devices %d, points %d, listeners %d, upstreams %d\n",
				path, len(cfg.Buses), len(cfg.Devices), points, len(cfg.Broker.Listeners), len(cfg.Upstreams))
			return err
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// carryOut prints the warnings of a check, and refuses what does not pass it.
func carryOut[W any](check func(*config.Config) ([]W, error), cfg *config.Config, warnings io.Writer) error {
	list, err := check(cfg)
	for _, w := range list {
		fmt.Fprintln(warnings, w)
	}
	if err != nil {
		return usageError{err}
	}
	return nil
}
