package adapter

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheDiskIsAnnounced says that a disk is nearly full before it is.
func TestTheDiskIsAnnounced(t *testing.T) {
	t.Parallel()
	for _, nearly := range []bool{false, true} {
		log := &logbook{}
		a := &Adapter{config: &Config{StateDir: t.TempDir(), diskFree: 1}, log: log.logger(), metrics: newMetrics()}
		a.standings = newStandings(func(string, bool) {})
		if nearly {
			a.config.diskFree = 1 << 62
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.watchDisk(ctx) }()
		require.Eventually(t, func() bool {
			all, _ := a.standings.all()
			_, known := all[standingDisk]
			return known
		}, patience, 1)
		all, whole := a.standings.all()
		require.Equal(t, nearly, !whole)
		if nearly {
			log.until(t, "the disk of the journal is nearly full", 1)
			require.Contains(t, all[standingDisk].Problem, "4.0 EiB should be")
		}
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	}
}
