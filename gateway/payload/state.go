package payload

import (
	"strconv"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// AppendState appends the JSON of birth and last will: {"state":"online","epoch":17,"time":"...","reason":"..."}. reason is left out
// when it is empty.
func AppendState(dst []byte, online bool, epoch uint64, t time.Time, reason string) []byte {
	state := "offline"
	if online {
		state = "online"
	}
	dst = append(append(append(dst, `{"state":"`...), state...), `","epoch":`...)
	dst = strconv.AppendUint(dst, epoch, 10)
	dst = appendTime(append(dst, `,"time":`...), t)
	if reason != "" {
		dst = appendString(append(dst, `,"reason":`...), reason)
	}
	return append(dst, '}')
}

// AppendGap appends the JSON that tells a consumer what it will not get:
//
//	{"queue":"cloud","from":17,"to":42,"count":20,"reason":"size","time":"..."}
func AppendGap(dst []byte, g *gateway.Gap) []byte {
	dst = appendString(append(dst, `{"queue":`...), g.Queue)
	dst = strconv.AppendUint(append(dst, `,"from":`...), g.From, 10)
	dst = strconv.AppendUint(append(dst, `,"to":`...), g.To, 10)
	dst = strconv.AppendUint(append(dst, `,"count":`...), g.Count, 10)
	dst = appendString(append(dst, `,"reason":`...), g.Reason)
	return append(appendTime(append(dst, `,"time":`...), g.Time), '}')
}

func gapMessage(g *gateway.Gap, topics gateway.Topics) *gateway.Message {
	return &gateway.Message{Topic: topics.Gap(), Payload: AppendGap(nil, g), QoS: 1}
}
