package buffer

// After a crash the disk does not tell holes from deliveries: what was acknowledged behind one that was not, and never written, counts until
// reading finds that it is not there. So before a limit drops by that count, the holes are looked for.

// uncounted is where holes may be that memory does not know.
type uncounted struct{ after, through uint64 }

// countOn looks for holes in the next part of what q had at the start, and reports whether there was such a part. Only the writer calls it.
func (s *Store) countOn(q *queue) (more bool, err error) {
	s.mu.Lock()
	part := span{max(q.uncounted.after, q.acked) + 1, q.uncounted.through}
	none := q.dropped || part.lo > part.hi || !q.above()
	s.mu.Unlock()
	if none {
		return false, nil
	}
	got, err := s.reader.read(q.id, &wanted{span: part}, dropRecords)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q.uncounted.after = got.through
	if len(got.damaged) > 0 || q.dropped { // what a damaged chunk holds is set aside when it is read
		return true, nil
	}
	at := part.lo
	for i := range got.items {
		q.skipTo(at, got.items[i].pos)
		at = got.items[i].pos + 1
	}
	q.skipTo(at, got.through+1)
	s.advance(q)
	return true, nil
}
