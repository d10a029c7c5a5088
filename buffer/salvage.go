package buffer

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/tidegate/tidegate/gateway"
)

// Keys of the table meta in a file that has taken the place of a damaged one.
const (
	metaSalvage  = "salvage"     // name of the damaged file, in the same folder, as long as records are to be saved from it
	metaSalvaged = "salvaged"    // through this seq of that file they are
	metaEpoch    = "epoch_floor" // no epoch is lower
)

// Bounds of what is saved with one commit.
const (
	salvageRecords = 1000
	salvageBytes   = 512 << 10
)

// salvage saves the records of queues from a damaged file: it walks over all its pages, notes where chunks begin, and appends their records
// in the order of seq, which is the order of each queue. They get new numbers; the time stays. What it has done is committed together
// with the records, so that a restart goes on where the last run ended.
type salvage struct {
	store  *Store
	path   string
	after  uint64 // through this seq of the damaged file everything is saved
	pages  *pageFile
	state  *broken
	index  []chunkAt
	queues map[gateway.QueueID]*target
	told   map[string]bool // queues that know of the damage
	saved  uint64
	lost   uint64 // whose check sum is wrong, or which have no queue any more
}

// chunkAt is where a chunk, or a gap record, lies.
type chunkAt struct {
	seq  uint64 // of its first record
	page uint32
	cell uint16
}

// target is where the records of a queue of the damaged file go.
type target struct {
	id    gateway.QueueID // in this file; 0: nowhere
	name  string
	acked uint64
	inbox bool
}

// runSalvage saves what is to be saved until it is done or ctx ends; then the next start goes on.
func (s *Store) runSalvage(ctx context.Context) {
	v := s.salvage
	if v == nil {
		return
	}
	s.setSalvaging(true)
	defer s.setSalvaging(false)
	err := v.run(ctx)
	switch {
	case ctx.Err() != nil || errors.Is(err, ErrClosed):
		return
	case err != nil:
		s.log.Error("records of the damaged buffer could not be saved, the rest stays in it", "set_aside", v.path, "saved", v.saved, "error", err)
	default:
		s.log.Info("what could be read of the damaged buffer is saved", "set_aside", v.path, "saved", v.saved, "found_damaged", v.lost)
	}
	err = s.do(ctx, 0, 0, func(a *applier) error {
		return a.exec(`DELETE FROM meta WHERE key IN (?, ?)`, metaSalvage, metaSalvaged)
	})
	if err != nil && ctx.Err() == nil {
		s.log.Warn("that the damaged buffer is done with cannot be noted: the next start looks at it again", "error", err)
	}
}

func (s *Store) setSalvaging(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Salvaging = on
}

// resumeSalvage notes what the file says is to be saved.
func (s *Store) resumeSalvage(m meta) {
	s.epochFloor = m.epochFloor
	if m.salvage == "" {
		return
	}
	path := filepath.Join(filepath.Dir(s.opts.Path), filepath.Base(m.salvage))
	s.stats.SetAside = path
	s.salvage = &salvage{store: s, path: path, after: m.salvaged, queues: map[gateway.QueueID]*target{}, told: map[string]bool{}}
}

func (v *salvage) run(ctx context.Context) (err error) {
	v.tellDamage()
	defer v.tellDamage() // also those queues that have come since
	v.pages, err = openPages(v.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the file is gone: %w", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.pages.close()) }()
	if err := v.find(ctx); err != nil {
		return err
	}
	return v.save(ctx)
}

// tellDamage puts a gap record into each upstream's queue: records may be missing, nobody knows which.
func (v *salvage) tellDamage() {
	s := v.store
	s.mu.Lock()
	var list []*queue
	for name, q := range s.names {
		if q.upstream() && !v.told[name] {
			v.told[name] = true
			list = append(list, q)
		}
	}
	s.mu.Unlock()
	for _, q := range list {
		rec := s.gapRecord(0, gateway.Gap{Queue: q.name, Reason: "damage"})
		s.Commit(&gateway.Change{Record: rec, To: []gateway.Ref{{Queue: q.id, QoS: 1}}}, nil)
	}
}

// find walks over all pages: it notes where chunks are, and whose they are.
func (v *salvage) find(ctx context.Context) error {
	v.state = newBroken()
	page, scratch := v.pages.page(), v.pages.page()
	for n := uint32(1); n <= v.pages.count; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !v.pages.read(n, page) || v.pages.free(n, scratch) {
			continue
		}
		for i, c := range cells(n, page) {
			r, ok := v.pages.row(c, anyRow)
			switch {
			case !ok:
			case r.kind == rowChunk || r.kind == rowGap:
				v.note(r, n, i)
			default:
				v.state.take(r)
			}
		}
	}
	v.state.nameQueues()
	slices.SortFunc(v.index, func(a, b chunkAt) int { return cmp.Compare(a.seq, b.seq) })
	return nil
}

