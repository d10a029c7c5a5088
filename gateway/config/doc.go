// Package config reads Tidegate's configuration: one TOML file, strictly, into typed and validated structs.
//
// Strict means that nothing in the file is passed over in silence. An unknown key, a value of the wrong type,
// a missing key, two owners of one port: each is an error that names file, line and column, says what is wrong
// and what to do, and all of them are reported in one go, so that a person repairs the file once. Only an error
// of TOML's own syntax stands alone, because nothing behind it can be trusted.
//
// How a file becomes a Config:
//
//  1. scan.go finds where each key and each value stands. The TOML library tells the position of a syntax error but not
//     of a key, so a small scanner of our own does; a test and the fuzz target compare its keys with the library's.
//  2. The library parses the file into a tree (load.go).
//  3. decode.go moves the tree into the structs of config.go, over the defaults of defaults.go, and notes every
//     unknown key and wrong type. The library's own decoder stops at the first mismatch, so it is not used here.
//  4. Secrets are resolved (secret.go), and check*.go validates what one key alone cannot tell.
//  5. loops.go follows topics through the routes of several upstreams and refuses what would go round for ever. lint*.go compares
//     what devices and routes ask of an upstream with what its profile takes (profiles.go).
//
// What is allowed but probably not meant is in Config.Warnings; a caller that is strict takes them for errors.
//
// Pos and Error of Config let other packages report what only they can know, such as a bus that is asked for more than
// its baud rate allows, in the same form.
package config
