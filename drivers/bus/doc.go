// Package bus owns one serial port or one network endpoint and holds one conversation on it at a time: it opens the port when it
// is needed, keeps the silences of the line, sends a request, waits for the answer that a [Framer] recognises, and reopens with
// backoff after an error. It knows no protocol: what an answer looks like is the caller's business.
//
//	b, err := bus.New(bus.Options{Port: "/dev/serial/by-id/usb-...", Mode: bus.Mode{Baud: 19200, Parity: bus.ParityEven}})
//	answer, err := b.Exchange(ctx, bus.Conversation{Request: frame, Expect: 25, Timeout: time.Second, Find: find})
//
// # Line timing
//
// On a serial line a request waits until nothing was received for 3.5 character times (t3.5; 1.75 ms above 19200 baud), as
// Modbus over Serial Line V1.02, section 2.5.1.1, asks for. The bus listens while it waits, so that what a late or foreign
// speaker sends is thrown away and starts the silence anew. While an answer comes in, the bus sleeps for the characters that are
// still missing, and reads them at once.
//
// Frames that carry marks of their own ([Options].Marked) need none of that, and over a network the silences are the other side's business.
// What gap a request needs beyond them is part of its [Conversation].
//
// # RS-485
//
// The transmitter of a two-wire line is switched by the adapter, or as [RS485] says: by the driver of the UART through a descriptor of our own,
// by the RTS line, or by a GPIO line through the kernel's character device. Nothing of that is tried unasked.
//
// # Errors
//
// Exchange returns a [*ReplyError] when the port works but no valid answer came, an [*OfflineError] when the port or connection
// is not there or was lost, a [*PanicError] for a panic that was caught, the Framer's own error, or the context's. A network
// connection (a datagram socket too) is closed after each of them, because a late answer would meet the next request; a serial port stays open
// after a ReplyError and throws away what comes late.
//
// # Pitfalls of the serial library
//
// go.bug.st/serial reports a read timeout as (0, nil), writes in part and without retry, keeps using its descriptor after
// Close (which may by then be somebody's file), and panics in select(2) on descriptors from 1024 on. Each of them is kept inside
// this package; see serialLink and reserve.
package bus
