package gateway

import "time"

// DeadRecord is a record that was set aside because it could not be read or no consumer could take it.
type DeadRecord struct {
	N      int64  // its number among them
	Queue  string // that it was taken from
	Pos    uint64 // its place there
	Time   time.Time
	Reason string
	Record *Record // nil when it cannot be read
	Bytes  []byte  // as it was stored
}

// Verdict is what a check of the whole buffer has found.
type Verdict struct {
	Structure []string // what is wrong with the database itself; empty: nothing
	Records   uint64   // deliveries read
	Damaged   uint64   // of these, deliveries whose check sum was wrong
	Foreign   int64    // rows that nobody can reach: nothing is lost with them but room
}

// OK reports whether nothing is wrong.
func (v Verdict) OK() bool { return len(v.Structure) == 0 && v.Damaged == 0 }
