package gateway

import "time"

// BufferStats is a snapshot of the buffer. Counters start at 0 with the process.
type BufferStats struct {
	Appended   uint64 // records handed over with at least one durable consumer
	Elided     uint64 // records acknowledged by all consumers before their commit: never written
	Written    uint64 // records committed
	Commits    uint64 // transactions committed
	Fsyncs     uint64 // calls of fsync and fdatasync on the database and its log
	BytesOut   uint64 // bytes written to the database and its log
	Failures   uint64 // commits that failed and are tried again
	Dropped    uint64 // records dropped by a limit
	Damaged    uint64 // records whose check sum was wrong, set aside
	Pending    int    // records in memory, not yet committed or elided
	FileBytes  int64  // size of the database and its log
	LastCommit time.Duration
	MaxBytes   int64     // what the file may grow to now: max_size, less where the disk has no room for it
	DiskFree   int64     // bytes free on the file's disk; -1: not known
	Failing    bool      // commits fail: acknowledgements that need the disk are withheld
	SetAside   string    // path of a damaged file that was set aside at this start or since; "" when there is none
	Salvaging  bool      // records are being saved from it
	Salvaged   uint64    // records saved from it
	Dead       uint64    // records in the table of what was set aside, see tidegate buffer dead
	WearBytes  uint64    // bytes written to the disk since WearSince, over all runs
	WearSince  time.Time // when the file was made; zero: not known
	Queues     []QueueStats
}

// QueueStats is a snapshot of one durable queue.
type QueueStats struct {
	Name   string
	Depth  uint64    // deliveries not yet acknowledged
	Oldest time.Time // original time of the oldest of them; zero when empty or not known
	Online bool      // a consumer is attached
	Bytes  int64     // about what its deliveries take on disk
	// Dropped counts what its limits took, by reason: "size", "age", "count", "full" (drop_newest), "memory".
	Dropped map[string]uint64
	// Orphan tells since when no configured consumer has claimed it; zero: one has.
	Orphan time.Time
}

// BrokerStats is a snapshot of the local broker.
type BrokerStats struct {
	Connections   int    // open now
	Sessions      int    // persistent sessions, connected or not
	Subscriptions int    // of all sessions
	Retained      int    // retained messages
	Received      uint64 // PUBLISH packets received
	Sent          uint64 // PUBLISH packets sent
	BytesIn       uint64
	BytesOut      uint64
	Dropped       uint64 // deliveries dropped by a session's limit
	Refused       uint64 // connections refused: bad credentials, limits, protocol errors before CONNACK
	Malformed     uint64 // connections closed for a protocol error
	Denied        uint64 // messages and wills dropped because their client may not publish to the topic
	Limited       uint64 // of Refused: logins not looked at after too many wrong passwords
}

// ListenerStats is a snapshot of one listener with TLS.
type ListenerStats struct {
	Name       string    // its URL, with the address of the configuration
	CertExpiry time.Time // when the certificate that it shows ends
}

// BridgeStats is a snapshot of one upstream.
type BridgeStats struct {
	Name      string
	Connected bool
	Epoch     uint64
	Sent      uint64 // PUBLISH packets handed to the network
	Acked     uint64 // acknowledged by the upstream broker
	Received  uint64 // inbound messages taken over
	Parked    uint64 // records set aside because the upstream cannot take them
	Dropped   uint64 // inbound messages dropped by the bound of their queue
	Connects  uint64 // successful connections
	Failures  uint64 // failed attempts and lost connections
	Inflight  int
	LastError string
	Server    string    // in use, or last tried
	Batches   uint64    // messages sent that held several records
	Waiting   string    // why nothing is sent: "retry", "lazy", "rate", ...; "" when it sends or has nothing to send
	RetryAt   time.Time // of the next attempt to connect; zero when connected
	// CertExpiry is when the first certificate of the chain in use, the server's or the client's, ends; zero: none is in use.
	CertExpiry time.Time
}

// BusStats is a snapshot of one bus.
type BusStats struct {
	Name      string
	Open      bool
	Requests  uint64
	Timeouts  uint64
	Errors    uint64 // answers that were refused: check sum, length, unit, function
	Exception uint64 // Modbus exceptions received
	Opens     uint64
	Failures  map[string]uint64 // ports and connections that could not be opened, or were lost, by reason: "refused", "reset", "open", "lost", ...
	Polls     uint64            // polls of devices completed
	Missed    uint64            // poll slots that could not be kept
	Writes    uint64
	Passed    uint64        // requests of other masters that had their turn
	Refused   uint64        // requests of other masters that were not sent: too many waited, one waited for too long, or the bus paused
	Panics    uint64        // caught at the bus's boundary
	Busy      time.Duration // time spent in conversations
	Load      float64       // share of the last half minute to minute that it was busy; 1 is all
	Devices   []DeviceStats
}

// DeviceStats is a snapshot of one device.
type DeviceStats struct {
	Name     string
	Online   bool
	LastGood time.Time // zero: never
	Polls    uint64    // that it answered
	Missed   uint64    // poll slots that could not be kept
	Wanted   float64   // polls a second by its intervals
	Achieved float64   // polls a second that it answered of late: in the last half minute to minute, or in its last four to eight polls
	Behind   bool      // it is online, and Achieved is less than 95 % of Wanted
}

// ModbusServerStats is a snapshot of one Modbus server. Counters start at 0 with the process.
type ModbusServerStats struct {
	Name        string
	Address     string // that it listens on
	Connections int    // open now
	Accepted    uint64 // connections served
	Denied      uint64 // connections refused: allow does not list their address
	Refused     uint64 // connections refused: there were too many
	Evicted     uint64 // connections closed in favour of a new one from their address
	Malformed   uint64 // connections closed: what came was not Modbus TCP, or not TLS
	Timeouts    uint64 // connections closed: no request came, or not all of it
	Requests    uint64 // answered, or carried out without an answer
	Exceptions  uint64 // of Requests: answered with an exception
}
