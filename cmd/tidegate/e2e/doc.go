// Package e2e holds the end-to-end tests: they run the built binary against programs that this project did not write,
// mosquitto as cloud and as LAN clients, pymodbus as devices, and read what comes out.
//
// A test that lacks its peer program says which package brings it and is skipped. With TIDEGATE_REQUIRE_PEERS=1 it fails instead.
// Tests that need what a machine may refuse, FUSE for power cuts and tmpfs for full disks, are skipped with the reason where it does.
//
// With TIDEGATE_SOAK=100, as make soak sets it, the power is cut a hundred times and the gateway killed two hundred times, instead of
// the few of a usual run. Each such test logs the seed of its random choices; TIDEGATE_SEED=n makes the same choices again.
//
// With TIDEGATE_BACKLOG=10000000 the backlog that must take no memory has ten million records instead of some thousand. That takes about twenty
// minutes, a -timeout to match, and 3 GB of disk.
//
// TestClients drives client libraries through programs in testdata/clients; make clients installs the npm packages that they need.
package e2e
