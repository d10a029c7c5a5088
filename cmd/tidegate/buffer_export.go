package main

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/api"
)

func (v *bufferVerbs) newExport() *cobra.Command {
	var format, path string
	cmd := &cobra.Command{
		Use:   "export QUEUE",
		Short: "Write all that a queue holds as JSON lines or CSV, and leave it there",
		Long: "Export writes each record with its position, number and time: a message with its payload, as text or else as base64; a poll of a\n" +
			"device as its readings, in CSV one row for each. CSV has a header and follows RFC 4180.",
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = v.reading(func(cmd *cobra.Command, b api.BufferReader, args []string) error {
		write, err := exportFormat(format)
		if err != nil {
			return err
		}
		q, err := findQueue(cmd.Context(), b, args[0])
		if err != nil {
			return err
		}
		return toFile(cmd.OutOrStdout(), path, func(w io.Writer) error {
			if err := write.begin(w); err != nil {
				return err
			}
			bar := newProgress(cmd.ErrOrStderr(), "exporting")
			defer bar.end()
			n := int64(0)
			return b.Scan(cmd.Context(), q.Name, 0, func(d gateway.Delivery) error {
				n++
				bar.tell(n, max(n, int64(q.Depth)))
				e := newEntry(d)
				return write.entry(w, &e)
			})
		})
	})
	cmd.Flags().StringVar(&format, "format", "jsonl", "jsonl or csv")
	cmd.Flags().StringVarP(&path, "output", "o", "", "write to `FILE`, whole or not at all, instead of standard output")
	return cmd
}

// exporter writes entries in one format.
type exporter struct {
	begin func(io.Writer) error
	entry func(io.Writer, *entry) error
}

func exportFormat(name string) (exporter, error) {
	switch name {
	case "jsonl":
		return exporter{func(io.Writer) error { return nil }, func(w io.Writer, e *entry) error { return printJSON(w, e) }}, nil
	case "csv":
		return exporter{func(w io.Writer) error { return writeCSV(w, csvHeader()) }, csvEntry}, nil
	}
	return exporter{}, usageError{fmt.Errorf("--format %s: use jsonl or csv", name)}
}

// toFile lets fill write to path, whole or not at all, or to out when path is empty.
func toFile(out io.Writer, path string, fill func(io.Writer) error) error {
	if path == "" {
		w := bufio.NewWriter(out)
		return errors.Join(fill(w), w.Flush())
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // fails when it was renamed
	w := bufio.NewWriter(f)
	if err := fill(w); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func csvHeader() []string {
	return []string{
		"position", "seq", "time", "clock_unset", "origin", "kind", "topic", "point", "value", "quality", "reason", "qos", "retain",
		"payload", "payload_base64",
	}
}

// csvEntry writes the rows of an entry: one for each reading, or one. Of a gap the payload tells.
func csvEntry(w io.Writer, e *entry) error {
	row := func(at, point, value, quality, reason, payload string) error {
		return writeCSV(w, []string{
			strconv.FormatUint(e.Position, 10), strconv.FormatUint(e.Seq, 10), at, strconv.FormatBool(e.ClockUnset), e.Origin, e.Kind, e.Topic,
			point, value, quality, reason, strconv.Itoa(int(e.QoS)), strconv.FormatBool(e.Retain), payload, base64.StdEncoding.EncodeToString(e.PayloadBase64),
		})
	}
	for _, r := range e.Readings {
		at := e.Time
		if r.Time != "" {
			at = r.Time
		}
		if err := row(at, r.Point, r.plain, r.Quality, r.Reason, ""); err != nil {
			return err
		}
	}
	switch {
	case e.Readings != nil:
		return nil
	case e.Gap != nil:
		return row(e.Time, "", "", "", e.Gap.Reason, fmt.Sprintf("seq %s, %d records", e.Gap.span(), e.Gap.Count))
	}
	return row(e.Time, "", "", "", "", e.Payload)
}

// writeCSV writes one record (RFC 4180, 2). The standard library's writer changes the line ends within a field when it ends lines with
// CRLF, and a payload must come out as it went in.
func writeCSV(w io.Writer, fields []string) error {
	var b strings.Builder
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		if strings.ContainsAny(f, "\",\r\n") {
			f = `"` + strings.ReplaceAll(f, `"`, `""`) + `"`
		}
		b.WriteString(f)
	}
	b.WriteString("\r\n")
	_, err := io.WriteString(w, b.String())
	return err
}
