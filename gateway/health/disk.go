package health

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/callseal/callseal/gateway/setting"
)

// diskOf is the room in the folder where the state is kept.
func diskOf(folder string, least setting.Bytes, metrics *Metrics) func(context.Context) error {
	return func(context.Context) error {
		var stat unix.Statfs_t
		if err := unix.Statfs(folder, &stat); err != nil {
			return fmt.Errorf("look for room in %s: %w", folder, err)
		}
		free := setting.Bytes(stat.Bavail) * setting.Bytes(stat.Bsize) //nolint:gosec // a disk's size
		metrics.free.Set(float64(free))
		if free < least {
			return fmt.Errorf("%d MiB are free in %s, less than the %s that health.disk_free wants: make room", free/setting.MiB, folder, least)
		}
		return nil
	}
}

// DiskOf makes the dependency "disk".
func DiskOf(folder string, config Config, metrics *Metrics) Dependency {
	return Dependency{Name: Disk, Ask: diskOf(folder, config.DiskFree, metrics)}
}
