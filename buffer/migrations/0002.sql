-- A will of MQTT 5 may be published later than at the end of its connection.
ALTER TABLE will ADD COLUMN delay INTEGER NOT NULL DEFAULT 0; -- nanoseconds
ALTER TABLE will ADD COLUMN due INTEGER; -- nanoseconds since 1970; NULL while connected
