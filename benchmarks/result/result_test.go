package result

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/callseal/callseal/benchmarks/machine"
)

func sample() *Group {
	recorder := NewRecorder()
	for n := range 1000 {
		recorder.Record(time.Duration(n+1) * time.Millisecond)
	}
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	return &Group{
		Name: "callseal-bft", Title: "Callseal, SmartBFT", Began: now, Ended: now.Add(time.Minute),
		Facts: []machine.Fact{{Name: "machine", Value: "2 × processor"}},
		Measurements: []Measurement{
			{Name: "commit/lone", Title: "lone commit", Unit: "ms", Latencies: []Distribution{recorder.Distribution()}},
			{Name: "anchor/rate=200", Title: "throughput", Unit: "/s", Values: []float64{199, 200}, Parameters: map[string]float64{"offered": 200}},
		},
	}
}

func TestWrittenIsRead(t *testing.T) {
	folder, group := t.TempDir(), sample()
	require.NoError(t, group.Write(folder))
	groups, err := Read(folder)
	require.NoError(t, err)
	require.Equal(t, map[string]*Group{"callseal-bft": group}, groups)
	lone := groups["callseal-bft"].Find("commit/lone").Latencies[0]
	require.Equal(t, int64(1000), lone.Count)
	require.InEpsilon(t, 500, lone.P50, 0.01)
	require.InEpsilon(t, 990, lone.P99, 0.01)
	require.InEpsilon(t, 1, lone.Points[len(lone.Points)-1][1], 1e-9)
	require.Nil(t, group.Find("commit"))
}

// A disk that is full leaves what was there before, and nothing else.
func TestAFullDisk(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", folder, "tmpfs", 0, "size=64k"), "this test needs to mount a small filesystem: run it as root")
	t.Cleanup(func() { require.NoError(t, unix.Unmount(folder, 0)) })
	require.ErrorIs(t, Prepare(folder), unix.ENOSPC)
	group := sample()
	require.NoError(t, group.Write(folder))
	before, err := os.ReadFile(filepath.Join(folder, "callseal-bft.json"))
	require.NoError(t, err)
	for range 2000 {
		group.Notes = append(group.Notes, "What must be said beside every figure of the group.")
	}
	require.ErrorIs(t, group.Write(folder), unix.ENOSPC)
	after, err := os.ReadFile(filepath.Join(folder, "callseal-bft.json"))
	require.NoError(t, err)
	require.Equal(t, before, after)
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestWhatCannotBeReported(t *testing.T) {
	for name, spoil := range map[string]func(*Group){
		"no name":           func(g *Group) { g.Name = "" },
		"a path":            func(g *Group) { g.Name = "../x" },
		"nothing measured":  func(g *Group) { g.Measurements = nil },
		"twice":             func(g *Group) { g.Measurements = append(g.Measurements, g.Measurements[0]) },
		"no unit":           func(g *Group) { g.Measurements[0].Unit = "" },
		"neither":           func(g *Group) { g.Measurements[1].Values = nil },
		"both":              func(g *Group) { g.Measurements[0].Values = []float64{1} },
		"nothing counted":   func(g *Group) { g.Measurements[0].Latencies[0].Count = 0 },
		"points that fall":  func(g *Group) { p := g.Measurements[0].Latencies[0].Points; p[1][0] = p[0][0] - 1 },
		"ended before that": func(g *Group) { g.Ended = g.Began.Add(-time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			folder, group := t.TempDir(), sample()
			spoil(group)
			require.ErrorIs(t, group.Write(folder), ErrBadGroup)
			files, err := os.ReadDir(folder)
			require.NoError(t, err)
			require.Empty(t, files, "nothing is half-written")
		})
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	for text, says := range map[string]string{
		"x":                      "it is no result, or was cut in the middle",
		`{"version":1,"name":"x`: "it is no result, or was cut in the middle",
		`{"version":2,"more":1}`: "it is of version 2, this program reads 1: measure again",
		`{}`:                     "it is of version 0, this program reads 1: measure again",
		`{"version":1,"more":1}`: "it is not as this program writes results",
	} {
		t.Run(text, func(t *testing.T) {
			folder := t.TempDir()
			file := filepath.Join(folder, "x.json")
			require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
			_, err := Read(folder)
			require.ErrorIs(t, err, ErrBadGroup)
			require.ErrorContains(t, err, file+": "+says)
		})
	}
	folder := t.TempDir()
	require.NoError(t, sample().Write(folder))
	require.NoError(t, os.Rename(filepath.Join(folder, "callseal-bft.json"), filepath.Join(folder, "other.json")))
	_, err := Read(folder)
	require.ErrorIs(t, err, ErrBadGroup)
}
