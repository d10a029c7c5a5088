package bus

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A port hands over what its FIFO has gathered. The last piece is seen when it comes, however long it was gathered for.
func TestAnswerInPiecesIsSeenWhenItIsComplete(t *testing.T) {
	for _, length := range []int{17, 25, 100, 111, 255} {
		synctest.Test(t, func(t *testing.T) {
			l := newFakeLink()
			l.in = make(chan []byte, 64)
			b := fakeBus(t, Options{Port: "/dev/fake", Mode: Mode{Baud: 115200}}, func() (link, error) { return l, nil })
			answer, came := strings.Repeat("x", length), time.Time{}
			l.answer = func([]byte) {
				go func() {
					for piece := range slices.Chunk([]byte(answer), 16) {
						<-time.After(b.wire(len(piece)))
						came = time.Now()
						l.in <- piece
					}
				}()
			}
			mustExchange(t, b, ask("?", answer), answer)
			if late := time.Since(came); late != 0 {
				t.Errorf("an answer of %d bytes was seen %v late", length, late)
			}
		})
	}
}
