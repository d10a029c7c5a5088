package localbroker

import "github.com/tidegate/tidegate/gateway"

// Store keeps what must outlive the process: records for durable queues, sessions, retained messages, packet ids. The buffer
// implements it; memstore_test.go has the reference that both pass the same suite with.
//
// Changes are committed in the order in which they were handed over. No method waits for the disk but Recover and Read. Callbacks run on the store's goroutines, must not wait and must not
// call back into the store.
type Store interface {
	// Queue returns the id of the durable queue of that name, making it on first use.
	Queue(name string) gateway.QueueID
	// Commit takes a change. It stamps the record's Seq before it returns. done (may be nil) is called once: with nil when each
	// durable consumer has acknowledged the record or the change is committed; with an error when the store has closed before that.
	// c may be used again when Commit has returned; what it refers to may not be changed before done is called.
	Commit(c *gateway.Change, done func(error))
	// CommitAll is Commit for several changes, in their order. w (may be nil) is told of each by its number, which is first for the first of
	// them and rises by one with each.
	CommitAll(list []gateway.Change, w gateway.Waiter, first uint64)
	// Attach makes a consumer online and returns the position through which its queue is acknowledged. wake is called when there
	// may be more to read; calls may be merged.
	Attach(q gateway.QueueID, wake func()) (acked uint64)
	// Detach makes the consumer offline: what it has not acknowledged is due for commit.
	Detach(q gateway.QueueID)
	// Read fills buf with the deliveries after position after, in order, and returns how many. 0 means none for now: wake will be
	// called. It reads memory, and the disk for what has been spilled, so only a consumer's own goroutine may call it.
	Read(q gateway.QueueID, after uint64, buf []gateway.Delivery) (int, error)
	// ReadNow is Read as far as memory goes, for those who cannot wait. ok is false when the disk comes next: Read is to be called.
	ReadNow(q gateway.QueueID, after uint64, buf []gateway.Delivery) (n int, ok bool)
	// Ack acknowledges single deliveries, in any order.
	Ack(q gateway.QueueID, pos ...uint64)
	// Recover returns what the store held when it was opened.
	Recover() (*gateway.Recovered, error)
}
