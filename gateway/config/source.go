package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Position is a place in a configuration file.
type Position struct {
	File   string
	Line   int // from 1
	Column int // from 1, in characters
}

// source is the text of a configuration and where its keys stand.
type source struct {
	name string
	data string
	idx  index
}

// has tells whether the file gives a value for the path.
func (s *source) has(path string) bool {
	_, ok := s.entries()[path]
	return ok
}

// entries returns where the keys stand. Once they were forgotten they are looked for again, each time.
func (s *source) entries() map[string]entry {
	if s.idx.entries != nil {
		return s.idx.entries
	}
	idx, _, _ := scan(s.data) // the text was parsed before
	return idx.entries
}

// find returns the entry of the path or of the nearest table around it that the file contains. A path that takes
// its default has no place of its own.
func (s *source) find(path string) (e entry, exact bool) {
	entries := s.entries()
	e, exact = entries[path]
	for found := exact; !found && path != ""; {
		path = parent(path)
		e, found = entries[path]
	}
	return e, exact
}

// parent cuts the last part from a path: "bus[0].port", "bus[0]", "bus", "".
func parent(path string) string {
	i := strings.LastIndexAny(path, ".[")
	return path[:max(i, 0)]
}

// join adds keys to a path, each below the one before.
func join(path string, keys ...string) string {
	for _, key := range keys {
		if path == "" {
			path = quotedKey(key)
		} else {
			path = path + "." + quotedKey(key)
		}
	}
	return path
}

// quotedKey returns a key as it stands in a path: in quotes where TOML would have to quote it.
func quotedKey(key string) string {
	bare := key != ""
	for i := range len(key) {
		bare = bare && bareKeyChar(key[i])
	}
	if bare {
		return key
	}
	return strconv.Quote(key)
}

// at adds the number of a member to the path of a list.
func at(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}

// position counts lines and characters up to a byte offset.
func (s *source) position(offset int) Position {
	offset = s.inside(offset)
	before := s.data[:offset]
	start := strings.LastIndexByte(before, '\n') + 1
	return Position{
		File:   s.name,
		Line:   strings.Count(before, "\n") + 1,
		Column: utf8.RuneCountInString(before[start:]) + 1,
	}
}

// inside moves an offset to a place that a person can see: not outside the file, and not behind its last line's end.
func (s *source) inside(offset int) int {
	offset = min(max(offset, 0), len(s.data))
	if offset == len(s.data) {
		offset = len(strings.TrimSuffix(s.data, "\n"))
	}
	// The library counts bytes, and at the end of a file it may point into a character.
	for range utf8.UTFMax - 1 {
		if offset > 0 && offset < len(s.data) && !utf8.RuneStart(s.data[offset]) {
			offset--
		}
	}
	return offset
}

// maxLine bounds a line that is shown at all. Nobody writes a longer one, and searching it for secrets takes time.
const maxLine = 4096

// excerpt returns the line of a span made fit for a terminal, and the column (in characters, from 0) and width
// of the span in it.
func (s *source) excerpt(where span) (line string, column, width int) {
	start := s.inside(where.start)
	lineStart := strings.LastIndexByte(s.data[:start], '\n') + 1
	lineEnd := len(s.data)
	if n := strings.IndexByte(s.data[start:], '\n'); n >= 0 {
		lineEnd = start + n
	}
	if lineEnd-lineStart > maxLine {
		return fmt.Sprintf("(a line of %d bytes)", lineEnd-lineStart), 0, 1
	}
	end := min(max(where.end, start), lineEnd)
	column = utf8.RuneCountInString(s.data[lineStart:start])
	width = max(utf8.RuneCountInString(strings.TrimRight(s.data[start:end], "\r")), 1)
	line = mask(printable(strings.TrimSuffix(s.data[lineStart:lineEnd], "\r")))
	return clip(line, column, width)
}

// clip shortens a line that would not fit on a screen to a window around the span.
func clip(line string, column, width int) (string, int, int) {
	const longest, lead = 120, 40
	runes := []rune(line)
	if len(runes) <= longest {
		return line, column, width
	}
	from := max(column-lead, 0)
	to := min(from+longest, len(runes))
	text := string(runes[from:to])
	column -= from
	if from > 0 {
		text, column = "..."+text, column+3
	}
	if to < len(runes) {
		text += "..."
	}
	return text, column, min(width, longest-lead)
}

// printable replaces each character that could move the cursor or change a terminal. One character stays one,
// so that columns still fit; a tab becomes a space.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r), r == utf8.RuneError:
			return '?'
		}
		return r
	}, s)
}
