package adapter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// diskEvery is how often the disk under the journal is looked at.
const diskEvery = 10 * time.Second

var errDisk = errors.New("the disk of the journal is nearly full")

// watchDisk says that the journal's disk gets full before it is, until the context
// ends: a gateway that is away costs disk.
func (a *Adapter) watchDisk(ctx context.Context) error {
	ticker := time.NewTicker(diskEvery)
	defer ticker.Stop()
	full := false
	for {
		err := a.diskFree()
		a.stands(standingDisk, err)
		switch {
		case err != nil && !full:
			a.log.Error("the disk of the journal is nearly full: make space, or the adapter will have to stop", "error", err)
		case err == nil && full:
			a.log.Info("the disk of the journal has space again")
		}
		full = err != nil
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// diskFree is an error where less is free than is configured.
func (a *Adapter) diskFree() error {
	var disk unix.Statfs_t
	if err := unix.Statfs(a.config.StateDir, &disk); err != nil {
		return fmt.Errorf("ask how much of the disk is free: %w", err)
	}
	free := disk.Bavail * uint64(disk.Bsize) //nolint:gosec // a block's size is positive
	a.metrics.diskFree.Set(float64(free))
	if least := a.now().diskFree; free < least {
		return fmt.Errorf("%w: %s are free in %s, %s should be", errDisk, humanize.IBytes(free), a.config.StateDir, humanize.IBytes(least))
	}
	return nil
}
