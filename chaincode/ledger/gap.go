package ledger

import (
	"cmp"
	"fmt"
	"slices"
)

// Kinds of findings about a PBX's history that need someone to look into it.
const (
	// FindingMissing: records are numbered and not there.
	FindingMissing = "missing"
	// FindingOverlapping: two segments claim the same numbers.
	FindingOverlapping = "overlapping"
	// FindingForked: a second segment was offered for a place and refused.
	FindingForked = "forked"
	// FindingBroken: a segment names one before it that is not there as it says.
	FindingBroken = "chain_broken"
	// FindingLostEpoch: what an epoch says of the one before is not what the ledger
	// holds, or it says nothing.
	FindingLostEpoch = "lost_epoch"
	// FindingLostJournal: a journal was lost, and with it what it had not sent.
	FindingLostJournal = "lost_journal"
	// FindingUnclosed: an epoch was followed by another as planned, and never closed.
	FindingUnclosed = "unclosed"
	// FindingTwoHistories: two adapters, or two Asterisks, spoke for the PBX at once.
	FindingTwoHistories = "two_histories"
	// FindingRefused: a record came again with other content and was refused.
	FindingRefused = "refused"
	// FindingQuiet: nothing came although the adapter had promised a word.
	FindingQuiet = "quiet"
	// FindingReused: there are more legs than CDR sequences: two legs share one.
	FindingReused = "sequence_reused"
)

// Kinds of findings that have an innocent reason as a rule.
const (
	// FindingHole: CDR sequences that no leg has. Asterisk numbers also the CDRs it
	// never writes, such as those of channels that were only called.
	FindingHole = "sequence_hole"
	// FindingLate: a segment came long after what it tells of, as after an outage.
	FindingLate = "late"
	// FindingLateByAdmin: an admin anchored it after its signer's certificate ended.
	FindingLateByAdmin = "late_by_admin"
	// FindingClockBack: a segment was closed before the one it follows, by its clock.
	FindingClockBack = "clock_back"
)

// Finding is one thing that is not as it should be in a PBX's history.
type Finding struct {
	// Alarm says that someone has to look into it.
	Alarm bool `json:"alarm"`
	// Boot is the start of Asterisk it is about, in ms since 1970; 0 for none.
	Boot int64 `json:"boot,omitzero"`
	// Count is how many records or sequences are concerned.
	Count int64 `json:"count,omitzero"`
	// Epoch is where it was found; 0 where it is about the whole PBX.
	Epoch int64 `json:"epoch,omitzero"`
	// First and Last are the records concerned; 0 for none in particular.
	First int64  `json:"first,omitzero"`
	Kind  string `json:"kind"`
	Last  int64  `json:"last,omitzero"`
	// Since and Until bound the time it is about; Until is absent when it lasts.
	Since Time `json:"since,omitzero"`
	Until Time `json:"until,omitzero"`
}

// Sentence says in words what was found.
func (f *Finding) Sentence() string {
	records := fmt.Sprintf("records %d to %d", f.First, f.Last)
	if f.First == f.Last {
		records = fmt.Sprintf("record %d", f.First)
	}
	switch f.Kind {
	case FindingMissing:
		return records + " are numbered and not on the ledger: they were removed before they were anchored, or wait at the PBX"
	case FindingOverlapping:
		return records + " were anchored twice, by segments of different histories"
	case FindingForked:
		return "a second segment was offered from " + records + " on and refused: there are two histories"
	case FindingBroken:
		return "the segment from " + records + " on names one before it that is not on the ledger as it says"
	case FindingLostEpoch:
		return "the epoch does not follow from the one before it on the ledger: its end was cut off, or another adapter spoke"
	case FindingLostJournal:
		return "the epoch begins because a journal was lost: what that had not sent is gone"
	case FindingUnclosed:
		return "the epoch is said to begin as planned, and the one before it was never closed"
	case FindingTwoHistories:
		return fmt.Sprintf("two adapters or two Asterisks spoke for the PBX at once, since %s", f.Since)
	case FindingRefused:
		return records + " had come before with other content and was refused"
	case FindingQuiet:
		if f.Until.IsZero() {
			return fmt.Sprintf("nothing has come since %s although the adapter had promised a word: it is down, or its history was cut off", f.Since)
		}
		return fmt.Sprintf("nothing came from %s to %s although the adapter had promised a word: nobody watched the PBX", f.Since, f.Until)
	case FindingReused:
		return fmt.Sprintf("%d more legs than CDR sequences: two Asterisks, or invented legs", f.Count)
	case FindingHole:
		return fmt.Sprintf("CDR sequences without a leg: %d. Asterisk does not write every CDR it numbers", f.Count)
	case FindingLate:
		return records + " came long after what they tell of"
	case FindingLateByAdmin:
		return records + " were anchored by an admin after their signer's certificate had ended"
	case FindingClockBack:
		return "the PBX's clock was set back before " + records
	default:
		return f.Kind
	}
}

