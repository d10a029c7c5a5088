// Package buffer keeps what must outlive the process: records for durable queues, the state of the broker's sessions, retained messages,
// and the journal of commands. It is the only owner of SQLite. DESIGN.md beside the code says why it is as it is.
//
// A [Store] takes changes with Commit and answers when each durable consumer has acknowledged the record, or the change is committed and
// synchronised, whichever comes first; what all consumers acknowledge in time never reaches the disk. Consumers are told with a wake-up,
// read with Read, and acknowledge with Ack. [Upstream] and [Inbox] are the same queues in the shape that the bridge and the engine
// ask for. [Store.Run] is the one writer: nothing is committed before it runs, and it commits the rest when its context ends.
package buffer
