package app

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tidegate/tidegate/bridge"
	"github.com/tidegate/tidegate/buffer"
	"github.com/tidegate/tidegate/localbroker"
)

// TestWhatPassesIsNotTakenForNow and all else is refused for good, or a bridge would ask for ever.
func TestWhatPassesIsNotTakenForNow(t *testing.T) {
	for err, want := range map[error]bool{
		fmt.Errorf("publish: %w", buffer.ErrFull): true, buffer.ErrClosed: true, buffer.ErrNoSeq: true,
		fmt.Errorf("publish: %w", localbroker.ErrClosed): true, errors.New("too many levels"): false, nil: false,
	} {
		if got := forNow(err); errors.Is(got, bridge.ErrNotTaken) != want || !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
}
