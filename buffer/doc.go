// Package buffer is the store-and-forward buffer, and the only owner of SQLite. It keeps what must outlive the process: records and the
// durable queues that refer to them, the broker's sessions with their subscriptions and packet ids, retained messages and wills, the command
// inbox, and the numbers of upstream connections.
//
// A record is handed over once with the queues that get it ([Store.Commit]). Its consumers read it from memory at once; if all of them
// acknowledge it before its commit is due, it is elided and never reaches the disk. Otherwise it is committed, together with all that
// waits then, and from then on read from memory or disk. Everything that goes to disk goes through one writer, [Store.Run]; reads have
// a connection of their own.
//
// # Files
//
// Path is the database, beside it Path-wal and Path-shm while it is open, and Path.lock, which keeps a second process out. DESIGN.md
// beside this code says why things are stored as they are; migrations holds the schema, step by step.
//
// # Locks and goroutines
//
// One mutex guards the queues in memory. The disk is never touched and no callback is called while it is held. Run owns the writing
// connection and one goroutine, which it joins, that calls the callbacks (done, wake) one after the other. They must not wait.
package buffer
