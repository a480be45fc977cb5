// Package machine says on what a measurement was made: figures mean nothing without
// the processor, the versions and how long the disk takes to be sure.
package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
)

// Fact is one thing to know of the machine.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// syncs is how many times the disk is tried.
const syncs = 200

// Facts describes the machine, the program's commit, Fabric's version and what an
// fsync takes in a folder. What cannot be found out is said to be unknown.
func Facts(ctx context.Context, folder string) []Fact {
	return []Fact{
		{"date", time.Now().UTC().Format("2006-01-02 15:04 MST")},
		{"commit", commit(ctx)},
		{"machine", processor(ctx)},
		{"system", system(ctx)},
		{"go", runtime.Version()},
		{"fabric", fabricVersion(ctx)},
		{"load before", loadBefore(ctx)},
		{"fsync of 4 KiB", syncLatency(folder)},
	}
}

const unknown = "unknown"

// commit is the commit that is measured, with "and changes" where the tree has
// any.
func commit(ctx context.Context) string {
	hash, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return unknown
	}
	text := strings.TrimSpace(string(hash))
	// What measurements write is no change of what is measured.
	changed, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no", "--", ":/", ":!/docs").Output()
	if err == nil && len(changed) > 0 {
		text += " and changes"
	}
	return text
}

func processor(ctx context.Context) string {
	infos, err := cpu.InfoWithContext(ctx)
	if err != nil || len(infos) == 0 {
		return unknown
	}
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return unknown
	}
	return fmt.Sprintf("%d × %s, %.0f GiB", runtime.NumCPU(), strings.Join(strings.Fields(infos[0].ModelName), " "), float64(memory.Total)/(1<<30))
}

func system(ctx context.Context) string {
	info, err := host.InfoWithContext(ctx)
	if err != nil {
		return unknown
	}
	return fmt.Sprintf("%s %s, Linux %s", info.Platform, info.PlatformVersion, info.KernelVersion)
}

// fabricVersion asks the peer that the network would run, where it is named.
func fabricVersion(ctx context.Context) string {
	program := "peer"
	if folder := os.Getenv("FABRIC_BIN"); folder != "" {
		program = filepath.Join(folder, "peer")
	}
	if output, err := exec.CommandContext(ctx, program, "version").Output(); err == nil {
		for line := range strings.Lines(string(output)) {
			if version, found := strings.CutPrefix(strings.TrimSpace(line), "Version: "); found {
				return version
			}
		}
	}
	return "3.1.1, built by network/fabric"
}

func loadBefore(ctx context.Context) string {
	average, err := load.AvgWithContext(ctx)
	if err != nil {
		return unknown
	}
	return fmt.Sprintf("%.1f", average.Load1)
}

// syncLatency writes and syncs a file as a journal would.
func syncLatency(folder string) string {
	file, err := os.CreateTemp(folder, "fsync-")
	if err != nil {
		return unknown
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}()
	took := make([]time.Duration, 0, syncs)
	page := make([]byte, 4096)
	for range syncs {
		began := time.Now()
		if _, err := file.Write(page); err != nil {
			return unknown
		}
		if err := file.Sync(); err != nil {
			return unknown
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
	return fmt.Sprintf("p50 %s, p99 %s", ms(took[syncs/2]), ms(took[syncs*99/100]))
}
