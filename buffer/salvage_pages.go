package buffer

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
)

// This file reads the pages of a database without SQLite, which refuses all of a file when a part of it is damaged. The format is that of
// https://www.sqlite.org/fileformat2.html; the numbers of sections below are those of that page. Nothing that a page says is trusted: whatever
// leads out of the page, or in a circle, is left out.

// pageFile gives the pages of a database file, each as the log has it where it has it.
type pageFile struct {
	db, wal *os.File // nil where there is none
	size    int      // bytes of a page
	count   uint32
	logged  map[uint32]int64 // where in the log the page is that a commit has written last
	strange bool             // the log is another store's and is not looked at
}

// Kinds of b-tree pages (section 1.6) whose cells hold rows.
const (
	pageIndexInterior = 0x02
	pageIndexLeaf     = 0x0a
	pageTableLeaf     = 0x0d
)

// openPages opens the database at path and its log.
func openPages(path string) (*pageFile, error) {
	p := &pageFile{logged: map[uint32]int64{}}
	var err error
	if p.db, err = os.Open(path); err != nil {
		return nil, err
	}
	info, err := p.db.Stat()
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	if p.wal, err = os.Open(path + "-wal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, p.close())
	}
	logged := 0 // size of the log's pages
	if p.wal != nil {
		logged = p.readLog()
	}
	p.size = p.findSize(info.Size(), logged)
	p.count = max(p.count, pagesIn(info.Size(), p.size))
	if p.strange = logged > 0 && logged != p.size || p.strangeLog(); p.strange {
		clear(p.logged)
	}
	return p, nil
}

// page returns room for a page.
func (p *pageFile) page() []byte { return make([]byte, p.size) }

// strangeLog reports whether the log is another store's, as when a file was put back beside the log of a newer one. SQLite would take it
// for good and write the other's pages over these.
func (p *pageFile) strangeLog() bool {
	logged := p.storeID()
	with := p.logged
	p.logged = nil
	alone := p.storeID()
	p.logged = with
	return logged != "" && alone != "" && logged != alone
}

// storeID returns the store's id when it is where a new file has it, which it stays: near the begin.
func (p *pageFile) storeID() (id string) {
	page := p.page()
	for n := uint32(2); n <= min(p.count, 8); n++ {
		if !p.read(n, page) {
			continue
		}
		for _, c := range cells(n, page) {
			if r, ok := p.row(c, func(k rowKind) bool { return k == rowMeta }); ok && r.text(0) == metaStore {
				id = r.text(1)
			}
		}
	}
	return id
}

func (p *pageFile) close() error {
	err := p.db.Close()
	if p.wal != nil {
		err = errors.Join(err, p.wal.Close())
	}
	return err
}

// walHead is the size of what the log begins with (section 4.1).
const walHead = 32

// readLog notes where the log has pages of transactions that were committed, and returns their size, 0 when it has none. Like SQLite it ends at
// the first frame that is not right.
func (p *pageFile) readLog() (size int) {
	var head [walHead]byte
	if _, err := p.wal.ReadAt(head[:], 0); err != nil {
		return 0
	}
	sum := walSum{order: binary.LittleEndian}
	switch binary.BigEndian.Uint32(head[:]) {
	case 0x377f0682:
	case 0x377f0683:
		sum.order = binary.BigEndian
	default:
		return 0
	}
	pages := binary.BigEndian.Uint32(head[8:])
	if sum.add(head[:24]); !sum.is(head[24:]) || !isPageSize(int64(pages)) {
		return 0
	}
	open := map[uint32]int64{} // pages of the transaction that has no commit yet
	frame := make([]byte, walFrameHead+pages)
	for at := int64(walHead); ; at += int64(len(frame)) {
		if _, err := p.wal.ReadAt(frame, at); err != nil || string(frame[8:16]) != string(head[16:24]) {
			return size
		}
		sum.add(frame[:8])
		sum.add(frame[walFrameHead:])
		if !sum.is(frame[16:]) {
			return size
		}
		open[binary.BigEndian.Uint32(frame)] = at + walFrameHead
		if count := binary.BigEndian.Uint32(frame[4:]); count > 0 { // the transaction ends here
			for n, at := range open {
				p.logged[n] = at
			}
			clear(open)
			p.count, size = max(p.count, count), int(pages)
		}
	}
}

// walSum is the running check sum of the log (section 4.2).
type walSum struct {
	order  binary.ByteOrder
	s0, s1 uint32
}

func (s *walSum) add(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		s.s0 += s.order.Uint32(b) + s.s1
		s.s1 += s.order.Uint32(b[4:]) + s.s0
	}
}

func (s *walSum) is(b []byte) bool {
	return binary.BigEndian.Uint32(b) == s.s0 && binary.BigEndian.Uint32(b[4:]) == s.s1
}

// read fills page with the page of that number, from 1, and reports whether it could.
func (p *pageFile) read(n uint32, page []byte) bool {
	from, at := p.db, (int64(n)-1)*int64(p.size)
	if logged, ok := p.logged[n]; ok {
		from, at = p.wal, logged
	}
	_, err := from.ReadAt(page, at)
	return n > 0 && err == nil
}

// free reports whether the pointer map (section 1.8) says that the page is not in use: rows that were deleted may still stand in it. A map
// that is damaged says no.
func (p *pageFile) free(n uint32, page []byte) bool {
	const freePage = 2
	if n < 3 {
		return false
	}
	entries := uint32(p.size / 5)
	at := 2 + (n-2)/(entries+1)*(entries+1)
	return at != n && p.read(at, page) && page[5*(n-at-1)] == freePage
}

