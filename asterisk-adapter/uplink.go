package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
)

const (
	// sendDeadline bounds one try of one segment.
	sendDeadline = 30 * time.Second
	// deniedWait is how long to wait when the gateway refuses the adapter itself:
	// someone has to enrol it or renew its certificate.
	deniedWait = 15 * time.Second
)

// uplink sends closed segments to the gateway until they are on the ledger.
type uplink struct {
	anchor  pb.AnchorServiceClient
	journal *journal.Journal
	log     *slog.Logger
	// denied is how long to wait when the gateway refuses the adapter itself;
	// deniedWait when 0.
	denied time.Duration
}

// deliver returns once the segment is on the ledger, refused for good, or the
// context ended; in the last case the journal still has it.
func (u *uplink) deliver(ctx context.Context, segment *journal.Segment) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 5*time.Second
	log := u.log.With("epoch", segment.Header.Epoch, "first_seq", segment.Header.FirstSeq, "records", segment.Header.Count)
	receipt, err := backoff.Retry(ctx, func() (*pb.SegmentReceipt, error) {
		receipt, err := u.send(ctx, segment)
		if err == nil {
			return receipt, nil
		}
		switch status.Code(err) {
		case codes.InvalidArgument:
			return nil, backoff.Permanent(err)
		case codes.PermissionDenied, codes.Unauthenticated:
			log.Error("the gateway refuses this adapter: the segment waits in the journal", "error", err)
			return nil, &backoff.RetryAfterError{Duration: cmp.Or(u.denied, deniedWait)}
		default:
			log.Warn("the segment is not on the ledger yet and is sent again", "error", err)
			return nil, err
		}
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
	if ctx.Err() != nil && err != nil {
		return
	}
	if err != nil {
		log.Error("the gateway refused the segment for good: it is set aside in the journal", "error", err)
		if err := u.journal.Refuse(segment.Header.FirstSeq, err.Error()); err != nil {
			log.Error("the refused segment could not be set aside", "error", err)
		}
		return
	}
	committed := time.Now()
	if receipt.GetCommittedAt() != nil {
		committed = receipt.GetCommittedAt().AsTime()
	}
	u.report(segment, receipt, committed)
	if err := u.journal.Committed(segment.Header.FirstSeq); err != nil {
		// It stays in the outbox; sending it again is answered "already".
		log.Error("the journal could not note the commit", "error", err)
	}
}

func (u *uplink) send(ctx context.Context, segment *journal.Segment) (*pb.SegmentReceipt, error) {
	header, err := ledger.Canonical(&segment.Header)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	message := &pb.SignedSegment{SegmentJson: header, Signature: segment.Signature}
	for i := range segment.Records {
		message.RecordsJson = append(message.RecordsJson, segment.Records[i])
		message.DetailsJson = append(message.DetailsJson, segment.DetailsOf(i))
	}
	ctx, cancel := context.WithTimeout(ctx, sendDeadline)
	defer cancel()
	response, err := u.anchor.AnchorSegment(ctx, &pb.AnchorSegmentRequest{Segment: message})
	if err != nil {
		return nil, err
	}
	if len(response.GetReceipt().GetRecords()) != len(segment.Records) {
		return nil, errors.New("the gateway's receipt does not match the segment")
	}
	return response.GetReceipt(), nil
}

// report logs one line a call: what an operator greps for.
func (u *uplink) report(segment *journal.Segment, receipt *pb.SegmentReceipt, committed time.Time) {
	calls := map[string]*line{}
	var order []string
	for i, canonical := range segment.Records {
		var record ledger.Record
		if err := ledger.DecodeStrict(canonical, &record); err != nil {
			u.log.Error("a record of the journal cannot be read", "error", err)
			continue
		}
		leg := record.Leg()
		if leg == (ledger.LegID{}) {
			u.log.Debug("the adapter's word about itself is on the ledger", "seq", record.Seq, "outcome", receipt.GetRecords()[i].GetOutcome())
			continue
		}
		key := fmt.Sprint(leg)
		if calls[key] == nil {
			calls[key] = &line{leg: leg, outcome: receipt.GetRecords()[i].GetOutcome()}
			order = append(order, key)
		}
		calls[key].add(&record, receipt.GetRecords()[i].GetOutcome())
	}
	for _, key := range order {
		calls[key].log(u.log, receipt.GetCommit(), committed)
	}
}
