// Package auth says who may log in and what they may do, by files in mosquitto's formats: it checks passwords, writes password files, and answers
// what an ACL file grants.
//
// A line of a password file is a user name, a colon and a hash; a line that starts with # is a comment. The hashes are those
// that mosquitto 1.x to 2.1 write:
//
//	user:$7$iterations$salt$key                       PBKDF2 with HMAC-SHA512 (RFC 8018)
//	user:$6$salt$key                                  SHA512 of password and salt; fast to guess, only read here
//	user:$argon2id$v=19$m=47104,t=1,p=1$salt$key      Argon2id (RFC 9106) as a PHC string
//	user:$2b$cost$saltkey                             bcrypt, also $2a$ and $2y$, as htpasswd -B writes; only read here
//
// mosquitto 2.0 reads a $7$ line only with a salt of 12 bytes, and so that is what this package writes.
//
// A line of an ACL file names the user whose lines follow, or grants or denies topics. Lines before the first user are for anonymous clients;
// patterns are for everybody, with %u for the user's name and %c for the client's identifier:
//
//	user NAME
//	topic [read|write|readwrite|deny] FILTER
//	pattern [read|write|readwrite|deny] FILTER
//
// What is not granted is denied. The lines of a user are asked before the patterns, and in both the denials come first. A filter that does not
// begin with $ says nothing about topics that do. In two things this package is stricter than mosquitto 2.0: a name with a slash or with a $ in front
// does not let a pattern grant what lies outside the pattern's own place, and a line such as "topic deny" is an error and not a grant for a
// topic of that name.
package auth
