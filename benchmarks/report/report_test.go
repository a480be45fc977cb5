package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"html"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/result"
)

// caused are causes of what the sample misses.
func caused() Causes {
	return Causes{
		"details-5000": "Peers are full.", "no-details": "Peers are full.", "network-cpu": "Signatures.", "gateway-cpu": "Canonical JSON | and signatures.",
		"tessera-default-throughput": "Nobody endorses there.", "tessera-tuned-throughput": "Nobody endorses there.",
	}
}

func TestEveryAimHasAVerdict(t *testing.T) {
	made, err := New(sample(t), caused())
	require.NoError(t, err)
	require.Equal(t, []string{"adapter-cpu"}, made.Absent())
	require.Empty(t, made.Uncaused())
	require.Equal(t, len(aims), made.Reached+made.Missed+made.Unmeasured)
	require.NoError(t, made.Check(false))
	require.ErrorContains(t, made.Check(true), "not measured: adapter-cpu")
	lines := map[string]Verdict{}
	for _, row := range made.Rows {
		for _, v := range row.Lines {
			lines[v.ID] = v
		}
	}
	for id, want := range map[string]Outcome{
		"op-stack-defaults": Reached, "op-stack-safe": Reached, "lone-bft-p99": Reached, "details-3000": Reached, "details-5000": Missed,
		"tessera-tuned-throughput": Missed, "reputation-conflicts": Reached, "growth": Reached, "adapter-cpu": NotMeasured,
	} {
		require.Equal(t, want, lines[id].Outcome, id)
	}
}

func TestAMissedAimNeedsACause(t *testing.T) {
	causes := caused()
	delete(causes, "no-details")
	made, err := New(sample(t), causes)
	require.NoError(t, err)
	require.Equal(t, []string{"no-details"}, made.Uncaused())
	require.ErrorIs(t, made.Check(false), ErrIncomplete)
	require.ErrorContains(t, made.Check(false), "missed without a cause in benchmarks/report/causes.yaml: no-details")
	markdown, err := made.Markdown()
	require.NoError(t, err)
	require.Contains(t, string(markdown), "Cause: not yet said")
}

// TestWrittenCausesStandBesideWhatIsMissed has most aims missed, one of them without a
// cause.
func TestWrittenCausesStandBesideWhatIsMissed(t *testing.T) {
	causes, err := WrittenCauses()
	require.NoError(t, err)
	require.Contains(t, causes, "op-stack-safe")
	delete(causes, "lone-bft-p50")
	results := sample(t)
	scaleBy(t, results, "callseal-bft", "commit/lone", 50)
	reached, err := New(sample(t), causes)
	require.NoError(t, err)
	missed, err := New(results, causes)
	require.NoError(t, err)
	require.Contains(t, missed.Uncaused(), "lone-bft-p50")
	shown := map[string]Verdict{}
	for _, row := range missed.Rows {
		for _, v := range row.Lines {
			shown[v.ID] = v
		}
	}
	markdown, err := missed.Markdown()
	require.NoError(t, err)
	page, err := missed.HTML()
	require.NoError(t, err)
	before, err := reached.Markdown()
	require.NoError(t, err)
	beside := 0
	for id, cause := range causes {
		require.Contains(t, shown, id, "a cause of what is no aim")
		if shown[id].Outcome != Missed {
			require.Empty(t, shown[id].Cause, id)
			continue
		}
		beside++
		require.Equal(t, cause, shown[id].Cause, id)
		has(t, markdown, "Cause: "+cause)
		has(t, page, "<br>Cause: "+html.EscapeString(cause))
	}
	require.Greater(t, beside, 5)
	lacks(t, before, "Cause: "+causes["op-stack-safe"])
	require.Empty(t, shown["lone-bft-p50"].Cause)
	_, line, found := strings.Cut(string(markdown), "| BFT, p50 | below 20 ms | ")
	require.True(t, found)
	line, _, _ = strings.Cut(line, "\n")
	require.Contains(t, line, "**missed**")
	require.Contains(t, line, "Cause: not yet said")
	has(t, page, `Cause: <span class="missed">not yet said</span>`)
}

func TestBounds(t *testing.T) {
	for _, test := range []struct {
		bound   Bound
		value   float64
		reached bool
	}{
		{AtLeast, 10, true}, {AtLeast, 11, true}, {AtLeast, 9.9, false},
		{Below, 10, false}, {Below, 9.9, true}, {AtMost, 10, true}, {AtMost, 10.1, false},
	} {
		aim := Aim{Bound: test.bound, Target: 10}
		require.Equal(t, test.reached, aim.reachedBy(test.value), test)
	}
	for want, v := range map[string]Verdict{
		"25 % to spare": {Aim: Aim{Bound: AtLeast, Target: 4}, Outcome: Reached, Measured: Measured{Estimate: Estimate{Value: 5}}},
		"by 2.5 %":      {Aim: Aim{Bound: Below, Target: 40}, Outcome: Missed, Measured: Measured{Estimate: Estimate{Value: 41}}},
		"by 7":          {Aim: Aim{Bound: AtMost}, Outcome: Missed, Measured: Measured{Estimate: Estimate{Value: 7}}},
		"":              {Aim: Aim{Bound: AtMost}, Outcome: Reached},
	} {
		require.Equal(t, want, v.Distance())
	}
	v := Verdict{Aim: Aim{Bound: AtLeast, Target: 4}, Outcome: Reached, Measured: Measured{Estimate: Estimate{Value: 5, Low: 3, High: 7}}}
	require.Equal(t, "the interval reaches across the aim", v.Certainty())
	v.Measured.Low = 4
	require.Empty(t, v.Certainty())
}

