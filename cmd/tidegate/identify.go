package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/gateway/app"
)

func newIdentifyCommand() *cobra.Command {
	var (
		path        string
		all, asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "identify [DEVICE...]",
		Short: "Ask Modbus devices what they are",
		Long: "Identify asks the devices of the configuration, or those named, for their vendor, product code and revision (Modbus function 43/14), which\n" +
			"newer devices know. It opens the buses itself: a serial port that a running gateway holds is in use, so stop that one first.\n" +
			"The exit code is 1 when one of them did not tell.",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadConfig(cmd.ErrOrStderr(), path)
			if err != nil {
				return err
			}
			level := app.IdentifyBasic
			if all {
				level = app.IdentifyExtended
			}
			show := identityPrinter(cmd.OutOrStdout(), asJSON)
			var errs []error
			err = app.Identify(cmd.Context(), cfg, args, level, slog.New(slog.DiscardHandler), func(id app.Identity) {
				errs = append(errs, id.Err, show(id))
			})
			if errors.Is(err, app.ErrNoDevice) {
				return usageError{err}
			}
			return errors.Join(append(errs, err)...)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&all, "all", false, "ask for everything that the device tells")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, for programs")
	return cmd
}

// identityDoc is an identity as JSON: what the device says, or the error.
type identityDoc struct {
	Device string            `json:"device"`
	Says   map[string]string `json:"says,omitempty"`
	Error  string            `json:"error,omitempty"`
}

// identityPrinter returns what prints identities as they come. Without JSON the error is left to the end, where all are.
func identityPrinter(w io.Writer, asJSON bool) func(app.Identity) error {
	if !asJSON {
		return func(id app.Identity) error { return printIdentity(w, id) }
	}
	return func(id app.Identity) error {
		doc := identityDoc{Device: id.Device}
		if id.Err != nil {
			doc.Error = id.Err.Error()
		}
		for _, e := range id.Says {
			if doc.Says == nil {
				doc.Says = map[string]string{}
			}
			doc.Says[e.Name] = e.Value
		}
		return printJSON(w, doc)
	}
}

func printIdentity(w io.Writer, id app.Identity) error {
	if len(id.Says) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w, id.Device); err != nil {
		return err
	}
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range id.Says {
		fmt.Fprintf(columns, "  %s\t%s\n", e.Name, printable(e.Value))
	}
	return columns.Flush()
}
