// Package e2e holds the end-to-end tests: they run the built binary against programs that this project did not write,
// mosquitto as cloud and as LAN clients, pymodbus as devices, and read what comes out.
//
// A test that lacks its peer program says which package brings it and is skipped. With TIDEGATE_REQUIRE_PEERS=1 it fails instead.
package e2e
