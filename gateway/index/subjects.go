package index

import (
	"context"
	"fmt"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/reputation"
	"github.com/callseal/callseal/gateway/fault"
)

// SubjectFilter narrows a list of subjects; zero members narrow nothing.
type SubjectFilter struct {
	// Epoch is the pseudonyms'; 0 is the one in force.
	Epoch int64
	// Type is tel, ip or aor.
	Type string
	// Standing is one of reputation's.
	Standing reputation.Standing
	// MinScore and MaxScore bound the score, in thousandths of a point, both included;
	// a MaxScore of 0 is no bound.
	MinScore, MaxScore int64
}

// ScoredSubject is a subject with its merged reputation as it stood when last
// something of it changed: lists are in order of that score.
type ScoredSubject struct {
	Epoch    int64
	Subject  string
	Type     string
	Score    int64
	Standing reputation.Standing
	Holders  int64
	// AtMS is the instant of that merge, UntilMS when a provisional ban ends.
	AtMS, UntilMS int64
}

var subjects = &list[ScoredSubject]{
	name: "subjects", table: "subjects", sort: "score", tie: "subject", text: true,
	columns: "t.epoch, t.subject, t.type, t.score, t.standing, t.holders, t.at_ms, t.until_ms",
	fields: func(s *ScoredSubject) []any {
		return []any{&s.Epoch, &s.Subject, &s.Type, &s.Score, &s.Standing, &s.Holders, &s.AtMS, &s.UntilMS}
	},
}

// Subjects lists subjects by their score: the worst first where the page is
// ascending, else the best.
func (x *Index) Subjects(ctx context.Context, by SubjectFilter, page Page) (*Listed[ScoredSubject], error) {
	if by.Epoch == 0 {
		in, err := loadRules(ctx, x.db.reader)
		if err != nil {
			return nil, err
		}
		by.Epoch = in.epoch
	}
	return subjects.run(ctx, x, page, subjectFilter(&by))
}

func subjectFilter(by *SubjectFilter) filter {
	f := filter{question: fmt.Sprintf("%q", fmt.Sprint(*by)), key: []condition{{"t.epoch = ?", by.Epoch}}}
	standing := &f.key
	if by.Type != "" {
		f.with(&f.key, "type", by.Type)
		standing = &f.rest
	}
	f.with(standing, "standing", string(by.Standing))
	low := by.MinScore
	f.low = &low
	if by.MaxScore > 0 {
		high := by.MaxScore + 1
		f.high = &high
	}
	return f
}

// Reputation merges what is held on a subject at an instant, as reputation:Get
// would answer the index's operator, and says as of which height. Epoch 0 is the
// one in force.
func (x *Index) Reputation(ctx context.Context, epoch int64, subject string, at ledger.Time) (*ledger.Reputation, uint64, error) {
	if err := ledger.CheckSubject(subject); err != nil {
		return nil, 0, fault.Of(err)
	}
	height := x.Height()
	in, err := loadRules(ctx, x.db.reader)
	if err != nil {
		return nil, 0, err
	}
	key := subjectKey{epoch, subject}
	if epoch == 0 {
		key.epoch = in.epoch
	}
	all, _, err := heldOn(ctx, x.db.reader, key)
	if err != nil {
		return nil, 0, err
	}
	merged := in.merge(x.msp, key, all, at)
	return &merged, height, nil
}
