package main

import (
	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/configs"
)

func newReferenceCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reference",
		Short: "Print every key of the configuration, explained and with its default",
		Long: "Reference prints a configuration in which every key stands behind a # with its default and an explanation. As it is it changes nothing:\n" +
			"remove the mark before a key to set it.",
		Example: "  tidegate reference | less",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(configs.Reference)
			return err
		},
	}
}
