package main

import (
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/gateway/app/demo"
)

func newDemoCommand() *cobra.Command {
	var o demo.Options
	var verbose bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a gateway with simulated devices, and a second one that plays the cloud",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelWarn
			if verbose {
				level = slog.LevelInfo
			}
			o.Out = cmd.OutOrStdout()
			o.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			o.Version = version
			return demo.Run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.DataDir, "data", defaultDemoData(), "keep the data of both gateways in `DIR`")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show the gateways' log")
	return cmd
}

// defaultDemoData is the same folder at each run, so that the next one finds what the last one left.
func defaultDemoData() string {
	base, err := os.UserCacheDir()
	if err != nil { // no home: a system account
		base = os.TempDir()
	}
	return filepath.Join(base, "tidegate-demo")
}
