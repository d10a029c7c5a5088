package buffer

import (
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// Recover returns the broker's state as the disk holds it: sessions in the order of their queues, retained messages and wills by their
// names. Called before the first Commit, that is what the store held when it was opened. A retained message or will that cannot be read
// is left out, and said in the log.
func (s *Store) Recover() (*gateway.Recovered, error) {
	r := &recovery{store: s}
	for _, part := range []struct {
		name string
		load func() error
	}{
		{"sessions", r.sessions},
		{"subscriptions", r.subscriptions},
		{"packet ids received", r.inbound},
		{"deliveries received", r.received},
		{"retained messages", r.retained},
		{"wills", r.wills},
	} {
		if err := part.load(); err != nil {
			return nil, fmt.Errorf("recover %s: %w", part.name, err)
		}
	}
	return &r.out, nil
}

// recovery gathers what Recover returns.
type recovery struct {
	store *Store
	out   gateway.Recovered
}

func (r *recovery) each(query string, row func(*sql.Rows) error) error {
	rows, err := r.store.reader.db.Query(query)
	if err != nil {
		return err
	}
	return eachRow(rows, row)
}

// session returns the session of a queue, nil when there is none. Sessions are sorted.
func (r *recovery) session(q gateway.QueueID) *gateway.SessionState {
	i, found := slices.BinarySearchFunc(r.out.Sessions, q, func(s gateway.SessionState, q gateway.QueueID) int {
		return int(int64(s.Queue) - int64(q))
	})
	if !found {
		return nil
	}
	return &r.out.Sessions[i]
}

func (r *recovery) sessions() error {
	return r.each(`SELECT queue, client_id, user, expiry, disconnected FROM session ORDER BY queue`, func(rows *sql.Rows) error {
		var s gateway.SessionState
		var at sql.NullInt64
		err := rows.Scan(&s.Queue, &s.ClientID, &s.User, &s.Expiry, &at)
		if at.Valid {
			s.Disconnected = time.Unix(0, at.Int64).UTC()
		}
		r.out.Sessions = append(r.out.Sessions, s)
		return err
	})
}

func (r *recovery) subscriptions() error {
	const query = `SELECT queue, filter, qos, no_local, retain_as_published, retain_handling, identifier FROM subscription
		ORDER BY queue, filter`
	return r.each(query, func(rows *sql.Rows) error {
		var q gateway.QueueID
		var sub gateway.Subscription
		err := rows.Scan(&q, &sub.Filter, &sub.QoS, &sub.NoLocal, &sub.RetainAsPublished, &sub.RetainHandling, &sub.Identifier)
		if s := r.session(q); s != nil {
			s.Subscriptions = append(s.Subscriptions, sub)
		}
		return err
	})
}

func (r *recovery) inbound() error {
	return r.each(`SELECT key FROM inbound ORDER BY key`, func(rows *sql.Rows) error {
		var k int64
		err := rows.Scan(&k)
		if s := r.session(gateway.QueueID(k >> 16)); s != nil {
			s.Inbound = append(s.Inbound, uint16(k))
		}
		return err
	})
}

func (r *recovery) received() error {
	return r.each(`SELECT received.key FROM received JOIN queue ON queue.id = received.key >> 43
		WHERE received.key & 0x7ffffffffff > queue.acked ORDER BY received.key`, func(rows *sql.Rows) error {
		var k int64
		err := rows.Scan(&k)
		if s := r.session(gateway.QueueID(k >> posBits)); s != nil {
			s.Received = append(s.Received, keyPos(k))
		}
		return err
	})
}

func (r *recovery) retained() error {
	return r.each(`SELECT topic, body FROM retained ORDER BY topic`, func(rows *sql.Rows) error {
		var name string
		var body sql.RawBytes
		if err := rows.Scan(&name, &body); err != nil {
			return err
		}
		if m, at := r.message(name, body, "retained message"); m != nil && name == m.Topic {
			r.out.Retained = append(r.out.Retained, gateway.PutRetained{Message: m, Time: at})
		}
		return nil
	})
}

func (r *recovery) wills() error {
	return r.each(`SELECT client_id, body, delay, due, user FROM will ORDER BY client_id`, func(rows *sql.Rows) error {
		var w gateway.PutWill
		var body sql.RawBytes
		var due sql.NullInt64
		if err := rows.Scan(&w.ClientID, &body, &w.Delay, &due, &w.User); err != nil {
			return err
		}
		if due.Valid {
			w.Due = time.Unix(0, due.Int64).UTC()
		}
		if w.Message, _ = r.message(w.ClientID, body, "will"); w.Message != nil {
			r.out.Wills = append(r.out.Wills, w)
		}
		return nil
	})
}

// message reads a named message and the time that goes with it, nil when it cannot be read.
func (r *recovery) message(name string, body []byte, what string) (m *gateway.Message, at time.Time) {
	rec, err := payload.ParseRecord(body)
	if err == nil {
		m, _ = rec.Body.(*gateway.Message)
	}
	if m == nil {
		r.store.log.Error(what+" is damaged and left out", "name", name, "error", err)
		return nil, time.Time{}
	}
	return m, rec.Time
}
