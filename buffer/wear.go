package buffer

import (
	"strconv"
	"time"
)

// Keys in meta of what the disk has taken over all runs.
const (
	metaWearBytes = "wear_bytes"
	metaWearSyncs = "wear_syncs"
	metaWearSince = "wear_since" // nanoseconds since 1970
)

// wearStep is how many bytes more must have been written until the total is stored again. It rides on a commit that is made anyway; written
// each time, it would itself be a good part of the wear. A crash forgets so much at most.
const wearStep = 8 << 20

// wear is what the disk has taken over all runs.
type wear struct {
	bytes, syncs uint64    // before this run
	stored       uint64    // bytes of this run that the disk knows of
	since        time.Time // zero: the clock was never right
	sinceStored  bool
}

// load takes over a row of meta.
func (w *wear) load(key, value string) (err error) {
	switch key {
	case metaWearBytes:
		w.bytes, err = strconv.ParseUint(value, 10, 64)
	case metaWearSyncs:
		w.syncs, err = strconv.ParseUint(value, 10, 64)
	case metaWearSince:
		var ns int64
		ns, err = strconv.ParseInt(value, 10, 64)
		w.since, w.sinceStored = time.Unix(0, ns).UTC(), true
	}
	return err
}

// tell returns what a group is to store of the wear, nil when that can wait.
func (s *Store) tellWear(mark bool) func(*applier) error {
	m, w := &s.writer.meter, &s.wear
	if !mark && m.bytes-w.stored < wearStep {
		return nil
	}
	if w.since.IsZero() && s.clockSynced(s.now()) {
		w.since = s.wall()
	}
	w.stored = m.bytes
	bytes, syncs, since := w.bytes+m.bytes, w.syncs+m.fsyncs, w.since
	return func(a *applier) error {
		if err := a.putMeta(metaWearBytes, bytes); err != nil {
			return err
		}
		if err := a.putMeta(metaWearSyncs, syncs); err != nil || since.IsZero() {
			return err
		}
		return a.putMeta(metaWearSince, since.UnixNano())
	}
}

// putMeta stores a value.
func (a *applier) putMeta(key string, value any) error {
	return a.exec(`INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)`, key, value)
}
