package reputation

import (
	"slices"
	"strings"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
)

// account is what the gateway knows of its own opinion on a subject. The tally's
// lock guards waiting and the flags; the rest belongs to the worker that has the
// subject under way.
type account struct {
	place

	waiting  []*report // not under way yet
	underWay bool

	// known says that last and carried are what the ledger has.
	known   bool
	last    *ledger.Opinion
	carried *ledger.Totals // of the epoch before, until it is written
	taken   []*report      // those that the transaction under way carries
	written *ledger.Opinion
}

// report is one item of evidence and who waits for it.
type report struct {
	item ledger.EvidenceItem
	// number is that of its entry in the journal; zero for one that is not kept.
	number int64
	done   chan struct{} // closed when there is an answer
	answer answer
}

// tell answers all who wait for it.
func (r *report) tell(got answer) {
	r.answer = got
	close(r.done)
}

// answer is what became of a report.
type answer struct {
	receipt Receipt
	err     error
}

// Receipt says in which opinion evidence was counted.
type Receipt struct {
	// Subject is the pseudonym.
	Subject string
	Epoch   int64
	// Seq numbers the opinion among the gateway's on the subject.
	Seq int64
	// Score is the operator's own, of this gateway alone, thousandths of a point.
	Score int64
	// Commit is the transaction's.
	Commit fabric.Commit
}

// sum adds the evidence of reports up, by kind.
func sum(reports []*report) []ledger.EvidenceItem {
	var items []ledger.EvidenceItem
	for _, each := range reports {
		at, found := slices.BinarySearchFunc(items, each.item.Kind, func(item ledger.EvidenceItem, kind string) int { return strings.Compare(item.Kind, kind) })
		if !found {
			items = slices.Insert(items, at, ledger.EvidenceItem{Kind: each.item.Kind})
		}
		items[at].Count += each.item.Count
		items[at].Attempts += each.item.Attempts
	}
	return items
}

// next makes the opinion that comes after the account's last.
func (a *account) next(msp string, writer int64, at ledger.Time, by *rules) (*ledger.Opinion, error) {
	opinion := &ledger.Opinion{
		At: at, Epoch: a.epoch, Evidence: sum(a.taken), MSP: msp, PolicyVersion: by.version, Seq: 1, Subject: a.subject, V: ledger.SchemaVersion, Writer: writer,
	}
	if a.last != nil {
		text, err := ledger.Canonical(a.last)
		if err != nil {
			return nil, err
		}
		previous := a.last.Totals
		opinion.Seq, opinion.Previous, opinion.PrevDigest = a.last.Seq+1, &previous, ledger.Digest(text)
	} else if a.carried != nil {
		opinion.Carried = a.carried
	}
	var err error
	opinion.Totals, err = opinion.Next(by.weighing)
	return opinion, err
}
