package index

import (
	"context"
	"fmt"
	"time"

	"github.com/callseal/callseal/gateway/fault"
)

// longestCall is how long before it was answered a call's channel may have been made.
const longestCall = 24 * time.Hour

// OpenCall is a call that was answered, of whose end nothing is on the ledger.
type OpenCall struct {
	LinkedID, UniqueID string
	// AnsweredMS is when it was answered, by the PBX's clock.
	AnsweredMS int64
}

// openCalls looks a call's leg up by the linkedid that it had when it was answered, and
// only where there is none by its channel: a transfer may have given it another.
const openCalls = `SELECT p.linkedid, p.uniqueid, p.at_ms FROM progress p
WHERE p.msp = $1 AND p.pbx = $2 AND p.at_ms >= $3 AND p.state = 'answered'
AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.msp = p.msp AND c.pbx = p.pbx AND c.linkedid = p.linkedid AND c.uniqueid = p.uniqueid)
AND NOT EXISTS (SELECT 1 FROM progress q WHERE q.msp = p.msp AND q.pbx = p.pbx AND q.uniqueid = p.uniqueid AND q.state <> 'answered')
AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.msp = p.msp AND c.pbx = p.pbx AND c.start_ms BETWEEN p.at_ms - $4 AND p.at_ms + 1000 AND c.uniqueid = p.uniqueid)
ORDER BY p.at_ms DESC, p.ref LIMIT 1000`

// OpenCalls lists the calls of a PBX that were answered since a time and of whose end the
// ledger has not heard: no leg, and no word that they were cut or ended.
func (x *Index) OpenCalls(ctx context.Context, msp, pbx string, since time.Time) ([]OpenCall, error) {
	if storable([]any{msp, pbx}) != nil || msp == "" || pbx == "" {
		return nil, fault.New(fault.Invalid, "open calls are those of one PBX: name msp and pbx")
	}
	rows, err := x.db.reader.QueryContext(ctx, openCalls, msp, pbx, since.UnixMilli(), longestCall.Milliseconds())
	if err != nil {
		return nil, unread(ctx, fmt.Errorf("read open calls: %w", err))
	}
	return collect(rows, func(one *OpenCall) []any { return []any{&one.LinkedID, &one.UniqueID, &one.AnsweredMS} })
}
