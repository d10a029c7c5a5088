// Package auth checks the passwords of MQTT clients against a file in mosquitto's format, and writes such files.
//
// A line of the file is a user name, a colon and a hash; a line that starts with # is a comment. The hashes are those
// that mosquitto 1.x to 2.1 write:
//
//	user:$7$iterations$salt$key                       PBKDF2 with HMAC-SHA512 (RFC 8018)
//	user:$6$salt$key                                  SHA512 of password and salt; fast to guess, only read here
//	user:$argon2id$v=19$m=47104,t=1,p=1$salt$key      Argon2id (RFC 9106) as a PHC string
//
// mosquitto 2.0 reads a $7$ line only with a salt of 12 bytes, and so that is what this package writes.
package auth
