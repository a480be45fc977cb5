package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/benchmarks/result"
)

var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "bench-report-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	program = filepath.Join(folder, "callseal-bench-report")
	if output, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		panic(string(output))
	}
	return m.Run()
}

// results leaves results of one group in a folder: throughput and what it is compared
// with.
func results(t *testing.T, throughput float64) string {
	t.Helper()
	folder := t.TempDir()
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	facts := []machine.Fact{{Name: "machine", Value: "2 × Example Processor"}}
	for _, group := range []*result.Group{
		{Name: "callseal-bft", Title: "Callseal, SmartBFT ordering", Measurements: []result.Measurement{
			{Name: "throughput/saturation/details", Title: "with details", Unit: "/s", Values: []float64{throughput - 1, throughput, throughput + 1}},
			// Has no cause in causes.yaml, where it would be missed.
			{Name: "throughput/reputation/hot", Title: "evidence", Unit: "/s", Values: []float64{throughput}},
		}},
		{Name: "fabric-stock", Title: "Fabric", Measurements: []result.Measurement{{Name: "throughput/plain", Title: "plain", Unit: "/s", Values: []float64{199, 200, 201}}}},
	} {
		group.Began, group.Ended, group.Facts = now, now.Add(time.Minute), facts
		require.NoError(t, group.Write(folder))
	}
	return folder
}

// does runs the program and answers what it says, and whether it ended well.
func does(t *testing.T, arguments ...string) (string, bool) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), program, arguments...).CombinedOutput()
	return string(output), err == nil
}

func TestProgram(t *testing.T) {
	good, worse := results(t, 6000), results(t, 4000)
	out := filepath.Join(t.TempDir(), "report")
	says, well := does(t, "write", "--results", good, "--out", out)
	require.True(t, well, says)
	require.Contains(t, says, "report.html: 4 aims reached, 0 missed, 22 not measured")
	says, well = does(t, "check", "--results", good)
	require.True(t, well, says)
	says, well = does(t, "check", "--results", good, "--complete")
	require.False(t, well)
	require.Contains(t, says, "not measured: op-stack-defaults, ")
	says, well = does(t, "check", "--results", worse)
	require.False(t, well)
	require.Contains(t, says, "missed without a cause in benchmarks/report/causes.yaml: reputation-hot")
	says, well = does(t, "guard", "--results", good, "--against", good)
	require.True(t, well, says)
	says, well = does(t, "guard", "--results", worse, "--against", good)
	require.False(t, well)
	require.Contains(t, says, "WORSE")
	require.Contains(t, says, "callseal-bench-report: ratios got worse: 1 of 7")

	says, well = does(t, "guard", "--json", "--results", good, "--against", good)
	require.True(t, well, says)
	require.Contains(t, says, `"loss": 0,`)

	root := t.TempDir()
	page := filepath.Join(root, "README.md")
	require.NoError(t, os.WriteFile(page, []byte("<!-- figure callseal-bft/throughput/saturation/details -->?<!-- /figure -->\n"), 0o600))
	says, well = does(t, "figures", "--root", root, "--results", good)
	require.False(t, well)
	require.Contains(t, says, `README.md:1: callseal-bft/throughput/saturation/details is "6,000/s", the page says "?"`)
	says, well = does(t, "figures", "--root", root, "--results", good, "--write")
	require.True(t, well, says)
	says, well = does(t, "figures", "--root", root, "--results", good)
	require.True(t, well, says)
	require.Contains(t, says, "figures in pages: 1, as measured")
}

