-- What the gateway knows of itself: the store's id, the high-water mark of seq, whether it was stopped in order.
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value NOT NULL
) WITHOUT ROWID;

-- One row for each durable queue. A queue that was dropped keeps its row without a name, so that whoever gets its id next continues its
-- positions: no position of an id ever names two records.
CREATE TABLE queue (
  id    INTEGER PRIMARY KEY,
  name  TEXT UNIQUE,
  acked INTEGER NOT NULL, -- acknowledged through this position
  next  INTEGER NOT NULL  -- the position to give next
);

-- Records that were committed together and that the same queues wait for. The key is the place of the first record in the first of
-- these queues: queue << 43 | position.
CREATE TABLE chunk (
  key  INTEGER PRIMARY KEY,
  span INTEGER NOT NULL, -- position of its last record less that of its first
  back INTEGER NOT NULL, -- how many positions before this one the segment begins: chunks of one segment overlap, segments do not
  refs BLOB,             -- the last position in each queue, when more than one waits; NULL for one
  body BLOB NOT NULL
);

-- The place of a chunk in its second and later queues.
CREATE TABLE ref (
  key   INTEGER PRIMARY KEY, -- queue << 43 | position
  span  INTEGER NOT NULL,
  back  INTEGER NOT NULL,
  chunk INTEGER NOT NULL
);

-- Gap records that have replaced a delivery on disk: queue << 43 | position. A reader prefers them to what a chunk holds there.
CREATE TABLE gap (
  key  INTEGER PRIMARY KEY,
  body BLOB NOT NULL -- a chunk with this one record
);

CREATE TABLE session (
  queue        INTEGER PRIMARY KEY,
  client_id    TEXT NOT NULL,
  user         TEXT NOT NULL,
  expiry       INTEGER NOT NULL, -- nanoseconds; negative: never
  disconnected INTEGER           -- nanoseconds since 1970; NULL while connected
);

CREATE TABLE subscription (
  queue               INTEGER NOT NULL,
  filter              TEXT NOT NULL,
  qos                 INTEGER NOT NULL,
  no_local            INTEGER NOT NULL,
  retain_as_published INTEGER NOT NULL,
  retain_handling     INTEGER NOT NULL,
  identifier          INTEGER NOT NULL,
  PRIMARY KEY (queue, filter)
) WITHOUT ROWID;

-- Packet ids of QoS 2 messages that were received and not released: queue << 16 | packet id.
CREATE TABLE inbound (key INTEGER PRIMARY KEY);

-- Places of QoS 2 deliveries whose PUBREC has come: queue << 43 | position.
CREATE TABLE received (key INTEGER PRIMARY KEY);

CREATE TABLE retained (
  topic TEXT PRIMARY KEY,
  body  BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE will (
  client_id TEXT PRIMARY KEY,
  body      BLOB NOT NULL
) WITHOUT ROWID;

-- How far the commands in the inbox are: 1 started, 2 finished.
CREATE TABLE command_state (
  pos   INTEGER PRIMARY KEY,
  state INTEGER NOT NULL
);

-- Results of commands that have an id, the newest ones.
CREATE TABLE command (
  n      INTEGER PRIMARY KEY,
  id     TEXT NOT NULL UNIQUE,
  result BLOB NOT NULL,
  time   INTEGER NOT NULL
);

CREATE TABLE epoch (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;

-- What was set aside because nobody could take it, the newest.
CREATE TABLE dead (
  n      INTEGER PRIMARY KEY,
  queue  TEXT NOT NULL,
  pos    INTEGER NOT NULL,
  time   INTEGER NOT NULL,
  reason TEXT NOT NULL,
  body   BLOB NOT NULL
);