// alarms are the kinds that need someone to look into them.
var alarms = map[string]bool{
	FindingMissing: true, FindingOverlapping: true, FindingForked: true, FindingBroken: true, FindingLostEpoch: true, FindingLostJournal: true,
	FindingUnclosed: true, FindingTwoHistories: true, FindingRefused: true, FindingQuiet: true, FindingReused: true,
}

// SignerRun is a run of segments that one certificate signed.
type SignerRun struct {
	// From is the FirstSeq of the first of them.
	From int64 `json:"from"`
	// Signer is the SHA-256 of the certificate in DER.
	Signer string `json:"signer"`
}

// EpochSummary is what a walk saw of one epoch.
type EpochSummary struct {
	// Boots are the ranges of CDR sequences, by Asterisk's starts.
	Boots []BootRange `json:"boots,omitzero"`
	// Closing says that its last segment closed it.
	Closing bool `json:"closing,omitzero"`
	// Count is the number of records its segments hold.
	Count int64 `json:"count"`
	Epoch int64 `json:"epoch"`
	// FirstClosed and LastClosed are when its first and last segment were closed.
	FirstClosed Time `json:"first_closed"`
	// FirstSeq and LastSeq are its lowest and highest number.
	FirstSeq   int64 `json:"first_seq"`
	LastClosed Time  `json:"last_closed"`
	// LastRoot is the root of the segment that ends with LastSeq.
	LastRoot string `json:"last_root"`
	LastSeq  int64  `json:"last_seq"`
	// NextBy is until when another segment was promised; absent for no promise.
	NextBy Time `json:"next_by,omitzero"`
	// Segments is their number.
	Segments int64       `json:"segments"`
	Signers  []SignerRun `json:"signers"`
	// Why is why the epoch begins; absent where it does not say.
	Why string `json:"why,omitzero"`
}

// GapsPlace is where a walk goes on: after the segment that begins with From.
type GapsPlace struct {
	Epoch int64 `json:"epoch"`
	From  int64 `json:"from"`
}

// Gaps is what a walk through a PBX's segments found: all of them, or a page.
//
// It is judged from the segments' headers, the openings and the incidents. That
// the records under a header's root are all there is what calls:Anchor saw to:
// no operator alone can take one away again.
type Gaps struct {
	// Complete says that the walk went from the first segment to the last, so that
	// findings about the whole history are among Findings.
	Complete bool           `json:"complete"`
	Epochs   []EpochSummary `json:"epochs"`
	Findings []Finding      `json:"findings"`
	MSP      string         `json:"msp"`
	// Next is where the next page goes on; absent after the last.
	Next *GapsPlace `json:"next,omitzero"`
	PBX  string     `json:"pbx"`
	V    int        `json:"v"`
}

// Report adds a finding.
func (g *Gaps) Report(f Finding) {
	f.Alarm = alarms[f.Kind]
	g.Findings = append(g.Findings, f)
}

// Alarms is how many findings someone has to look into.
func (g *Gaps) Alarms() int {
	n := 0
	for i := range g.Findings {
		if g.Findings[i].Alarm {
			n++
		}
	}
	return n
}

// Take adds a segment to the summary of its epoch, which is the last.
func (e *EpochSummary) Take(anchored *AnchoredSegment) {
	segment := &anchored.Segment
	if e.Segments == 0 {
		e.Epoch, e.FirstSeq, e.FirstClosed = segment.Epoch, segment.FirstSeq, segment.ClosedAt
	}
	e.Segments++
	e.Count += segment.Count
	e.LastClosed, e.NextBy, e.Closing = segment.ClosedAt, segment.NextBy, segment.Closing
	if end := segment.FirstSeq + segment.Count - 1; end > e.LastSeq {
		e.LastSeq, e.LastRoot = end, segment.Root
	}
	for _, boot := range segment.Boots {
		e.Boots = addBoot(e.Boots, boot)
	}
	e.addSigner(SignerRun{From: segment.FirstSeq, Signer: segment.Signer})
}

