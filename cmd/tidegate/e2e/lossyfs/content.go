//go:build linux && (amd64 || arm64 || riscv64)

package lossyfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// sectorSize is what a disk writes whole or not at all, in bytes.
const sectorSize = 512

// content is what a file holds: for the programs, and for after a power cut.
type content struct {
	live, durable []byte
	dirty         map[int]struct{} // sectors that may differ between the two
}

func newContent(b []byte) content {
	return content{live: slices.Clone(b), durable: slices.Clone(b), dirty: map[int]struct{}{}}
}

// touch notes that the bytes from begin to end change.
func (c *content) touch(begin, end int) {
	for s := begin / sectorSize; s*sectorSize < end; s++ {
		c.dirty[s] = struct{}{}
	}
}

func (c *content) readAt(b []byte, off int) int {
	if off >= len(c.live) {
		return 0
	}
	return copy(b, c.live[off:])
}

func (c *content) writeAt(b []byte, off int) {
	if end := off + len(b); end > len(c.live) {
		c.live = resize(c.live, end)
	}
	c.touch(off, off+len(b))
	copy(c.live[off:], b)
}

func (c *content) truncate(size int) {
	c.touch(size, max(len(c.live), len(c.durable))) // what was durable there is gone once the file has grown again
	c.live = resize(c.live, size)
}

// sync makes the live state durable.
func (c *content) sync() {
	c.durable = resize(c.durable, len(c.live))
	for s := range c.dirty {
		copySector(c.durable, c.live, s)
	}
	clear(c.dirty)
}

// survive returns what a power cut leaves: the durable bytes, and in a torn crash each changed sector with the given chance.
func (c *content) survive(rng *rand.Rand, torn bool, chance float64) []byte {
	left := slices.Clone(c.durable)
	if !torn {
		return left
	}
	size := len(c.durable)
	if rng.Float64() < chance {
		size = len(c.live)
	}
	left = resize(left, max(len(c.live), len(c.durable)))
	for _, s := range slices.Sorted(maps.Keys(c.dirty)) { // in order, so that a seed always gives the same
		if rng.Float64() < chance {
			copySector(left, c.live, s)
		}
	}
	return resize(left, size)
}

// copySector copies sector s; beyond the end of from there are zeros.
func copySector(to, from []byte, s int) {
	begin, end := min(s*sectorSize, len(to)), min((s+1)*sectorSize, len(to))
	clear(to[begin:end])
	if begin < len(from) {
		copy(to[begin:end], from[begin:])
	}
}

// resize cuts b, or lengthens it with zeros.
func resize(b []byte, size int) []byte {
	if size <= len(b) {
		return b[:size]
	}
	old := len(b)
	b = slices.Grow(b, size-old)[:size]
	clear(b[old:]) // a slice that was cut before still holds what it held
	return b
}