func anyRow(rowKind) bool { return true }

// note adds a chunk to the index, unless its head cannot be read.
func (v *salvage) note(r row, page uint32, cell int) {
	list := v.records(r)
	if len(list) == 0 {
		return
	}
	v.index = append(v.index, chunkAt{list[0].seq, page, uint16(cell)})
	for i := range list {
		if gap, ok := list[i].gapOf(); ok {
			v.state.hint(list[i].items[0].ref.Queue, gap.Queue)
		}
	}
}

// save appends all records in the order of seq. The chunks of one commit overlap: only those that overlap are in memory together.
func (v *salvage) save(ctx context.Context) error {
	var waiting savedHeap
	var b batch
	page := v.pages.page()
	for next := 0; next < len(v.index) || len(waiting) > 0; {
		for next < len(v.index) && (len(waiting) == 0 || v.index[next].seq <= waiting[0].seq) {
			for _, r := range v.load(v.index[next], page) {
				heap.Push(&waiting, r)
			}
			next++
		}
		if len(waiting) == 0 {
			continue
		}
		same := v.takeSame(&waiting)
		if same[0].seq > v.after {
			b.add(v.place(same))
			v.after = same[0].seq
		}
		if b.full() {
			if err := v.commit(ctx, &b); err != nil {
				return err
			}
		}
	}
	return v.commit(ctx, &b)
}

// load reads a chunk again.
func (v *salvage) load(at chunkAt, page []byte) []savedRecord {
	if !v.pages.read(at.page, page) {
		return nil
	}
	list := cells(at.page, page)
	if int(at.cell) >= len(list) {
		return nil
	}
	r, ok := v.pages.row(list[at.cell], anyRow)
	if !ok {
		return nil
	}
	r.own() // page is read over
	return v.records(r)
}

// takeSame takes the records with the lowest seq: a record, copies of it, and the gaps that have replaced it in some queues.
func (v *salvage) takeSame(waiting *savedHeap) []savedRecord {
	same := []savedRecord{heap.Pop(waiting).(savedRecord)}
	for len(*waiting) > 0 && (*waiting)[0].seq == same[0].seq {
		same = append(same, heap.Pop(waiting).(savedRecord))
	}
	return same
}

// commit appends a batch and waits until it is on disk, together with how far that is.
func (v *salvage) commit(ctx context.Context, b *batch) error {
	if len(b.records)+len(b.dead) == 0 {
		return nil
	}
	s, through := v.store, v.after
	now := s.opts.Now()
	s.mu.Lock()
	for i := range b.records {
		s.appendSaved(&b.records[i])
	}
	s.stats.Damaged += uint64(len(b.dead))
	s.stats.Dead = min(s.stats.Dead+uint64(len(b.dead)), deadRows)
	s.mu.Unlock()
	err := s.do(ctx, 0, 0, func(a *applier) error {
		for i := range b.dead {
			d := &b.dead[i]
			if err := a.putDead(d.queue, d.pos, now, d.reason, d.body); err != nil {
				return err
			}
		}
		return a.exec(`INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)`, metaSalvaged, through)
	})
	if err != nil {
		return fmt.Errorf("save records: %w", err)
	}
	v.saved += uint64(len(b.records))
	s.mu.Lock()
	s.stats.Salvaged += uint64(len(b.records))
	s.mu.Unlock()
	*b = batch{}
	return nil
}

// appendSaved appends a record as it was, but for its number. A command counts as begun: nobody knows whether it was carried out, so its
// sender is told so, and it is not repeated.
func (s *Store) appendSaved(p *placed) {
	rec := *p.rec
	rec.Seq = 0
	if s.closing || !s.restamp(&rec) {
		s.stats.Dropped++
		return
	}
	e := &entry{rec: &rec, came: s.now()}
	s.address(e, &gateway.Change{Record: &rec, To: p.to})
	if p.in && len(e.refs) > 0 {
		pos := e.refs[0].pos
		s.started[pos] = true
		e.work = func(a *applier) error { return a.putCommandState(pos, commandStarted) }
	}
	if len(e.refs) > 0 {
		s.append(e)
	}
}