// addSigner adds a run unless it goes on with the one before.
func (e *EpochSummary) addSigner(run SignerRun) {
	if n := len(e.Signers); n == 0 || e.Signers[n-1].Signer != run.Signer {
		e.Signers = append(e.Signers, run)
	}
}

// join adds what a later page saw of the same epoch.
func (e *EpochSummary) join(later *EpochSummary) {
	e.Segments += later.Segments
	e.Count += later.Count
	e.LastClosed, e.NextBy, e.Closing = later.LastClosed, later.NextBy, later.Closing
	if later.LastSeq > e.LastSeq {
		e.LastSeq, e.LastRoot = later.LastSeq, later.LastRoot
	}
	for _, boot := range later.Boots {
		e.Boots = addBoot(e.Boots, boot)
	}
	for _, run := range later.Signers {
		e.addSigner(run)
	}
}

// Add joins the next page. After the last, Conclude judges the whole.
func (g *Gaps) Add(page *Gaps) {
	for i := range page.Epochs {
		if n := len(g.Epochs); n > 0 && g.Epochs[n-1].Epoch == page.Epochs[i].Epoch {
			g.Epochs[n-1].join(&page.Epochs[i])
		} else {
			g.Epochs = append(g.Epochs, page.Epochs[i])
		}
	}
	for _, finding := range page.Findings {
		// Each page tells of an epoch once that another ran beside it.
		told := func(f Finding) bool { return f.Kind == FindingTwoHistories && f.Epoch == finding.Epoch }
		if finding.Kind != FindingTwoHistories || !slices.ContainsFunc(g.Findings, told) {
			g.Findings = append(g.Findings, finding)
		}
	}
	g.Next = page.Next
}

// Conclude judges what only the whole history shows: CDR sequences, Asterisk's
// starts, signers that take turns. It is for a walk that began at the first segment
// and has no next page.
func (g *Gaps) Conclude() {
	if g.Complete {
		return
	}
	g.Complete = true
	var boots []BootRange
	for i := range g.Epochs {
		for _, boot := range g.Epochs[i].Boots {
			boots = addBoot(boots, boot)
		}
		g.concludeSigners(&g.Epochs[i])
	}
	g.concludeBoots(boots)
	g.Sort()
}

// concludeSigners finds a certificate that signs again after another took over: a
// renewed one never does.
func (g *Gaps) concludeSigners(epoch *EpochSummary) {
	seen := map[string]bool{}
	for _, run := range epoch.Signers {
		if seen[run.Signer] {
			g.Report(Finding{Kind: FindingTwoHistories, Epoch: epoch.Epoch, First: run.From, Last: epoch.LastSeq, Since: epoch.FirstClosed})
			return
		}
		seen[run.Signer] = true
	}
}

func (g *Gaps) concludeBoots(boots []BootRange) {
	var latest Time
	for i := range boots {
		boot := &boots[i]
		if holes := boot.Holes(); holes > 0 {
			g.Report(Finding{Kind: FindingHole, Boot: boot.Boot, Count: holes})
		} else if holes < 0 {
			g.Report(Finding{Kind: FindingReused, Boot: boot.Boot, Count: -holes})
		}
		if i > 0 && latest.UnixMilli() > boot.Boot {
			g.Report(Finding{Kind: FindingTwoHistories, Boot: boot.Boot, Since: msTime(boot.Boot), Until: latest})
		}
		if latest.Before(boot.Latest) {
			latest = boot.Latest
		}
	}
}

// Sort puts the findings in order of their places.
func (g *Gaps) Sort() {
	slices.SortStableFunc(g.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Boot, b.Boot))
	})
}

// Chain is the end of a PBX's history as the ledger has it: what the next epoch
// must name.
type Chain struct {
	// Closing says that the last segment closed the epoch.
	Closing bool `json:"closing,omitzero"`
	// Epoch is the latest.
	Epoch int64 `json:"epoch"`
	// LastRoot and LastSeq are the root of its last segment and its last number.
	LastRoot string `json:"last_root"`
	LastSeq  int64  `json:"last_seq"`
	V        int    `json:"v"`
}
