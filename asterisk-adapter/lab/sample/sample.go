// Package sample bundles two calls that the lab's Asterisk 22 really recorded:
// their CDR file and their recordings, for where no Asterisk can be had.
package sample

import "embed"

// Files holds Master.csv and one UNIQUEID.wav a call.
//
//go:embed *.csv *.wav
var Files embed.FS
