package reputation

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
	arithmetic "github.com/callseal/callseal/chaincode/reputation"
	"github.com/callseal/callseal/gateway/fault"
)

// rulesFor is how long policy documents are taken to be in force without asking.
// One that was replaced meanwhile shows when the contract refuses what it weighed.
const rulesFor = 30 * time.Second

// rules are the policy documents in force.
type rules struct {
	weighing   *ledger.ReputationPolicy
	version    int64
	pseudonyms *ledger.PseudonymPolicy
	readAt     time.Time
}

// rulebook reads the rules and keeps them for a while.
type rulebook struct {
	link link
	key  []byte

	mu      sync.Mutex
	current *rules
}

// inForce answers the rules, or a fault: State where the gateway's key is not that
// of the epoch in force.
func (b *rulebook) inForce(ctx context.Context) (*rules, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current != nil && time.Since(b.current.readAt) < rulesFor {
		return b.current, nil
	}
	read := &rules{readAt: time.Now()}
	for name, take := range map[string]func(*ledger.PolicyVersion){
		ledger.PolicyReputation: func(v *ledger.PolicyVersion) { read.weighing, read.version = v.Policy.Reputation, v.Version },
		ledger.PolicyPseudonyms: func(v *ledger.PolicyVersion) { read.pseudonyms = v.Policy.Pseudonyms },
	} {
		text, err := b.link.Policy(ctx, name)
		if err != nil {
			return nil, err
		}
		var version ledger.PolicyVersion
		if err := ledger.DecodeStrict(text, &version); err != nil {
			return nil, err
		}
		take(&version)
	}
	if read.weighing == nil || read.pseudonyms == nil {
		return nil, fault.New(fault.Internal, "the governance chaincode answered with other documents than were asked for")
	}
	if voted := read.pseudonyms.Commitment; voted != "" {
		own, err := arithmetic.Commitment(b.key)
		if err != nil {
			return nil, fault.New(fault.State, "%v", err)
		}
		if own != voted {
			return nil, fault.New(fault.State, "the gateway's consortium key is not that of epoch %d, which the operators voted into force: give it the right file", read.pseudonyms.Epoch)
		}
	}
	b.current = read
	return read, nil
}

// forget has the rules read anew.
func (b *rulebook) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = nil
}

// place is what is known of a subject by its address: its pseudonym, and the one
// it had in the epoch before where that key is known too.
type place struct {
	epoch            int64
	subject, earlier string
}

// placeOf makes an address's pseudonym, or answers a fault for what is none, or is
// never scored.
func (r *rules) placeOf(address string, key, previousKey []byte) (place, error) {
	parsed, err := arithmetic.ParseAddress(address, r.weighing.EmergencyNumbers)
	if err != nil {
		kind := fault.Invalid
		if !errors.Is(err, arithmetic.ErrAddress) {
			kind = fault.State
		}
		return place{}, &fault.Error{Kind: kind, Stage: fault.StageRequest, Message: err.Error(), Err: err}
	}
	at := place{epoch: r.pseudonyms.Epoch}
	if at.subject, err = parsed.Subject(key); err != nil {
		return place{}, fault.New(fault.State, "%v", err)
	}
	if at.epoch > 1 && previousKey != nil {
		if at.earlier, err = parsed.Subject(previousKey); err != nil {
			return place{}, fault.New(fault.State, "%v", err)
		}
	}
	return at, nil
}