func TestNamesOfAims(t *testing.T) {
	var ids []string
	for _, aim := range aims {
		ids = append(ids, aim.ID)
		require.NotEmpty(t, aim.Row)
		require.NotEmpty(t, aim.Unit)
		require.NotContains(t, measuredBy(aim.Quantity.Of.Group), "no command", aim.ID)
		if aim.Quantity.Over != nil {
			require.Equal(t, Times, aim.Unit, aim.ID)
			require.NotContains(t, measuredBy(aim.Quantity.Over.Group), "no command", aim.ID)
		}
	}
	slices.Sort(ids)
	require.Len(t, slices.Compact(ids), len(aims), "IDs differ")
	for _, one := range guarded {
		require.NotNil(t, one.Quantity.Over, "%s: only ratios are guarded", one.ID)
	}
	_, err := WrittenCauses()
	require.NoError(t, err)
}

func TestCauses(t *testing.T) {
	causes, err := parseCauses([]byte("growth: >\n  One.\n  Two.\n"))
	require.NoError(t, err)
	require.Equal(t, Causes{"growth": "One. Two."}, causes)
	for text, problem := range map[string]string{"grow: x": `"grow", which is no aim`, "growth: ''": `nothing of "growth"`, "growth: [1]": "causes.yaml", "- a": "causes.yaml"} {
		_, err := parseCauses([]byte(text))
		require.ErrorIs(t, err, ErrBadCauses, text)
		require.ErrorContains(t, err, problem)
	}
}

func TestMarkdown(t *testing.T) {
	made, err := New(sample(t), caused())
	require.NoError(t, err)
	text, err := made.Markdown()
	require.NoError(t, err)
	again, err := New(sample(t), caused())
	require.NoError(t, err)
	second, err := again.Markdown()
	require.NoError(t, err)
	require.True(t, bytes.Equal(text, second), "the same results make the same report")
	for _, part := range []string{
		"Measured from 2026-11-30 09:03 UTC to 2026-11-30 09:41 UTC",
		"Of 26 aims 19 were reached, 6 missed and 1 not measured.",
		"| machine | 2 × Example Processor, 8 GiB |\n",
		"| figure | aim | measured | verdict |\n|---|---|---|---|\n| **A lone CDR, sent to committed, against the OP Stack at 2 s blocks** | | | |\n| op-geth at its defaults, p50 | at least 150 times | ",
		"| BFT, p50 | below 20 ms | 15.0 ms (",
		`Cause: Canonical JSON \| and signatures.`,
		"not measured: there is no group callseal-adapter; measured by `",
		"![Latency of a record on its own](plots/latency.svg)",
		"One sequencer on loopback",
		"| a CDR row: a process, or the adapter's parser | 2.1", "| messages a second | 5,",
		"| `commit/rate=200` | at 200 records/s, due to COMMITTED | offered=200 | 3 (3000 samples) | p50 ",
	} {
		has(t, text, part)
	}
	for _, part := range []string{"NaN", "<no value>", "%!"} {
		lacks(t, text, part)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "|") {
			require.True(t, strings.HasSuffix(line, "|\n"), line)
		}
	}
}

// TestEveryGroupMayBeMissing makes a report of all groups but one.
func TestEveryGroupMayBeMissing(t *testing.T) {
	all := sample(t)
	for name := range all {
		results := Results{}
		for other, group := range all {
			if other != name {
				results[other] = group
			}
		}
		made, err := New(results, caused())
		require.NoError(t, err, name)
		page, err := made.HTML()
		require.NoError(t, err, name)
		lacks(t, page, "NaN")
	}
	alone := Results{"gas": all["gas"]}
	made, err := New(alone, nil)
	require.NoError(t, err)
	require.Len(t, made.Absent(), len(aims))
	files, err := made.files()
	require.NoError(t, err)
	require.Contains(t, files, "plots/gas.svg")
	require.NotContains(t, files, "plots/latency.svg")
}

func TestGroupsOfSeveralMachines(t *testing.T) {
	results := sample(t)
	for i, fact := range results["gas"].Facts {
		if fact.Name == "machine" {
			results["gas"].Facts[i].Value = "another"
		}
	}
	made, err := New(results, nil)
	require.NoError(t, err)
	require.Len(t, made.Warnings, 1)
	require.Contains(t, made.Warnings[0], `do not agree in "machine"`)
}

