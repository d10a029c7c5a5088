// Package lossyfs is a file system for tests that forgets, at a power cut, what nobody has synchronised. It runs in the process of the
// test, over FUSE, so that any program can have its data there.
//
// It keeps two states: the live one, which programs see, and the durable one, which a power cut leaves. What makes a change durable:
//
//   - The bytes and the size of a file: fsync or fdatasync of that file, and nothing else. Neither close nor sync(2), nor time.
//   - A name in a folder (creation, removal, rename): fsync of that folder, and nothing else. This is stricter than ext4, where fsync of a
//     new file brings its name along.
//   - The mode of a file: at once. Other attributes are not kept.
//
// A crash that is not torn leaves the durable state alone. A torn one leaves, of what was changed since the last sync:
//
//   - some sectors of 512 bytes, chosen at random, each whole: a sector is old or new and never a mixture;
//   - the old size of a file or the new one; a sector within it that was never durable reads as zeros;
//   - the first few of each folder's changes of names, in order, as a journal of the file system's own data does. A rename is one change.
//
// A unix socket can be bound there; after a crash its name may still be there, as on a disk. There are no links, no devices and no renames
// from one folder to another. It is meant for linux with 64 bit, as its one import is.
package lossyfs
