// Package audit answers the questions of those who must trust a recording or a
// CDR: it asks the ledger, through a gateway or any operator's peer, compares the
// files at hand with what was endorsed, and says in words what it found.
package audit

import (
	"context"
	"slices"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Ledger is where the endorsed records are read from.
type Ledger interface {
	// Source says who was asked, for people: "the peer of Borealis".
	Source() string
	// Legs are the legs of a linkedid, none when it is unknown.
	Legs(ctx context.Context, msp, pbx, linkedID string) ([]*ledger.Record, error)
	// Recordings are the recordings of a linkedid's legs.
	Recordings(ctx context.Context, msp, pbx, linkedID string) ([]*ledger.Record, error)
	// RecordingsBySHA256 are the recordings with this digest, of any operator.
	RecordingsBySHA256(ctx context.Context, sha256 string) ([]*ledger.Record, error)
	// Corrections are those of a linkedid's legs, in order.
	Corrections(ctx context.Context, msp, pbx, linkedID string) ([]ledger.AnchoredCorrection, error)
	// Endorsement says how a record came onto the ledger.
	Endorsement(ctx context.Context, record *ledger.Record) (*Endorsement, error)
}

// Endorsement says by which transaction a record was anchored and who signed it.
type Endorsement struct {
	TransactionID string `json:"transaction_id"`
	Block         uint64 `json:"block"`
	// Endorsers are MSPs.
	Endorsers []string `json:"endorsers"`
	// Validation is Fabric's code: "VALID" for what counts.
	Validation string      `json:"validation"`
	AnchoredAt ledger.Time `json:"anchored_at"`
	// Signer is the fingerprint of the adapter's certificate.
	Signer string `json:"signer"`
}

// correctionsOf leaves, of the corrections of a conversation, those of one linkedid.
func correctionsOf(conversation []ledger.AnchoredCorrection, linkedID string) []ledger.AnchoredCorrection {
	return slices.DeleteFunc(conversation, func(c ledger.AnchoredCorrection) bool { return c.Correction.Leg.LinkedID != linkedID })
}

// decodeAll reads records that the ledger holds.
func decodeAll[T ~[]byte](stored []T) ([]*ledger.Record, error) {
	records := make([]*ledger.Record, 0, len(stored))
	for _, canonical := range stored {
		record := &ledger.Record{}
		if err := ledger.DecodeStrict(canonical, record); err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}
