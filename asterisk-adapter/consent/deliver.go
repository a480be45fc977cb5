package consent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

const (
	// maxRound bounds the statements that are read from the book at once, and maxCalls
	// the calls whose statements travel at the same time.
	maxRound = 256
	maxCalls = 8
	// deliverWithin bounds one request.
	deliverWithin = 30 * time.Second
	// longestWait is between two tries.
	longestWait = 15 * time.Second
)

// Delivery brings the book's statements onto the ledger: in order for each call, each
// once, however often the adapter or the gateway is stopped.
type Delivery struct {
	Book *Book
	// Client is the gateway's.
	Client   pb.ConsentServiceClient
	MSP, PBX string
	// Delivered is told of each statement that is on the ledger, and Refused of each
	// that the ledger does not take.
	Delivered, Refused func(*Statement)
	Log                *slog.Logger

	wake chan struct{}
}

// NewDelivery prepares a delivery; Run does it.
func NewDelivery(of Delivery) *Delivery {
	of.wake = make(chan struct{}, 1)
	return &of
}

// Stir says that there is something to deliver.
func (d *Delivery) Stir() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Run delivers until the context ends. Only a book that cannot be read or written ends
// it otherwise.
func (d *Delivery) Run(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, longestWait
	for {
		done, err := d.round(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var late *lateError
		var again <-chan time.Time
		switch {
		case errors.As(err, &late):
			pause := wait.NextBackOff()
			d.Log.Warn("statements of consent are not on the ledger yet and are sent again", "wait", pause, "error", late.cause)
			again = time.After(pause)
		case err != nil:
			return err
		case done == maxRound:
			wait.Reset()
			continue // there may be more
		default:
			wait.Reset()
		}
		if again != nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-again:
			}
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.wake:
		}
	}
}

// lateError says that the gateway could not take a statement now.
type lateError struct{ cause error }

// Error implements error.
func (e *lateError) Error() string { return e.cause.Error() }

// Unwrap is the gateway's error.
func (e *lateError) Unwrap() error { return e.cause }

// round delivers what waits, once.
func (d *Delivery) round(ctx context.Context) (int, error) {
	waiting, err := d.Book.Outbox(maxRound)
	if err != nil {
		return 0, err
	}
	calls := map[string][]*Outgoing{}
	var order []string
	for i := range waiting {
		id := waiting[i].LinkedID
		if calls[id] == nil {
			order = append(order, id)
		}
		calls[id] = append(calls[id], &waiting[i])
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxCalls)
	for _, id := range order {
		group.Go(func() error {
			for _, one := range calls[id] {
				if err := d.deliver(ctx, one); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return len(waiting), group.Wait()
}

// deliver brings one statement onto the ledger. Its digest, which is of its own salt,
// tells whether it stands there already: the gateway forgets idempotency keys one day.
func (d *Delivery) deliver(ctx context.Context, one *Outgoing) error {
	ctx, cancel := context.WithTimeout(ctx, deliverWithin)
	defer cancel()
	listed, err := d.Client.ListConsents(ctx, &pb.ListConsentsRequest{Msp: d.MSP, Pbx: d.PBX, Linkedid: one.LinkedID})
	if err != nil {
		return &lateError{err}
	}
	for _, consent := range listed.GetConsents() {
		if d.is(one, consent.GetStatement()) {
			return d.done(one)
		}
	}
	_, err = d.Client.DeclareConsent(ctx, &pb.DeclareConsentRequest{
		Pbx: d.PBX, Linkedid: one.LinkedID, PartyRef: one.Party, Purpose: ledger.PurposeRecording, Status: one.Status, Method: one.Method,
		Jurisdiction: one.Jurisdiction, EvidenceDigest: one.Evidence, GivenAt: timestamppb.New(one.GivenAt.Std()), IdempotencyKey: one.Key,
	})
	switch status.Code(err) {
	case codes.OK:
		return d.done(one)
	case codes.InvalidArgument, codes.FailedPrecondition:
		// The party objected elsewhere meanwhile, or stated something later: the ledger
		// says what holds, and sending this again would not help.
		d.Log.Error("the ledger does not take a statement of consent: it is set aside in the book", "linkedid", one.LinkedID, "status", one.Status, "error", status.Convert(err).Message())
		if err := d.Book.Refuse(one, status.Convert(err).Message()); err != nil {
			return err
		}
		d.Refused(&one.Statement)
		return nil
	default:
		return &lateError{err}
	}
}

func (d *Delivery) is(one *Outgoing, stated *pb.ConsentStatement) bool {
	return stated.GetPartyRef() == one.Party && stated.GetPurpose() == ledger.PurposeRecording && stated.GetStatus() == one.Status &&
		stated.GetEvidenceDigest() == one.Evidence && ledger.TimeOf(stated.GetGivenAt().AsTime()) == one.GivenAt
}

func (d *Delivery) done(one *Outgoing) error {
	if err := d.Book.Delivered(one); err != nil {
		return err
	}
	d.Log.Info("a statement of consent is on the ledger", "linkedid", one.LinkedID, "status", one.Status, "method", one.Method)
	d.Delivered(&one.Statement)
	return nil
}
