package modbus

import "bytes"

// echo is what is known of the adapter of a serial line: whether it hears what it sends, as the last read has shown.
type echo bool

// length returns how many bytes to leave out because the line echoes the request: the answer to a write of one value is equal to its
// request, and nothing but its place tells them apart.
func (e *echo) length(received, request []byte, q request) int {
	if q.tellsEcho() || !bool(*e) {
		return 0
	}
	n := min(len(received), len(request))
	if bytes.Equal(received[:n], request[:n]) {
		return n
	}
	return 0
}

// listen learns from what came before the answer to a read whether the line echoes.
func (e *echo) listen(before, request []byte, q request) {
	if q.tellsEcho() {
		*e = echo(bytes.Contains(before, request))
	}
}
