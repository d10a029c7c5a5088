// Package gateway is the vocabulary of Tidegate: the values that devices give, the messages that clients exchange, the
// records that the buffer keeps, and the words in which components speak to each other. It holds no behaviour beyond
// these types, starts nothing, and imports the standard library only, so that every other package may import it.
//
// The road of a reading is: [Reading] (one point) -> [Batch] (one poll of one device) -> [Record] (stamped, stored once)
// -> [Delivery] (one consumer's turn at it). The road of a client's message is: [Message] -> [Record] -> [Delivery].
package gateway
