package consent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-json-experiment/json"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

// policyAgain is how often the policy in force is asked for.
const policyAgain = 30 * time.Second

// Follower learns from the gateway what others state on calls of this PBX, and which
// policy is in force. Nothing waits for it: what it learned last is in the book.
type Follower struct {
	Book     *Book
	Watch    pb.WatchServiceClient
	Policies pb.PolicyServiceClient
	MSP, PBX string
	// Objected is told of a call that may not be recorded any more.
	Objected func(ctx context.Context, linkedID string)
	Log      *slog.Logger
}

// Run follows until the context ends. Only a book that cannot be read or written ends
// it otherwise.
func (f *Follower) Run(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 5*time.Second
	for {
		err := f.follow(ctx, wait.Reset)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errBook) {
			return err
		}
		f.Log.Warn("what is stated elsewhere on calls' recording is not known now", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait.NextBackOff()):
		}
	}
}

// errBook says that the book failed.
var errBook = errors.New("the book of consents fails")

func (f *Follower) follow(ctx context.Context, heard func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stored, err := f.Book.Cursor()
	if err != nil {
		return errors.Join(errBook, err)
	}
	request := &pb.WatchRequest{Msp: f.MSP, Pbx: f.PBX, Kinds: []string{ledger.TypeConsent}}
	if len(stored) == 0 {
		// What was stated before the book began is of calls that are over.
		request.FromNow = true
	} else {
		var after place
		if err := json.Unmarshal(stored, &after); err != nil {
			return fmt.Errorf("%w: %w", errBook, err)
		}
		request.After = &pb.ChangeCursor{Block: after.Block, Position: after.Position}
	}
	stream, err := f.Watch.Watch(ctx, request)
	if err != nil {
		return err
	}
	var asked time.Time
	for {
		if time.Since(asked) > policyAgain {
			if err := f.policy(ctx); err != nil {
				return err
			}
			asked = time.Now()
		}
		// A heartbeat comes every five seconds at least.
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		heard()
		if err := f.take(ctx, response); err != nil {
			return err
		}
	}
}

// policy asks for the policy in force.
func (f *Follower) policy(ctx context.Context) error {
	response, err := f.Policies.GetPolicy(ctx, &pb.GetPolicyRequest{Name: ledger.PolicyConsent})
	if err != nil {
		return err
	}
	found := response.GetPolicy()
	consent := found.GetPolicy().GetConsent()
	policy := &ledger.ConsentPolicy{DefaultRule: consent.GetDefaultRule(), OnePartyObjection: consent.GetOnePartyObjection(), StopWithinMS: consent.GetStopWithinMs()}
	for _, one := range consent.GetJurisdictions() {
		policy.Jurisdictions = append(policy.Jurisdictions, ledger.JurisdictionRule{Jurisdiction: one.GetJurisdiction(), Rule: one.GetRule()})
	}
	before, err := f.Book.Policy()
	if err != nil {
		return errors.Join(errBook, err)
	}
	if before.Version == found.GetVersion() {
		return nil
	}
	now := &ledger.PolicyVersion{
		Name: ledger.PolicyConsent, Policy: ledger.Policy{Consent: policy, V: int(found.GetPolicy().GetV())}, V: int(found.GetV()), Version: found.GetVersion(),
	}
	if err := f.Book.SetPolicy(now); err != nil {
		return errors.Join(errBook, err)
	}
	f.Log.Info("another policy of consent is in force", "version", now.Version)
	return nil
}

// take takes one message of the stream. The place is kept with what was learned.
func (f *Follower) take(ctx context.Context, response *pb.WatchResponse) error {
	at := response.GetHeartbeat().GetCursor()
	var statement *Statement
	if change := response.GetChange(); change != nil {
		at = change.GetCursor()
		statement = f.stated(change)
	}
	until, err := json.Marshal(place{at.GetBlock(), at.GetPosition()})
	if err != nil {
		return fmt.Errorf("%w: %w", errBook, err)
	}
	if statement == nil {
		if err := f.Book.Learn(nil, until); err != nil {
			return errors.Join(errBook, err)
		}
		return nil
	}
	policy, err := f.Book.Policy()
	if err != nil {
		return errors.Join(errBook, err)
	}
	// What was said on this PBX stands in the book already, and has had its effect.
	known, err := f.knows(statement)
	if err != nil {
		return errors.Join(errBook, err)
	}
	// The book first: what is objected to and still recorded when an adapter begins is
	// ended then.
	if err := f.Book.Learn(statement, until); err != nil {
		return errors.Join(errBook, err)
	}
	if !known && statement.objects() && policy.Policy.Consent.Forbids(ruleOf(policy, statement.Jurisdiction)) {
		f.Objected(ctx, statement.LinkedID)
	}
	return nil
}

// knows says whether the party's word in the book is this one, or a later one.
func (f *Follower) knows(statement *Statement) (bool, error) {
	standings, err := f.Book.Standings(statement.LinkedID)
	for i := range standings {
		if standings[i].Party == statement.Party && !standings[i].GivenAt.Before(statement.GivenAt) {
			return true, err
		}
	}
	return false, err
}

// stated reads a statement on recording; nil for another, or one that cannot be read.
func (f *Follower) stated(change *pb.Change) *Statement {
	var consent ledger.Consent
	if err := ledger.DecodeStrict(change.GetValueJson(), &consent); err != nil {
		f.Log.Error("a statement on the ledger cannot be read", "error", err)
		return nil
	}
	stated := &consent.Statement
	if stated.Purpose != ledger.PurposeRecording {
		return nil
	}
	return &Statement{
		LinkedID: stated.LinkedID, Party: stated.PartyRef, Status: stated.Status, Method: stated.Method, Jurisdiction: stated.Jurisdiction,
		Evidence: stated.EvidenceDigest, GivenAt: stated.GivenAt,
	}
}

// place is a place on the chain as the book keeps it.
type place struct {
	Block    uint64 `json:"block"`
	Position int32  `json:"position"`
}
