package l2

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/result"
)

// short measures anvil only, for a moment.
func short(t *testing.T) Options {
	t.Helper()
	o := QuickOptions()
	o.Out, o.Stacks, o.Anvils, o.Repetitions = t.TempDir(), nil, []string{"100ms", "automine"}, 2
	o.AnvilLone, o.AnvilOpen, o.Rate, o.Roots = 300*time.Millisecond, 500*time.Millisecond, 50, []int{1, 7}
	return o
}

// ready is equip, once for all tests that look at what comes after.
func ready(ctx context.Context, options Options, progress func(string)) (equipment, error) {
	equipped.Do(func() { kept, failed = equip(ctx, options, progress) })
	return kept, failed
}

var (
	equipped sync.Once
	kept     equipment
	failed   error
)

func files(t *testing.T, folder string) []string {
	t.Helper()
	var names []string
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestResultsOfARealAnvil(t *testing.T) {
	o := short(t)
	require.NoError(t, run(t.Context(), o, func(line string) { t.Log(line) }, ready))
	require.Equal(t, []string{"anvil-100ms.json", "anvil-automine.json", "gas.json"}, files(t, o.Out))
	groups, err := result.Read(o.Out)
	require.NoError(t, err)
	for _, name := range []string{"anvil-100ms", "anvil-automine"} {
		group := groups[name]
		require.NotEmpty(t, group.Notes, name)
		require.Nil(t, group.Find("latency/safe"), "anvil's safe head is arithmetic")
		for _, latency := range []string{"latency/lone", "latency/open"} {
			require.Len(t, group.Find(latency).Latencies, 2, name)
			for _, one := range group.Find(latency).Latencies {
				require.Positive(t, one.Count)
				require.Positive(t, one.P50)
			}
		}
		require.Len(t, group.Find("memory/anvil").Values, 2)
		require.Equal(t, group.Find("cpu/anvil").Values, group.Find("cpu/total").Values)
	}
	gas := groups["gas"]
	of := func(name string) float64 { return gas.Find("gas/" + name).Values[0] }
	// Slots that are written first cost 22,100 gas each, and a transaction 21,000.
	require.Greater(t, of("struct"), of("slot")+20_000)
	require.Greater(t, of("slot"), of("event")+20_000)
	require.Greater(t, of("event"), 21_000.0)
	require.InEpsilon(t, of("merkle-1")/7, of("merkle-7"), 0.01)
	require.InEpsilon(t, of("slot")*o.Prices.L2*1e-9*o.Prices.Ether, gas.Find("fee-l2/slot").Values[0], 1e-9)
	require.Nil(t, gas.Find("fee/slot"), "anvil has no fee for an L1")
}

func TestOptionsThatMeasureNothing(t *testing.T) {
	for says, spoil := range map[string]func(*Options){
		"-out is missing":          func(o *Options) { o.Out = "" },
		"neither -op-stack":        func(o *Options) { o.Stacks, o.Anvils = nil, nil },
		`-op-stack has "fast"`:     func(o *Options) { o.Stacks = []string{"fast"} },
		`-op-stack has "tuned"`:    func(o *Options) { o.Stacks = []string{Tuned, Tuned} },
		`-anvil has "0s"`:          func(o *Options) { o.Anvils = []string{"0s"} },
		`-anvil has "1.5s"`:        func(o *Options) { o.Anvils = []string{"1.5s"} },
		"-repetitions is 0":        func(o *Options) { o.Repetitions = 0 },
		"-rate is 0":               func(o *Options) { o.Rate = 0 },
		"-rate is 1000":            func(o *Options) { o.Rate = 1000 },
		"-safe is negative":        func(o *Options) { o.Safe = -1 },
		"-roots names no":          func(o *Options) { o.Roots = nil },
		"-roots has 0":             func(o *Options) { o.Roots = []int{0} },
		"a price is negative":      func(o *Options) { o.Prices.Ether = -1 },
		"a duration is 0s, and mu": func(o *Options) { o.AnvilOpen = 0 },
	} {
		o := short(t)
		spoil(&o)
		err := Run(t.Context(), o, func(string) { t.Error("nothing is begun") })
		require.ErrorIs(t, err, ErrBadOptions, says)
		require.ErrorContains(t, err, says)
	}
	for _, o := range []Options{DefaultOptions(), QuickOptions()} {
		o.Out = "x"
		require.NoError(t, o.Check())
	}
}

func TestAFolderThatCannotBeWrittenIsKnownAtOnce(t *testing.T) {
	o := short(t)
	file := filepath.Join(o.Out, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	o.Out = filepath.Join(file, "results")
	require.ErrorContains(t, Run(t.Context(), o, func(string) { t.Error("nothing is begun") }), "make the folder for the results: ")
}

func TestAllResultsOrNone(t *testing.T) {
	o := short(t)
	o.Anvils, o.Repetitions = []string{"automine"}, 1
	// A folder of that name cannot be replaced by a file.
	require.NoError(t, os.MkdirAll(filepath.Join(o.Out, "gas.json", "x"), 0o755))
	require.ErrorContains(t, run(t.Context(), o, func(string) {}, ready), "write the results of gas: ")
	require.Equal(t, []string{"gas.json"}, files(t, o.Out))
}

func TestAChainThatDiesIsNamed(t *testing.T) {
	o := short(t)
	e, err := ready(t.Context(), o, func(string) {})
	require.NoError(t, err)
	r := &runner{equipment: e, options: o, progress: func(string) {}}
	err = r.anvil(t.Context(), "100ms", func(ctx context.Context, s *session, group *result.Group, every time.Duration) error {
		time.AfterFunc(300*time.Millisecond, func() { _ = syscall.Kill(s.daemons[0].PID(), syscall.SIGKILL) })
		return r.onChain(ctx, s, group, plan{lone: time.Minute, open: time.Second, pause: every}, true, false)
	})
	require.ErrorContains(t, err, "anvil ended with signal: killed; the last of its log: ")
	require.Empty(t, r.groups)
}

func TestInterruptedItLeavesNothing(t *testing.T) {
	o := short(t)
	o.AnvilLone = time.Minute
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	ctx, cancel := context.WithCancel(t.Context())
	err := run(ctx, o, func(line string) {
		if strings.HasPrefix(line, "anvil, ") {
			time.AfterFunc(300*time.Millisecond, cancel)
		}
	}, ready)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, files(t, o.Out))
	require.Empty(t, files(t, temporary))
}

func TestCallsDifferAndFollowFromTheSeed(t *testing.T) {
	a, b := newCalls(1), newCalls(1)
	keys, digests := map[[32]byte]bool{}, map[[32]byte]bool{}
	for range 1000 {
		one, err := a.next()
		require.NoError(t, err)
		again, err := b.next()
		require.NoError(t, err)
		require.Equal(t, one, again)
		require.False(t, keys[one.key] || digests[one.digest])
		keys[one.key], digests[one.digest] = true, true
	}
	other, err := newCalls(2).next()
	require.NoError(t, err)
	require.False(t, keys[other.key] && digests[other.digest])
}
