package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/api"
)

func (v *bufferVerbs) newStats() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show the queues, the file, and how the card wears",
		Args:  cobra.NoArgs,
	}
	cmd.RunE = v.reading(func(cmd *cobra.Command, b api.BufferReader, _ []string) error {
		stats, err := b.Overview(cmd.Context())
		if err != nil {
			return err
		}
		if v.json {
			text, err := api.MarshalBuffer(stats)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
			return err
		}
		return printStats(cmd.OutOrStdout(), stats, v.place.endurance, time.Now())
	})
	v.jsonFlag(cmd)
	return cmd
}

func printStats(w io.Writer, s gateway.BufferStats, endurance int64, now time.Time) error {
	if err := printQueues(w, s.Queues, now); err != nil {
		return err
	}
	facts := []string{"file\t" + fileText(s), "wear\t" + wearText(s, endurance, now)}
	if s.Failing {
		facts = append(facts, "disk\tcommits fail: acknowledgements that need the disk are withheld, see the gateway's log")
	}
	if s.SetAside != "" {
		facts = append(facts, "damage\t"+damageText(s))
	}
	if s.Dead > 0 {
		facts = append(facts, fmt.Sprintf("dead\t%d records that nobody could read or take: see tidegate buffer dead", s.Dead))
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range facts {
		fmt.Fprintln(tw, f)
	}
	return tw.Flush()
}

func printQueues(w io.Writer, queues []gateway.QueueStats, now time.Time) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "QUEUE\tDEPTH\tBYTES\tOLDEST\tSTATE\tDROPPED")
	for _, q := range queues {
		fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\t%s\n", printable(q.Name), q.Depth, sizeText(q.Bytes), agoText(q.Oldest, now), stateText(q), dropText(q.Dropped))
	}
	fmt.Fprintln(tw)
	return tw.Flush()
}

func stateText(q gateway.QueueStats) string {
	switch {
	case !q.Orphan.IsZero():
		return "orphan since " + q.Orphan.Local().Format(time.DateOnly)
	case q.Online:
		return "online"
	}
	return "offline"
}

func dropText(dropped map[string]uint64) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(dropped)) {
		parts = append(parts, fmt.Sprintf("%d %s", dropped[reason], reason))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

func fileText(s gateway.BufferStats) string {
	text := sizeText(s.FileBytes)
	if s.MaxBytes > 0 {
		text += " of " + sizeText(s.MaxBytes)
	}
	if s.DiskFree >= 0 {
		text += ", " + sizeText(s.DiskFree) + " free on its disk"
	}
	return text
}

func wearText(s gateway.BufferStats, endurance int64, now time.Time) string {
	span := now.Sub(s.WearSince)
	if s.WearSince.IsZero() || span <= 0 {
		return "not known"
	}
	text := fmt.Sprintf("%s written since %s", sizeText(int64(s.WearBytes)), s.WearSince.Local().Format(time.DateOnly))
	life, ok := api.CardLife(s, endurance, now)
	if !ok {
		return text
	}
	perDay := float64(s.WearBytes) / span.Hours() * 24
	return text + fmt.Sprintf(", %s a day: a card that takes %s lasts %s", sizeText(int64(perDay)), sizeText(endurance), lifeText(life))
}

// lifeText is how long a card lasts, as exactly as such a guess deserves.
func lifeText(d time.Duration) string {
	const year = 365 * 24 * time.Hour
	switch {
	case d == 0:
		return "no longer"
	case d >= 100*year:
		return "more than 100 years"
	case d >= 2*year:
		return fmt.Sprintf("about %d years", d/year)
	}
	return fmt.Sprintf("about %d days", d/(24*time.Hour))
}

func damageText(s gateway.BufferStats) string {
	text := fmt.Sprintf("a damaged file was set aside as %s, %d records were saved from it", s.SetAside, s.Salvaged)
	if s.Salvaging {
		return text + " until now"
	}
	return text
}
