package api

import (
	"encoding/json"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// line is one line of a streamed answer, exactly one of its fields.
type line struct {
	Delivery *delivery `json:"delivery,omitempty"`
	Dead     *dead     `json:"dead,omitempty"`
	Progress *progress `json:"progress,omitempty"`
	Verdict  *verdict  `json:"verdict,omitempty"`
	Error    string    `json:"error,omitempty"`
	End      bool      `json:"end,omitempty"`
}

type progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// purgeRequest is the body of a purge; through 0 means everything.
type purgeRequest struct {
	Queue   string `json:"queue"`
	Through uint64 `json:"through"`
}

// numbersRequest names records that were set aside.
type numbersRequest struct {
	Numbers []int64 `json:"numbers"`
}

// countAnswer tells how many records something was done with.
type countAnswer struct {
	Count uint64 `json:"count"`
}

// delivery is a [gateway.Delivery] with its record in the stored form.
type delivery struct {
	Position uint64 `json:"position"`
	QueueID  uint32 `json:"queue_id"`
	View     uint16 `json:"view,omitempty"`
	QoS      uint8  `json:"qos"`
	Retain   bool   `json:"retain,omitempty"`
	Record   []byte `json:"record"`
}

func newDelivery(d gateway.Delivery) *delivery {
	return &delivery{d.Pos, uint32(d.Queue), d.View, uint8(d.QoS), d.Retain, payload.AppendRecord(nil, d.Record)}
}

func (d *delivery) parse() (gateway.Delivery, error) {
	rec, err := payload.ParseRecord(d.Record)
	return gateway.Delivery{
		Ref: gateway.Ref{Queue: gateway.QueueID(d.QueueID), View: d.View, QoS: gateway.QoS(d.QoS), Retain: d.Retain},
		Pos: d.Position, Record: rec,
	}, err
}

// dead is a [gateway.DeadRecord]. Record is missing when what was stored cannot be read.
type dead struct {
	N        int64     `json:"n"`
	Queue    string    `json:"queue"`
	Position uint64    `json:"position"`
	Time     time.Time `json:"time"`
	Reason   string    `json:"reason"`
	Record   []byte    `json:"record,omitempty"`
	Stored   []byte    `json:"stored"`
}

func newDead(d gateway.DeadRecord) *dead {
	out := &dead{N: d.N, Queue: d.Queue, Position: d.Pos, Time: d.Time, Reason: d.Reason, Stored: d.Bytes}
	if d.Record != nil {
		out.Record = payload.AppendRecord(nil, d.Record)
	}
	return out
}

func (d *dead) parse() (gateway.DeadRecord, error) {
	out := gateway.DeadRecord{N: d.N, Queue: d.Queue, Pos: d.Position, Time: d.Time, Reason: d.Reason, Bytes: d.Stored}
	if len(d.Record) == 0 {
		return out, nil
	}
	rec, err := payload.ParseRecord(d.Record)
	out.Record = rec
	return out, err
}

// verdict is a [gateway.Verdict] under the names that programs read. It converts, so that a field that is added there is missed here by
// the compiler.
type verdict struct {
	Structure []string `json:"structure"`
	Records   uint64   `json:"records"`
	Damaged   uint64   `json:"damaged"`
	Foreign   int64    `json:"foreign"`
}

// MarshalVerdict returns the JSON of a verdict: structure, records, damaged, foreign and, for who does not want to weigh these, ok.
func MarshalVerdict(v gateway.Verdict) ([]byte, error) {
	return json.Marshal(struct {
		verdict
		OK bool `json:"ok"`
	}{verdict(v), v.OK()})
}

// bufferFields are those of [gateway.BufferStats] under the names that programs read, converted like a verdict.
type bufferFields struct {
	Appended   uint64               `json:"appended"`
	Elided     uint64               `json:"elided"`
	Written    uint64               `json:"written"`
	Commits    uint64               `json:"commits"`
	Fsyncs     uint64               `json:"fsyncs"`
	BytesOut   uint64               `json:"bytes_out"`
	Failures   uint64               `json:"failures"`
	Dropped    uint64               `json:"dropped"`
	Damaged    uint64               `json:"damaged"`
	Pending    int                  `json:"pending"`
	FileBytes  int64                `json:"file_bytes"`
	LastCommit time.Duration        `json:"last_commit_ns"`
	MaxBytes   int64                `json:"max_bytes"`
	DiskFree   int64                `json:"disk_free_bytes"`
	Failing    bool                 `json:"failing"`
	SetAside   string               `json:"set_aside,omitempty"`
	Salvaging  bool                 `json:"salvaging"`
	Salvaged   uint64               `json:"salvaged"`
	Dead       uint64               `json:"dead"`
	WearBytes  uint64               `json:"wear_bytes"`
	WearSince  time.Time            `json:"wear_since,omitzero"`
	Queues     []gateway.QueueStats `json:"-"` // bufferDoc has them
}

// queueFields are those of [gateway.QueueStats].
type queueFields struct {
	Name    string            `json:"name"`
	Depth   uint64            `json:"depth"`
	Oldest  time.Time         `json:"oldest,omitzero"`
	Online  bool              `json:"online"`
	Bytes   int64             `json:"bytes"`
	Dropped map[string]uint64 `json:"dropped_by,omitempty"`
	Orphan  time.Time         `json:"orphan_since,omitzero"`
}

// bufferDoc is the JSON of a snapshot of the buffer.
type bufferDoc struct {
	bufferFields
	Queues []queueFields `json:"queues"`
}

func newBufferDoc(s gateway.BufferStats) bufferDoc {
	doc := bufferDoc{bufferFields: bufferFields(s), Queues: make([]queueFields, len(s.Queues))}
	for i, q := range s.Queues {
		doc.Queues[i] = queueFields(q)
	}
	return doc
}

func (d bufferDoc) stats() gateway.BufferStats {
	s := gateway.BufferStats(d.bufferFields)
	for _, q := range d.Queues {
		s.Queues = append(s.Queues, gateway.QueueStats(q))
	}
	return s
}

// MarshalBuffer returns the JSON of a snapshot of the buffer, as the control socket and the command line give it. Durations are
// nanoseconds, times RFC 3339; a time that is not known is left out.
func MarshalBuffer(s gateway.BufferStats) ([]byte, error) { return json.Marshal(newBufferDoc(s)) }
