// Package app is the only place that knows everybody: it maps the configuration to each component's options, wires the one
// road, and starts and stops the components in order.
//
// Order of start: buffer, broker, listeners, bridges, engine, http. The stop goes the other way: first nothing new is read from the
// devices, then the upstreams get what the window holds and learn that the gateway goes, then the clients are cut, and last
// the buffer commits what is left. Every step has a name and a bound.
package app
