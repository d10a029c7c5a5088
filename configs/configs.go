// Package configs holds the example configurations, embedded so that the binary can print and run them. It knows
// nothing of what they mean; package config's tests prove that they parse.
package configs

import _ "embed"

// Reference shows every key with its default. As it stands it is a valid configuration that changes nothing.
//
//go:embed reference.toml
var Reference []byte

// Demo is the gateway of the demo, with simulated devices.
//
//go:embed demo.toml
var Demo []byte

// Cloud is the second gateway of the demo, which plays the cloud.
//
//go:embed cloud.toml
var Cloud []byte

// First is a first configuration to start from, as the README shows it.
//
//go:embed first.toml
var First []byte
