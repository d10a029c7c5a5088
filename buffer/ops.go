package buffer

import (
	"fmt"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// applyOp carries out one change of the broker's state.
func (a *applier) applyOp(op gateway.Op) error {
	switch op := op.(type) {
	case gateway.PutSession:
		return a.putSession(op)
	case gateway.DropSession:
		return a.dropSession(op.Queue)
	case gateway.PutSubscription:
		return a.exec(`INSERT OR REPLACE INTO subscription(queue, filter, qos, no_local, retain_as_published, retain_handling, identifier)
			VALUES(?, ?, ?, ?, ?, ?, ?)`,
			op.Queue, op.Filter, op.QoS, op.NoLocal, op.RetainAsPublished, op.RetainHandling, op.Identifier)
	case gateway.DropSubscription:
		return a.exec(`DELETE FROM subscription WHERE queue = ? AND filter = ?`, op.Queue, op.Filter)
	case gateway.PutInbound:
		return a.exec(`INSERT OR IGNORE INTO inbound(key) VALUES(?)`, inboundKey(op.Queue, op.PacketID))
	case gateway.DropInbound:
		return a.exec(`DELETE FROM inbound WHERE key = ?`, inboundKey(op.Queue, op.PacketID))
	case gateway.PutReceived:
		return a.exec(`INSERT OR IGNORE INTO received(key) VALUES(?)`, key(op.Queue, op.Pos))
	case gateway.PutRetained:
		return a.putRetained(op)
	case gateway.PutWill:
		return a.exec(`INSERT OR REPLACE INTO will(client_id, body, delay, due, user) VALUES(?, ?, ?, ?, ?)`,
			op.ClientID, encodeMessage(op.Message, a.now()), int64(op.Delay), unixNano(op.Due), op.User)
	case gateway.DropWill:
		return a.exec(`DELETE FROM will WHERE client_id = ?`, op.ClientID)
	default:
		return fmt.Errorf("operation %T is not known", op)
	}
}

// inboundKey is the place of a packet id among those of all sessions.
func inboundKey(q gateway.QueueID, id uint16) int64 { return int64(q)<<16 | int64(id) }

func (a *applier) putSession(p gateway.PutSession) error {
	return a.exec(`INSERT OR REPLACE INTO session(queue, client_id, user, expiry, disconnected) VALUES(?, ?, ?, ?, ?)`,
		p.Queue, p.ClientID, p.User, int64(p.Expiry), unixNano(p.Disconnected))
}

// unixNano is the stored form of a time that may be none.
func unixNano(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixNano()
}

// dropSession forgets a session. The rows of its queue go with its cursor, and the queue's own row stays without a name.
func (a *applier) dropSession(q gateway.QueueID) error {
	for _, query := range []string{
		`DELETE FROM session WHERE queue = ?`, `DELETE FROM subscription WHERE queue = ?`, `UPDATE queue SET name = NULL WHERE id = ?`,
	} {
		if err := a.exec(query, q); err != nil {
			return err
		}
	}
	if err := a.exec(`DELETE FROM received WHERE key BETWEEN ? AND ?`, key(q, 0), key(q, posMask)); err != nil {
		return err
	}
	return a.exec(`DELETE FROM inbound WHERE key BETWEEN ? AND ?`, inboundKey(q, 0), inboundKey(q, 1<<16-1))
}

func (a *applier) putRetained(p gateway.PutRetained) error {
	if len(p.Message.Payload) == 0 {
		return a.exec(`DELETE FROM retained WHERE topic = ?`, p.Message.Topic)
	}
	if p.Time.IsZero() {
		p.Time = a.now()
	}
	return a.exec(`INSERT OR REPLACE INTO retained(topic, body) VALUES(?, ?)`, p.Message.Topic, encodeMessage(p.Message, p.Time))
}

// encodeMessage is the stored form of a message that is no record of a queue: a record without number, with the time when it came.
func encodeMessage(m *gateway.Message, at time.Time) []byte {
	return payload.AppendRecord(nil, &gateway.Record{Time: at, Body: m})
}
