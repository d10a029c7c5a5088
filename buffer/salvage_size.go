package buffer

import (
	"encoding/binary"
	"math/bits"
	"os"
)

// This file finds out how large the pages of a database are, which may be damaged just where it says so.

// oldPageSize is what files have that were made before newPageSize was chosen.
const oldPageSize = 4096

// isPageSize reports whether a database can have pages of that size (section 1.3.2).
func isPageSize(n int64) bool { return n >= 512 && n <= 1<<16 && bits.OnesCount64(uint64(n)) == 1 }

// pagesIn returns how many pages a file has.
func pagesIn(bytes int64, size int) uint32 { return uint32(min(bytes/int64(size), 1<<31)) }

// findSize returns the size of the pages of a file of so many bytes. Its head says it, and so does the log, whose pages have the size logged if
// there are any. Where only one of them speaks it may be wrong, and so it is where they differ: the log may be another store's. Then that size
// counts with which most rows can be read.
func (p *pageFile) findSize(bytes int64, logged int) int {
	head := p.headSize()
	if head > 0 && (logged == 0 || logged == head) {
		return head
	}
	best, most := 0, -1
	for _, size := range []int{logged, head, newPageSize, oldPageSize} { // where none gives more than the one before, that counts
		if size == 0 {
			continue
		}
		if rows := rowsSeen(p.db, bytes, size); rows > most {
			best, most = size, rows
		}
	}
	return best
}

// headSize returns the size of pages that the head of the file says, 0 when it has none.
func (p *pageFile) headSize() int {
	var head [18]byte
	if _, err := p.db.ReadAt(head[:], 0); err != nil || string(head[:16]) != "SQLite format 3\x00" {
		return 0
	}
	size := int64(binary.BigEndian.Uint16(head[16:]))
	if size == 1 {
		size = 1 << 16
	}
	if !isPageSize(size) {
		return 0
	}
	return int(size)
}

// rowsSeen counts the rows that are found in parts of a database of so many bytes if its pages have that size. With a wrong one there are fewer:
// half of the pages are not looked at, or half of each, and what continues on other pages is not found.
func rowsSeen(db *os.File, bytes int64, size int) (rows int) {
	const part, parts = 1 << 16, 128
	p := &pageFile{db: db, size: size, count: pagesIn(bytes, size)}
	page := p.page()
	all := (bytes + part - 1) / part
	looked := min(all, parts)
	for i := range looked {
		first := uint32(i * all / looked * part / int64(size))
		for n := first + 1; n <= first+uint32(part/size) && p.read(n, page); n++ {
			for _, c := range cells(n, page) {
				if _, ok := p.row(c, anyRow); ok {
					rows++
				}
			}
		}
	}
	return rows
}
