package report

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func pagesOf(t *testing.T, pages map[string]string) *Figures {
	t.Helper()
	root := t.TempDir()
	for name, text := range pages {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o644))
	}
	return &Figures{Root: root, Report: func() (*Report, error) { return New(sample(t), caused()) }}
}

func TestFiguresOfPages(t *testing.T) {
	const before = "# Readme\n\nA lone call is committed in <!-- figure callseal-bft/commit/lone p50 -->1 ms<!-- /figure -->, that is\n<!-- figure aim op-stack-tuned -->?<!-- /figure --> faster.\n"
	f := pagesOf(t, map[string]string{"README.md": before, "docs/performance.md": "<!-- figure aims --><!-- /figure -->\n", "bin/other.md": "<!-- figure", ".git/other.md": "<!-- figure", "docs/x.txt": "<!-- figure"})
	_, err := f.Check()
	require.ErrorIs(t, err, ErrOtherFigures)
	require.ErrorContains(t, err, `README.md:3: callseal-bft/commit/lone p50 is "15.0 ms", the page says "1 ms"`)
	require.ErrorContains(t, err, `README.md:4: aim op-stack-tuned is "`)
	require.ErrorContains(t, err, `docs/performance.md:1: aims is "| figure | aim | measured | verdict | …"`)
	count, err := f.Write()
	require.NoError(t, err)
	require.Equal(t, 3, count)
	readme, err := os.ReadFile(filepath.Join(f.Root, "README.md"))
	require.NoError(t, err)
	require.Contains(t, string(readme), "committed in <!-- figure callseal-bft/commit/lone p50 -->15.0 ms<!-- /figure -->, that is\n")
	count, err = f.Check()
	require.NoError(t, err)
	require.Equal(t, 3, count)
}

func TestPagesOfWhichOneIsWrongStayAsTheyAre(t *testing.T) {
	const before = "<!-- figure callseal-bft/commit/lone p50 -->1 ms<!-- /figure -->"
	f := pagesOf(t, map[string]string{"a.md": before, "b.md": "\n<!-- figure callseal-bft/commit/alone p50 -->1 ms<!-- /figure -->"})
	_, err := f.Write()
	require.ErrorIs(t, err, ErrNotMeasured)
	require.ErrorContains(t, err, "b.md:2: not measured: group callseal-bft has no commit/alone")
	text, err := os.ReadFile(filepath.Join(f.Root, "a.md"))
	require.NoError(t, err)
	require.Equal(t, before, string(text))
}

func TestPagesWithoutFiguresNeedNoResults(t *testing.T) {
	f := &Figures{Root: pagesOf(t, map[string]string{"a.md": "# A\n"}).Root, Report: func() (*Report, error) { return nil, ErrNoResults }}
	count, err := f.Check()
	require.NoError(t, err)
	require.Zero(t, count)
	require.NoError(t, os.WriteFile(filepath.Join(f.Root, "b.md"), []byte("<!-- figure aims --><!-- /figure -->"), 0o600))
	_, err = f.Check()
	require.ErrorIs(t, err, ErrNoResults)
}

func TestNamesOfFigures(t *testing.T) {
	made, err := New(sample(t), caused())
	require.NoError(t, err)
	for name, want := range map[string]string{
		"callseal-bft/commit/lone p50":                                                  "15.0 ms",
		"op-stack-tuned/memory/total":                                                   "MiB",
		"op-stack-defaults/latency/lone p50 over callseal-bft/commit/lone p50":          "214 times",
		"op-stack-defaults/latency/lone p50 over callseal-bft/commit/lone p50 interval": "214 times (",
		"aim details-5000":                 "/s",
		"aim details-5000 interval":        "/s (",
		"aim details-5000 verdict":         "missed by 35 %",
		"aim reputation-conflicts verdict": "reached",
		"fact callseal-bft machine":        "2 × Example Processor, 8 GiB",
		"fact callseal-bft fsync of 4 KiB": "p99 1.10 ms",
	} {
		got, err := made.Figure(name)
		require.NoError(t, err, name)
		require.Contains(t, got, want, name)
		require.NotContains(t, got, "\n")
	}
	for name, problem := range map[string]string{
		"callseal-bft":                      "GROUP/MEASUREMENT",
		"callseal-bft/commit/lone":          "has no value",
		"callseal-bft/commit/lone p51":      "GROUP/MEASUREMENT",
		"callseal-bft/commit/lone p50 x":    "GROUP/MEASUREMENT",
		"callseal-bft/commit/lone p50 over": "GROUP/MEASUREMENT",
		"aim":                               "which aim",
		"aim none":                          `no aim "none"`,
		"aim growth why":                    `no "why"`,
		"aim adapter-cpu":                   "there is no group callseal-adapter",
		"fact callseal-bft":                 "named with its group",
		"fact callseal-bft colour":          `no fact "colour"`,
		"fact none machine":                 "there is no group none",
		"interval":                          "GROUP/MEASUREMENT",
	} {
		_, err := made.Figure(name)
		require.ErrorContains(t, err, problem, name)
	}
}