func TestBadInput(t *testing.T) {
	good, empty := results(t, 6000), t.TempDir()
	spoilt := func(text string) string {
		folder := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(folder, "gas.json"), []byte(text), 0o600))
		return folder
	}
	whole, err := os.ReadFile(filepath.Join(good, "fabric-stock.json"))
	require.NoError(t, err)
	cut, newer, renamed := spoilt(string(whole[:len(whole)/2])), spoilt(`{"version": 2, "colour": "blue"}`), spoilt(string(whole))
	gas := func(folder string) string { return filepath.Join(folder, "gas.json") }
	file := filepath.Join(empty, "file.txt")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	report := filepath.Join(empty, "report")
	for problem, arguments := range map[string][]string{
		`required flag(s) "out", "results"`:                                              {"write"},
		"there are no results in " + empty:                                               {"write", "--results", empty, "--out", report},
		"there are no results in " + empty + "/none: measure":                            {"write", "--results", empty + "/none", "--out", report},
		"bad result: " + gas(cut) + ": it is no result, or was cut in the middle":        {"write", "--results", cut, "--out", report},
		"bad result: " + gas(newer) + ": it is of version 2, this program reads 1: ":     {"write", "--results", newer, "--out", report},
		"bad result: " + gas(renamed) + ` holds "fabric-stock"`:                          {"write", "--results", renamed, "--out", report},
		gas(cut) + ": it is no result, or was cut in the middle: remove it and measure":  {"guard", "--results", good, "--against", cut},
		gas(newer) + ": it is of version 2, this program reads 1: measure again, or use": {"check", "--results", newer},
		"this folder holds something else than a report":                                 {"write", "--results", good, "--out", empty},
		"the report's folder: open " + file:                                              {"write", "--results", good, "--out", file},
		"make the report's folder":                                                       {"write", "--results", good, "--out", "/proc/none/report"},
		`unknown command "more"`:                                                         {"more"},
		`unknown command "more" for "callseal-bench-report w`:                            {"write", "more"},
		"there are no results in docs/measured/bench: measure":                           {"guard", "--results", good},
	} {
		says, code := fails(t, arguments...)
		require.Equal(t, 1, code, arguments)
		require.Contains(t, says, problem)
		require.LessOrEqual(t, strings.Count(says, "\n"), 2, says)
	}
	left, err := os.ReadDir(empty)
	require.NoError(t, err)
	require.Len(t, left, 1, "nothing is half-written")
}

// fails runs the program and answers what it says on its standard error, and its exit
// code; it must print nothing.
func fails(t *testing.T, arguments ...string) (says string, code int) {
	t.Helper()
	var out, problem bytes.Buffer
	command := exec.CommandContext(t.Context(), program, arguments...)
	command.Stdout, command.Stderr = &out, &problem
	var ended *exec.ExitError
	require.ErrorAs(t, command.Run(), &ended, arguments)
	require.Empty(t, out.String())
	return problem.String(), ended.ExitCode()
}

func TestAFullDisk(t *testing.T) {
	full := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", full, "tmpfs", 0, "size=400k"), "this test needs to mount a small filesystem: run it as root")
	t.Cleanup(func() { require.NoError(t, unix.Unmount(full, unix.MNT_DETACH)) })
	out := filepath.Join(full, "report")
	says, well := does(t, "write", "--results", results(t, 6000), "--out", out)
	require.True(t, well, says)
	before, err := os.ReadFile(filepath.Join(out, "report.md"))
	require.NoError(t, err)
	filler, err := os.Create(filepath.Join(full, "filler"))
	require.NoError(t, err)
	_, err = filler.Write(make([]byte, 1<<20))
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoError(t, filler.Close())

	says, code := fails(t, "write", "--results", results(t, 4000), "--out", out)
	require.Equal(t, 1, code)
	require.Contains(t, says, "no space left on device")
	after, err := os.ReadFile(filepath.Join(out, "report.md"))
	require.NoError(t, err)
	require.Equal(t, string(before), string(after), "the last report is still there, whole")
	says, code = fails(t, "write", "--results", results(t, 4000), "--out", filepath.Join(full, "other"))
	require.Equal(t, 1, code)
	require.Contains(t, says, "no space left on device")
	left, err := os.ReadDir(full)
	require.NoError(t, err)
	require.Len(t, left, 2, "nothing is half-written")
}

// TestAFileThatMayNotGrow has the kernel cut the program's writes.
func TestAFileThatMayNotGrow(t *testing.T) {
	folder := t.TempDir()
	command := exec.CommandContext(t.Context(), "prlimit", "--fsize=4096", program, "write", "--results", results(t, 6000), "--out", filepath.Join(folder, "report"))
	output, err := command.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(output), "callseal-bench-report: write the report: ")
	require.Contains(t, string(output), "file too large")
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestWhatIsPrintedMayBeLost prints to a full device.
func TestWhatIsPrintedMayBeLost(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = full.Close() })
	good := results(t, 6000)
	for _, arguments := range [][]string{{"guard", "--results", good, "--against", good}, {"guard", "--json", "--results", good, "--against", good}, {"check", "--results", good}} {
		command := exec.CommandContext(t.Context(), program, arguments...)
		var problem bytes.Buffer
		command.Stdout, command.Stderr = full, &problem
		require.Error(t, command.Run(), arguments)
		require.Contains(t, problem.String(), "no space left on device")
	}
}