func TestAFigureInAnotherUnitIsNoFigure(t *testing.T) {
	results := sample(t)
	results["callseal-bft"].Find("throughput/saturation/details").Unit = "calls/s"
	_, err := New(results, nil)
	require.ErrorContains(t, err, "the aim details-3000 is in /s, and callseal-bft/throughput/saturation/details was measured in calls/s")
}

func TestWritten(t *testing.T) {
	made, err := New(sample(t), caused())
	require.NoError(t, err)
	folder := filepath.Join(t.TempDir(), "new", "report")
	require.NoError(t, small(t).Write(folder))
	require.NoError(t, made.Write(folder), "a report is replaced")
	beside, err := os.ReadDir(filepath.Dir(folder))
	require.NoError(t, err)
	require.Len(t, beside, 1, "nothing is left beside it")
	for _, name := range []string{"latency", "throughput", "growth", "gas", "fees", "processor", "memory"} {
		svg, err := os.ReadFile(filepath.Join(folder, "plots", name+".svg"))
		require.NoError(t, err)
		wellFormed(t, svg)
		picture, err := os.ReadFile(filepath.Join(folder, "plots", name+".png"))
		require.NoError(t, err)
		config, err := png.DecodeConfig(bytes.NewReader(picture))
		require.NoError(t, err)
		require.Equal(t, 1440, config.Width)
	}
	html, err := os.ReadFile(filepath.Join(folder, "report.html"))
	require.NoError(t, err)
	for _, outside := range []string{"src=", "<link", "@import", "url("} {
		lacks(t, html, outside)
	}
	require.Equal(t, 7, strings.Count(string(html), "<svg role="))
	for _, part := range []string{`<span class="missed">missed</span> by 35 %<br>Cause: Peers are full.`, "prefers-color-scheme: dark", "<code>make bench-adapter"} {
		has(t, html, part)
	}
}

// TestAReportIsReplacedWhereNamesCannotBeExchanged is the other way to the same end.
func TestAReportIsReplacedWhereNamesCannotBeExchanged(t *testing.T) {
	folder := t.TempDir()
	before, after := filepath.Join(folder, "report"), filepath.Join(folder, ".report-1")
	for at, text := range map[string]string{before: "old", after: "new"} {
		require.NoError(t, os.Mkdir(at, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(at, "report.md"), []byte(text), 0o600))
	}
	require.NoError(t, replace(after, before))
	text, err := os.ReadFile(filepath.Join(before, "report.md"))
	require.NoError(t, err)
	require.Equal(t, "new", string(text))
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.ErrorContains(t, replace(after, before), "put the report in its place")
	require.FileExists(t, filepath.Join(before, "report.md"), "the old one is put back")
}

// small is a report of one group, with one plot.
func small(t *testing.T) *Report {
	t.Helper()
	made, err := New(Results{"fabric-stock": sample(t)["fabric-stock"]}, nil)
	require.NoError(t, err)
	return made
}

// has fails where a page lacks a part, without printing the page.
func has(t *testing.T, page []byte, part string) {
	t.Helper()
	if !bytes.Contains(page, []byte(part)) {
		t.Errorf("the page lacks %q", part)
	}
}

// lacks fails where a page has a part.
func lacks(t *testing.T, page []byte, part string) {
	t.Helper()
	if bytes.Contains(page, []byte(part)) {
		t.Errorf("the page has %q", part)
	}
}

// wellFormed fails where a text is no XML.
func wellFormed(t *testing.T, text []byte) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(text))
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

func TestAForeignFolderIsLeftAlone(t *testing.T) {
	made, folder := small(t), t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(folder, "empty"), 0o755))
	require.NoError(t, made.Write(filepath.Join(folder, "empty")))
	foreign := filepath.Join(folder, "foreign")
	require.NoError(t, os.Mkdir(foreign, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(foreign, "thesis.doc"), nil, 0o600))
	require.ErrorIs(t, made.Write(foreign), ErrForeignFolder)
	require.NoError(t, os.WriteFile(filepath.Join(foreign, "report.md"), []byte("mine"), 0o600))
	require.ErrorContains(t, made.Write(foreign), "has thesis.doc: name another, or an empty one")
	require.FileExists(t, filepath.Join(foreign, "thesis.doc"))
	require.Error(t, made.Write(filepath.Join(foreign, "thesis.doc", "report")))
}

func TestNoResults(t *testing.T) {
	_, err := ReadResults(t.TempDir())
	require.ErrorIs(t, err, ErrNoResults)
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "x.json"), []byte("{"), 0o600))
	_, err = ReadResults(folder)
	require.ErrorIs(t, err, result.ErrBadGroup)
	require.ErrorContains(t, err, "x.json")
}
