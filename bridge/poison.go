package bridge

import "fmt"

// poisonCuts is how many connections in a row have to end with the same record at the head before it is set aside.
const poisonCuts = 5

// suspect is the record that was the oldest without an answer when connections ended: MQTT 3.1.1 has no word for "I cannot take this", so an
// upstream that cannot closes the connection. The window is halved with each cut, so that at the last one the record is alone in flight.
// It is kept in memory only: a restart of the gateway begins to count anew.
type suspect struct {
	lane int
	pos  uint64
	cuts int
}

// is reports whether f begins with the suspect.
func (s suspect) is(f flight) bool { return s.cuts > 0 && f.lane.index == s.lane && f.pos == s.pos }

// guilty reports whether the delivery at pos of a lane is to be set aside.
func (s suspect) guilty(lane int, pos uint64) bool {
	return s.cuts >= poisonCuts && s.lane == lane && s.pos == pos
}

// after returns the suspicion after a connection that was cut while head was the oldest without an answer; nil: nothing was in flight.
// cleared says that the suspect of before was acknowledged.
func (s suspect) after(head *flight, cleared bool) suspect {
	switch {
	case head != nil && s.is(*head):
		s.cuts++
		return s
	case head != nil:
		return suspect{lane: head.lane.index, pos: head.pos, cuts: 1}
	case cleared:
		return suspect{}
	default:
		return s
	}
}

// window narrows n flights by what is suspected.
func (s suspect) window(n int) int { return max(1, n>>s.cuts) }

// records narrows the records of a batch: the last connection before the verdict carries one.
func (s suspect) records(n int) int {
	if s.cuts >= poisonCuts-1 {
		return 1
	}
	return max(1, n>>(2*s.cuts))
}

func (s suspect) reason(last string) string {
	return fmt.Sprintf("the upstream ended the connection %d times in a row when this was sent; last: %s", s.cuts, last)
}
