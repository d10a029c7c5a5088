// Package payload turns readings and records into bytes and back: the JSON and plain values that clients see on MQTT, the JSON
// of commands and their results, and the binary form in which the buffer keeps a record. It holds no state and waits for nothing.
package payload
