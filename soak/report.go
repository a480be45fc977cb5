package soak

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/benchmarks/result"
)

// Line is what one trial found.
type Line struct {
	// Name says what was tried.
	Name string
	// Verdict is what came of it.
	Verdict *Verdict
	// Notes are what was seen on the way, in sentences.
	Notes []string
}

// Report is what a soak found.
type Report struct {
	Facts []machine.Fact
	// Seed decided the order of kills.
	Seed uint64
	Took time.Duration

	Lines []*Line
	Kills []Kill
}

// Total sums the verdicts up.
func (r *Report) Total() *Verdict {
	total := &Verdict{}
	for _, line := range r.Lines {
		total.Add(line.Verdict)
	}
	return total
}

// String is the report as it is printed.
func (r *Report) String() string {
	var text strings.Builder
	for _, fact := range r.Facts {
		fmt.Fprintf(&text, "%-16s %s\n", fact.Name, fact.Value)
	}
	fmt.Fprintf(&text, "%-16s %d, %s\n\n", "seed, duration", r.Seed, r.Took.Round(time.Second))
	text.WriteString(r.counts() + "\n\n")
	if len(r.Kills) > 0 {
		text.WriteString(r.recoveries() + "\n\n")
	}
	for _, line := range r.Lines {
		for _, note := range line.Notes {
			fmt.Fprintf(&text, "%s: %s\n", line.Name, note)
		}
	}
	total := r.Total()
	for _, fault := range total.Faults {
		fmt.Fprintf(&text, "FAULT: %s\n", fault)
	}
	fmt.Fprintf(&text, "\n%d records accepted, %d lost, %d doubled\n", total.Accepted, total.Lost, total.Doubled)
	return text.String()
}

// counts is the table of what became of the records.
func (r *Report) counts() string {
	rows := []struct {
		name  string
		value func(*Verdict) int
	}{
		{"sent", func(v *Verdict) int { return v.Sent }},
		{"of these sent again", func(v *Verdict) int { return v.Resent }},
		{"accepted", func(v *Verdict) int { return v.Accepted }},
		{"committed", func(v *Verdict) int { return v.Committed }},
		{"settled", func(v *Verdict) int { return v.Settled }},
		{"on the ledger once", func(v *Verdict) int { return v.Standing }},
		{"details read back", func(v *Verdict) int { return v.DetailsRead }},
		{"lost", func(v *Verdict) int { return v.Lost }},
		{"doubled", func(v *Verdict) int { return v.Doubled }},
		{"out of order (segments)", func(v *Verdict) int { return v.Disordered }},
		{"told untruly", func(v *Verdict) int { return v.Untrue }},
		{"incidents", func(v *Verdict) int { return v.Incidents }},
		{"alarms of calls:Gaps", func(v *Verdict) int { return v.Findings }},
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	head := table.Row{"records"}
	for _, line := range r.Lines {
		head = append(head, line.Name)
	}
	t.AppendHeader(append(head, "all"))
	total := r.Total()
	for _, row := range rows {
		cells := table.Row{row.name}
		for _, line := range r.Lines {
			cells = append(cells, row.value(line.Verdict))
		}
		t.AppendRow(append(cells, row.value(total)))
	}
	return t.Render()
}

// recoveries is the table of the time from a kill to the next commit.
func (r *Report) recoveries() string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"killed", "times", "away p50", "commits again p50", "max"})
	for _, victim := range Victims {
		away, recovery := Recoveries(r.Kills, victim)
		if len(recovery) == 0 {
			continue
		}
		t.AppendRow(table.Row{victim, len(recovery), seconds(away[len(away)/2]), seconds(recovery[len(recovery)/2]), seconds(recovery[len(recovery)-1])})
	}
	return t.Render()
}

// Recoveries are the times a kind of node was away and those until the next commit,
// each sorted.
func Recoveries(kills []Kill, victim Victim) (away, recovery []time.Duration) {
	for _, kill := range kills {
		if kill.Victim == victim {
			away, recovery = append(away, kill.Away), append(recovery, kill.Recovery)
		}
	}
	slices.Sort(away)
	slices.Sort(recovery)
	return away, recovery
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// Percentiles words latencies.
func Percentiles(l *result.Recorder) string {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }
	return fmt.Sprintf("p50 %s, p95 %s, p99 %s, max %s ms", ms(l.At(50)), ms(l.At(95)), ms(l.At(99)), ms(l.Max()))
}
