// Package engine polls devices on a schedule, hands what it reads to the local broker, and carries out commands.
//
// # Goroutines
//
// Run starts, for each bus, the goroutine that alone calls its [Driver], and the lane that takes the bus's commands one by one
// through the journal, so that no bus waits for a disk. One dispatcher reads the [Journal] for all of them. Each queue is bounded.
//
// # Schedule
//
// A device is polled in groups, one for each interval that its points have. Each group has a slot every interval, and the slots of a bus are
// spread over it. All groups are due once at the start. Among those that are due, the earliest deadline goes first; slots that pass meanwhile
// are served by one poll, and the rest counted as missed. Between any two conversations a waiting command goes first.
//
// # Publishing
//
// A poll becomes one batch that holds all points of the device, those of other groups as they were. A point with a deadband or a heartbeat is
// news when it has moved by more than the deadband since it was published last, when its quality or reason has changed, and when its
// heartbeat has passed; any other point is news with each poll of its group. A poll without news publishes nothing, unless a command asked for it.
// A device whose points are published alone publishes those that are news.
//
// What polls bring that follow one another at once is handed over together when the last of them has ended, or after 2 ms: a [Gatherer] takes
// several batches for less than one by one. What comes alone, or would keep others waiting for longer, is handed over at once.
//
// # Availability
//
// A device is online once anything of it answers. It is offline after a poll in which nothing answered: the first since the start, or the
// second in a row when it was online. Then its availability is published, and one batch with all points bad; further probes
// publish nothing until it answers. One group probes for all, and when it is answered the others are due at once. Probes back off, and while other devices of the bus answer, all probes together take at most a
// twentieth of its time.
//
// A point that a poll did not reach keeps its reading, which is stale in a batch once it is older than the device's StaleAfter.
//
// # Commands
//
// A command is answered on the result topic of its device, and on the response topic of MQTT 5 when it names one. It is refused when it was
// retained, is malformed, names an unknown device or point, a point that is not writable or a value of the wrong type or out of range, or when
// it says when it expires and the clock is not synchronised. The id of a command counts for its device: one that was seen gets the answer that
// was given then, even when it has expired since. Only a command that may have touched the device has its answer kept, so one that was refused
// can be sent again under its id. A command for a bus whose queue is full fails at once.
//
// On stop the command that is being carried out ends first, within a bound; those that were not started stay in the journal.
package engine
