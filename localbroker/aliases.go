package localbroker

import (
	"fmt"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// maxAliasBytes is what the topics of one client's aliases may take in all: a limit on their number alone would let each be as long as a
// topic can be.
const maxAliasBytes = 128 << 10

// aliasesIn are the topic aliases that a client has given (MQTT 5, 3.3.2.3.4). They belong to one connection.
type aliasesIn struct {
	topics [][]byte // by alias, from 1
	bytes  int
}

// resolve puts in the topic that an alias stands for, or notes what it stands for from now on.
func (a *aliasesIn) resolve(p *packet.Publish, most int) error {
	alias := int(p.Props.TopicAlias.Value)
	if alias > most {
		return violation(packet.ReasonTopicAliasInvalid, "topic alias %d is above %d [MQTT-3.3.2-9]", alias, most)
	}
	if len(p.Topic) > 0 {
		return a.assign(alias, p.Topic)
	}
	if alias >= len(a.topics) || a.topics[alias] == nil {
		return violation(packet.ReasonProtocolError, "topic alias %d stands for no topic yet [section 3.3.2.3.4]", alias)
	}
	p.Topic = a.topics[alias]
	return nil
}

func (a *aliasesIn) assign(alias int, topic []byte) error {
	for len(a.topics) <= alias {
		a.topics = append(a.topics, nil)
	}
	old := a.topics[alias]
	if string(old) == string(topic) {
		return nil
	}
	if a.bytes += len(topic) - len(old); a.bytes > maxAliasBytes {
		return violation(packet.ReasonQuotaExceeded, "the topics of the aliases take more than %d bytes", maxAliasBytes)
	}
	a.topics[alias] = append([]byte(nil), topic...)
	return nil
}

// Of the aliases that a client takes, so many are used at most. A topic that is hardly longer than an alias gets none.
const (
	maxAliasesOut = 32
	minAliasTopic = 6
)

// aliasesOut are the topic aliases that we have given to a client: to the topics that are sent most. Once all are given, a topic that comes
// up takes over from one that has not been sent for a while.
type aliasesOut struct {
	most  int
	byKey map[string]uint16 // alias of a topic
	given []aliasUse        // by alias less 1
	hand  int               // where the search for one to take over goes on
}

type aliasUse struct {
	topic string
	uses  uint8 // since the hand was here
}

func newAliasesOut(most uint16) *aliasesOut { return &aliasesOut{most: min(int(most), maxAliasesOut)} }

// shorten gives a PUBLISH its alias, and takes the topic out of it when the client knows the alias.
func (a *aliasesOut) shorten(p *publishing) {
	if len(p.packet.Topic) < minAliasTopic {
		return
	}
	if alias, known := a.byKey[string(p.packet.Topic)]; known {
		use := &a.given[alias-1]
		use.uses = min(use.uses, 254) + 1
		p.packet.Props.TopicAlias = packet.Some(alias)
		p.packet.Topic = nil
		return
	}
	if alias := a.give(string(p.packet.Topic)); alias > 0 {
		p.packet.Props.TopicAlias = packet.Some(alias)
	}
}

// give returns the alias of a topic that had none, 0 when it gets none.
func (a *aliasesOut) give(topic string) uint16 {
	if len(a.given) < a.most {
		if a.byKey == nil {
			a.byKey = make(map[string]uint16)
		}
		a.given = append(a.given, aliasUse{topic: topic})
		a.byKey[topic] = uint16(len(a.given))
		return uint16(len(a.given))
	}
	use := &a.given[a.hand]
	alias := uint16(a.hand + 1)
	a.hand = (a.hand + 1) % len(a.given)
	if use.uses > 0 {
		use.uses /= 2
		return 0
	}
	delete(a.byKey, use.topic)
	*use = aliasUse{topic: topic}
	a.byKey[topic] = alias
	return alias
}

// undo takes the alias of a PUBLISH back that was given just now: the client never gets to know it.
func (a *aliasesOut) undo(p *publishing, topic string) {
	alias := p.packet.Props.TopicAlias
	p.packet.Props.TopicAlias = packet.Opt[uint16]{}
	if alias.Set && len(p.packet.Topic) > 0 {
		delete(a.byKey, topic)
		a.given[alias.Value-1] = aliasUse{}
	}
}

// violation is an error of the client's that ends its connection with a reason code.
func violation(code packet.ReasonCode, format string, args ...any) error {
	return &brokenRule{err: fmt.Errorf(format, args...), code: code}
}
