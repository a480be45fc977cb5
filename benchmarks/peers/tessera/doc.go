// Package tessera measures Tessera on POSIX files, the transparency log that people
// would use to make call records tamper-evident without a consortium: how long it takes
// until a record has an inclusion proof that verifies against a signed checkpoint, and
// how many records a second get one.
package tessera