// cell is a row as it stands in a page: the begin of its record, and where the rest is.
type cell struct {
	rowid    int64
	size     uint64
	local    []byte
	overflow uint32 // page where the rest begins; 0: there is none
}

// cells returns the rows in a page, none when it is no page with rows.
func cells(n uint32, page []byte) []cell {
	head, kind := 0, byte(0)
	if n == 1 {
		head = 100
	}
	if kind = page[head]; kind != pageTableLeaf && kind != pageIndexLeaf && kind != pageIndexInterior {
		return nil
	}
	first := head + 8
	if kind == pageIndexInterior {
		first += 4
	}
	count := int(binary.BigEndian.Uint16(page[head+3:]))
	if first+2*count > len(page) {
		return nil
	}
	list := make([]cell, 0, count)
	for i := range count {
		at := int(binary.BigEndian.Uint16(page[first+2*i:]))
		if at < first+2*count || at >= len(page) {
			continue
		}
		if c, ok := cellAt(kind, page[at:], uint64(len(page))); ok {
			list = append(list, c)
		}
	}
	return list
}

// cellAt takes a cell apart (section 1.6), which stands in a page of that size.
func cellAt(kind byte, b []byte, size uint64) (c cell, ok bool) {
	if kind == pageIndexInterior {
		if len(b) < 4 {
			return c, false
		}
		b = b[4:]
	}
	var n int
	if c.size, n = sqliteVarint(b); n == 0 {
		return c, false
	}
	b = b[n:]
	most := (size-12)*64/255 - 23
	if kind == pageTableLeaf {
		most = size - 35
		rowid, n := sqliteVarint(b)
		if n == 0 {
			return c, false
		}
		c.rowid, b = int64(rowid), b[n:]
	}
	least := (size-12)*32/255 - 23
	local := c.size
	if c.size > most {
		if local = least + (c.size-least)%(size-4); local > most {
			local = least
		}
		if uint64(len(b)) < local+4 {
			return c, false
		}
		c.overflow = binary.BigEndian.Uint32(b[local:])
	}
	if uint64(len(b)) < local {
		return c, false
	}
	c.local = b[:local]
	return c, true
}

// record returns all of a row's record, nil when a part of it is missing.
func (p *pageFile) record(c cell) []byte {
	if c.overflow == 0 {
		return c.local
	}
	if c.size > uint64(p.count)*uint64(p.size) {
		return nil
	}
	record := append(make([]byte, 0, min(c.size, segmentBytes)), c.local...) // c.size may be wrong
	page := p.page()
	for next := c.overflow; uint64(len(record)) < c.size; next = binary.BigEndian.Uint32(page) {
		if !p.read(next, page) {
			return nil
		}
		record = append(record, page[4:4+min(uint64(len(page)-4), c.size-uint64(len(record)))]...)
	}
	return record
}

// sqliteVarint reads a number as SQLite writes it, most significant bits first, and returns how many bytes it took, 0 when b is too short.
func sqliteVarint(b []byte) (v uint64, n int) {
	for n < len(b) && n < 8 {
		v = v<<7 | uint64(b[n]&0x7f)
		if n++; b[n-1] < 0x80 {
			return v, n
		}
	}
	if n == 8 && len(b) > 8 {
		return v<<8 | uint64(b[8]), 9
	}
	return 0, 0
}

// column is a value of a record.
type column struct {
	kind  columnKind
	size  int
	value []byte // of text and blobs
	n     int64  // of numbers
}

type columnKind byte

const (
	isNull columnKind = iota
	isNumber
	isText
	isBlob
	isOther
)

// columnsOf reads the head of a record (section 2.1): which columns it has. The values follow.
func columnsOf(record []byte) (columns []column, values []byte) {
	size, n := sqliteVarint(record)
	if n == 0 || size < uint64(n) || size > uint64(len(record)) {
		return nil, nil
	}
	for head := record[n:size]; len(head) > 0; {
		serial, n := sqliteVarint(head)
		if n == 0 || len(columns) > 32 {
			return nil, nil
		}
		columns = append(columns, columnOf(serial))
		head = head[n:]
	}
	return columns, record[size:]
}

// columnOf says what a serial type means.
func columnOf(serial uint64) column {
	switch {
	case serial == 0:
		return column{kind: isNull}
	case serial <= 6:
		return column{kind: isNumber, size: [...]int{0, 1, 2, 3, 4, 6, 8}[serial]}
	case serial == 8 || serial == 9:
		return column{kind: isNumber, n: int64(serial - 8)}
	case serial < 12 || serial > 1<<32:
		return column{kind: isOther}
	case serial%2 == 0:
		return column{kind: isBlob, size: int((serial - 12) / 2)}
	default:
		return column{kind: isText, size: int((serial - 13) / 2)}
	}
}

// fill gives the columns their values, and reports whether there are as many as they need.
func fill(columns []column, values []byte) bool {
	for i := range columns {
		c := &columns[i]
		if c.kind == isOther || c.size > len(values) {
			return false
		}
		v := values[:c.size]
		values = values[c.size:]
		if c.kind != isNumber {
			c.value = v
		} else if c.size > 0 {
			c.n = int64(int8(v[0]))
			for _, b := range v[1:] {
				c.n = c.n<<8 | int64(b)
			}
		}
	}
	return true
}
