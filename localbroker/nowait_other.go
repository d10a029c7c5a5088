//go:build !unix

package localbroker

// socket is not known here: connections are read and written as net.Conn does.
type socket struct{}

func (c *conn) grasp() {}

// swift reports that no connection can be written to without waiting.
func (c *conn) swift() bool { return false }

// readLazily is for connections that are swift.
func (c *conn) readLazily() (int, error) { return 0, nil }

// writeOnce has nothing to hold here.
type writeOnce struct{}

// writeNow writes nothing.
func (c *conn) writeNow(*writeOnce, []byte) int { return 0 }

// attendable reports that none is one that an attendant may read.
func (c *conn) attendable() bool { return false }

func (c *conn) setPatient(bool) {}
