package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/api"
)

// errDamaged is the outcome of a check that found something; what it was is printed already.
var errDamaged = errors.New("the buffer is damaged; tidegate buffer export saves what can be read")

func (v *bufferVerbs) newVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read the whole buffer and check it; exit with 1 when something is damaged",
		Long: "Verify checks the structure of the file, the check sum of every record, and whether each row can be reached. A file that no gateway\n" +
			"has open is checked more closely than one that is in use.",
		Args: cobra.NoArgs,
	}
	cmd.RunE = v.reading(func(cmd *cobra.Command, b api.BufferReader, _ []string) error {
		bar := newProgress(cmd.ErrOrStderr(), "checking")
		verdict, err := b.Verify(cmd.Context(), bar.tell)
		bar.end()
		if err != nil {
			return err
		}
		if err := v.printVerdict(cmd.OutOrStdout(), verdict); err != nil {
			return err
		}
		if !verdict.OK() {
			return errDamaged
		}
		return nil
	})
	v.jsonFlag(cmd)
	return cmd
}

func (v *bufferVerbs) printVerdict(w io.Writer, verdict gateway.Verdict) error {
	if v.json {
		text, err := api.MarshalVerdict(verdict)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", text)
		return err
	}
	paint := newPainter(w)
	state := paint.good("ok")
	if !verdict.OK() {
		state = paint.bad("damaged")
	}
	for _, s := range verdict.Structure {
		fmt.Fprintf(w, "structure: %s\n", printable(s))
	}
	_, err := fmt.Fprintf(w, "%s: deliveries read %d, damaged %d, rows out of reach %d\n", state, verdict.Records, verdict.Damaged, verdict.Foreign)
	return err
}
