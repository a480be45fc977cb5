package tessera

import (
	"fmt"
	"runtime/debug"
)

// Notes are what must be said beside every figure of a log.
var Notes = []string{
	"A log is kept and signed by one party: nobody endorses, nobody else has a copy, and whoever holds its key can show different logs to different people unless witnesses are added. Witnesses would add their answers to every checkpoint's time.",
	"An entry is acknowledged once its bundle, the tiles of the tree and the tree's state are written with O_SYNC under another name and put in place by link or rename, and the folder is synced; the checkpoint is written in the same way.",
	"Entries are the call records that Callseal anchors, without details, checks of their signer, or a refusal of the same record twice: deduplication (antispam) is off, which is faster.",
	"Log, clients and verification share one process and its processors, without a network between.",
}

// Version is that of Tessera in this program.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, module := range info.Deps {
		if module.Path == "github.com/transparency-dev/tessera" {
			return module.Version
		}
	}
	return "unknown"
}

// String says the settings in words.
func (s Settings) String() string {
	return fmt.Sprintf("batches of %d or %s, checkpoints every %s", s.BatchSize, s.BatchAge, s.CheckpointInterval)
}
