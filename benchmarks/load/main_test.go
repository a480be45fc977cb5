package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/callseal/callseal/benchmarks/program"
)

// Whatever it is asked for that cannot be measured, it says so in a sentence and leaves
// no result.
func TestNothingIsMeasured(t *testing.T) {
	out := t.TempDir()
	full := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", full, "tmpfs", 0, "size=64k"), "this test needs to mount a small filesystem: run it as root")
	t.Cleanup(func() { require.NoError(t, unix.Unmount(full, 0)) })
	for name, c := range map[string]struct {
		arguments []string
		code      int
		says      string
	}{
		"calls that fall":       {[]string{"-out", out, "-calls", "100,10"}, 2, "write rising numbers of calls"},
		"calls that are none":   {[]string{"-out", out, "-calls", "many"}, 2, "write rising numbers of calls"},
		"a network that is not": {[]string{"-out", out, "-network", filepath.Join(out, "nowhere")}, 1, "there is no folder " + filepath.Join(out, "nowhere")},
		"a full disk":           {[]string{"-out", full}, 2, "no space left on device"},
		"no such group":         {[]string{"-out", out, "-only", "callseal-solo"}, 2, "there is no group"},
	} {
		t.Run(name, func(t *testing.T) {
			var problems bytes.Buffer
			require.Equal(t, c.code, run(c.arguments, &problems))
			require.Contains(t, problems.String(), c.says)
			for _, folder := range []string{out, full} {
				left, err := os.ReadDir(folder)
				require.NoError(t, err)
				require.Empty(t, left)
			}
		})
	}
}

func TestPlans(t *testing.T) {
	whole, grown := plans(program.Options{Repetitions: 3})
	require.Equal(t, []float64{50, 200}, whole.Rates)
	require.Equal(t, []float64{200}, grown.Rates, "the report reads commit/rate=200/calls=N")
	quick, _ := plans(program.Options{Repetitions: 1, Quick: true})
	require.Contains(t, quick.Rates, 200.0, "the guard compares commit/rate=200")
	require.Less(t, quick.Steady, whole.Steady)
}
