package adapter

import (
	"log/slog"
	"time"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

// line is what the log says of one call in one segment.
type line struct {
	leg        ledger.LegID
	outcome    pb.Outcome // the worst of its records
	call       bool
	recordings []string // SHA-256
	ended      time.Time
}

func (l *line) add(record *ledger.Record, outcome pb.Outcome) {
	l.outcome = max(l.outcome, outcome)
	if record.Recording != nil {
		l.recordings = append(l.recordings, record.Recording.SHA256)
	}
	if record.Call == nil {
		return
	}
	l.call = true
	if observed := record.Call.Observed; observed != nil {
		l.ended = observed.End.Std()
	}
}

// log writes the line: ids and digests, nothing personal.
func (l *line) log(log *slog.Logger, commit *pb.Commit, committed time.Time) {
	log = log.With(
		"linkedid", l.leg.LinkedID, "uniqueid", l.leg.UniqueID, "sequence", l.leg.Sequence,
		"cdr", l.call, "recordings", l.recordings,
		"transaction", commit.GetTransactionId(), "block", commit.GetBlock(), "endorsers", commit.GetEndorsers(),
		"committed_at", committed.UTC().Format(time.RFC3339Nano),
	)
	if !l.ended.IsZero() {
		log = log.With("ms_from_hangup", committed.Sub(l.ended).Milliseconds())
	}
	switch l.outcome {
	case pb.Outcome_OUTCOME_CONFLICT:
		log.Error("call refused: the ledger holds other content for it, an incident is recorded")
	case pb.Outcome_OUTCOME_ALREADY_ANCHORED:
		log.Info("call was anchored already")
	default:
		log.Info("call anchored")
	}
}

// count counts it.
func (l *line) count(metrics *metrics, committed time.Time) {
	switch {
	case l.outcome == pb.Outcome_OUTCOME_CONFLICT:
		metrics.conflicts.Inc()
	case l.call && !l.ended.IsZero() && l.outcome != pb.Outcome_OUTCOME_ALREADY_ANCHORED:
		metrics.commits.Observe(max(0, committed.Sub(l.ended).Seconds()))
	}
}
