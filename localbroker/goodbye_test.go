package localbroker

import (
	"io"
	"testing"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// An answer that was ready when the connection ends still leaves.
func TestTheLastAnswersLeave(t *testing.T) {
	c, client := wired(t)
	c.acks.add([]byte{0xd0, 0})
	c.finish(errDisconnect)
	_ = client.SetReadDeadline(time.Now().Add(20 * time.Second))
	if got, err := io.ReadAll(client); string(got) != "\xd0\x00" || err != nil {
		t.Errorf("got % x, %v, want PINGRESP and the end", got, err)
	}
}

// Who has broken the protocol reads why, whatever it has sent since: the connection ends in order, and is not reset.
func TestAMistakeIsExplainedWhateverFollowsIt(t *testing.T) {
	c, client := wired(t)
	c.version, c.terms = packet.V5, &terms{problems: true}
	c.polite.Store(true)
	if _, err := client.Write(make([]byte, 1000)); err != nil { // which nobody handles
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		c.finish(violation(packet.ReasonProtocolError, "a mistake"))
		close(ended)
	}()
	_ = client.SetReadDeadline(time.Now().Add(20 * time.Second))
	if got, err := io.ReadAll(client); len(got) < 3 || got[0] != 0xe0 || packet.ReasonCode(got[2]) != packet.ReasonProtocolError || err != nil {
		t.Errorf("got % x, %v, want DISCONNECT and the end", got, err)
	}
	client.Close()
	<-ended
}
