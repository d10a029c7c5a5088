package bridge

import "fmt"

// poisonCuts is how many connections in a row have to end with the same record at the head before it is set aside.
const poisonCuts = 5

// ending is how a connection ended, as far as it speaks against the head of its window.
type ending uint8

const (
	endSilent ending = iota // nothing came any more, as when a link is down: that says nothing about any record
	endCut                  // the upstream ended it
	endPassed               // the head got no answer in time, but what was sent after it did
)

// suspect is the record that was the oldest without an answer when connections ended: MQTT 3.1.1 has no word for "I cannot take this", so an
// upstream that cannot closes the connection, or leaves the record out of its acknowledgements. The window is halved each time, so that at
// the last one the record is alone in flight, or has one other beside it that can pass it. An upstream that acknowledges nothing at all is
// no reason to set anything aside: its records wait. The suspicion is kept in memory only: a restart of the gateway begins to count anew.
type suspect struct {
	lane int
	pos  uint64
	cuts int
	pair bool // the next window has room for another record to pass it
}

// is reports whether f begins with the suspect.
func (s suspect) is(f flight) bool { return s.cuts > 0 && f.lane.index == s.lane && f.pos == s.pos }

// guilty reports whether the delivery at pos of a lane is to be set aside.
func (s suspect) guilty(lane int, pos uint64) bool {
	return s.cuts >= poisonCuts && s.lane == lane && s.pos == pos
}

// after returns the suspicion after a connection that ended in some way while head was the oldest without an answer; nil: nothing was in
// flight. cleared says that the suspect of before was acknowledged.
func (s suspect) after(how ending, head *flight, cleared bool) suspect {
	switch {
	case head != nil && s.is(*head):
		return s.again(how)
	case head != nil && how != endSilent:
		return suspect{lane: head.lane.index, pos: head.pos, cuts: 1, pair: how == endPassed}
	case cleared:
		return suspect{}
	default:
		return s
	}
}

// again returns the suspicion after one more connection that ended with the suspect at the head. A cut brings the verdict only when nothing
// else was in flight that the upstream may have meant.
func (s suspect) again(how ending) suspect {
	if how == endPassed || how == endCut && !(s.pair && s.cuts == poisonCuts-1) {
		s.cuts++
	}
	s.pair = how != endCut
	return s
}

// window narrows n flights by what is suspected.
func (s suspect) window(n int) int {
	least := 1
	if s.pair {
		least = 2
	}
	return max(least, n>>s.cuts)
}

// records narrows the records of a batch: the last connection before the verdict carries one.
func (s suspect) records(n int) int {
	if s.cuts >= poisonCuts-1 {
		return 1
	}
	return max(1, n>>(2*s.cuts))
}

func (s suspect) reason(last string) string {
	return fmt.Sprintf("%d times in a row the connection ended while this was the first without an acknowledgement; last: %s", s.cuts, last)
}
