package engine

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// answerer publishes results and closes the entries of the journal. All lanes and the dispatcher share it.
type answerer struct {
	publisher Publisher
	journal   Journal
	topics    gateway.Topics
	now       func() time.Time
	log       *slog.Logger
}

// key is what the journal knows a command by: ids of different devices are apart, so that the commands of one key are always in one lane.
func key(c *gateway.Command) string {
	if c.ID == "" {
		return ""
	}
	return c.Device + "/" + c.ID
}

// kept returns the answer that a command with this id has had before; nil when it is new.
func (a *answerer) kept(ctx context.Context, c *gateway.Command) ([]byte, error) {
	if c.ID == "" {
		return nil, nil
	}
	result, found, err := a.journal.Result(ctx, key(c))
	if err != nil {
		return nil, fmt.Errorf("look up the id of the command: %w", err)
	}
	if !found {
		return nil, nil
	}
	return result, nil
}

// refuse answers a command that has not touched its device. Its id stays free.
func (a *answerer) refuse(ctx context.Context, pos uint64, c *gateway.Command, state gateway.State, err error) {
	a.send(c, a.result(c, outcome{state: state, err: err}))
	a.finish(ctx, pos, "", nil)
}

// settle answers a command that has touched its device, or may have, and keeps the answer for its id.
func (a *answerer) settle(ctx context.Context, pos uint64, c *gateway.Command, out outcome) {
	result := a.result(c, out)
	a.send(c, result)
	if c.ID == "" {
		result = nil
	}
	a.finish(ctx, pos, key(c), result)
}

// repeat gives a command the answer that its id has had before.
func (a *answerer) repeat(ctx context.Context, pos uint64, c *gateway.Command, result []byte) {
	a.log.Info("command repeated, its first answer is sent again", "device", c.Device, "id", c.ID)
	a.send(c, result)
	a.finish(ctx, pos, "", nil)
}

func (a *answerer) result(c *gateway.Command, out outcome) []byte {
	r := gateway.Result{ID: c.ID, Values: out.values, State: out.state, Time: a.now()}
	if out.err != nil {
		r.Error = out.err.Error()
	}
	a.report(c, out)
	return payload.AppendResult(nil, &r)
}

// report logs how a command ended.
func (a *answerer) report(c *gateway.Command, out outcome) {
	if out.err != nil {
		a.log.Warn("command was not done", "device", c.Device, "id", c.ID, "state", out.state, "error", out.err)
		return
	}
	a.log.Info("command was done", "device", c.Device, "id", c.ID, "values", len(out.values))
}

// send publishes a result on the device's topic, and to the response topic of the request (MQTT 5, 4.10).
func (a *answerer) send(c *gateway.Command, result []byte) {
	a.publish(&gateway.Message{Topic: a.topics.Result(c.Device), Payload: result, QoS: 1})
	if a.repliable(c.Reply) {
		m := &gateway.Message{Topic: c.Reply, Payload: result, QoS: 1}
		if c.Correl != nil {
			m.Properties = &gateway.Properties{CorrelationData: c.Correl}
		}
		a.publish(m)
	}
}

// repliable keeps answers off topics that nobody may publish to, and off those that would command a device or speak for the gateway.
func (a *answerer) repliable(topic string) bool {
	if topic == "" || strings.ContainsAny(topic, "+#\x00") || strings.HasPrefix(topic, "$") {
		return false
	}
	_, _, _, command := a.topics.ParseCommand(topic)
	if command || strings.HasPrefix(topic, a.topics.Base+"/gateway/") {
		a.log.Warn("command names a response topic that is the gateway's own, it is not used", "topic", topic)
		return false
	}
	return true
}

func (a *answerer) publish(m *gateway.Message) {
	a.publisher.Publish(&gateway.Record{Time: a.now(), Body: m}, nil)
}

// finish closes an entry. One that stays open for an error is met again at the next start: answered there as unknown when it has an id
// and was started, else taken anew.
func (a *answerer) finish(ctx context.Context, pos uint64, key string, result []byte) {
	if err := a.journal.Finish(ctx, pos, key, result); err != nil {
		a.log.Error("command stays in the journal", "pos", pos, "error", err)
	}
}
