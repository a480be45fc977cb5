package contract

import (
	"strings"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Calls is the contract "calls".
type Calls struct{ contractapi.Contract }

// GetEvaluateTransactions names the functions that only read.
func (*Calls) GetEvaluateTransactions() []string {
	return []string{"Get", "ByLinkedID", "List", "Segment", "Incidents", "State", "Gaps", "Chain", "Conversation", "Omissions", "Progress", "Corrections", "Reconcile", "Disputes"}
}

// Anchor puts signed segments on the ledger (design: P1's phases 3 and 4).
//
// Segments is a JSON array of one or more ledger.SignedSegment with at most 500
// records each and 1500 in all, as the argument or, with an empty argument, as transient data
// named "segments". The caller is the owning operator's gateway. Each record is
// put under its own key if that is free; a replay with the same content is
// answered "already_anchored"; one with other content is refused with the
// outcome "conflict" and an incident. The answer is a ledger.AnchorResult.
//
// Errors: INVALID_ARGUMENT, TOO_LARGE, PERMISSION_DENIED (caller, or adapter not
// enrolled for the PBX, expired or revoked), SIGNATURE_INVALID. On an error
// nothing is written.
func (*Calls) Anchor(ctx contractapi.TransactionContextInterface, segments string) (string, error) {
	return anchor(ctx, segments, false)
}

// AnchorLate is Anchor for segments that reach the ledger only after their signer's
// certificate expired or was revoked, as when a PBX was cut off or its journal found
// again. The caller is an admin of the owner, in place of its gateway; the segments
// were closed while the certificate was good, which is the signer's word alone, and
// are marked late_by_admin for ever.
//
// Errors: as Anchor's; FAILED_PRECONDITION for a signer whose certificate is good
// still.
func (*Calls) AnchorLate(ctx contractapi.TransactionContextInterface, segments string) (string, error) {
	return anchor(ctx, segments, true)
}

// Get answers one CDR leg, a ledger.Record, or NOT_FOUND.
func (*Calls) Get(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID, uniqueID string, sequence int64) (string, error) {
	leg := ledger.LegID{LinkedID: linkedID, UniqueID: uniqueID, Sequence: sequence}
	if err := checkNames("msp", msp, "pbx", pbx); err != nil {
		return "", err
	}
	if err := leg.Check(); err != nil {
		return "", err
	}
	value, err := get(ctx.GetStub(), ledger.CallKey(msp, pbx, leg), "no operator has anchored this CDR leg")
	return string(value), err
}

// ByLinkedID answers the legs of one linkedid as a JSON array of ledger.Record,
// empty where there are none.
func (*Calls) ByLinkedID(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID string) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx, "linkedid", linkedID); err != nil {
		return "", err
	}
	var legs [][]byte
	err := scan(ctx.GetStub(), ledger.TypeCall, []string{msp, pbx, linkedID}, func(_ string, value []byte) error {
		legs = append(legs, value)
		return nil
	})
	return listText(legs), err
}

// Page is the answer of List.
type Page struct {
	// Bookmark is where the next page begins; empty after the last.
	Bookmark string          `json:"bookmark"`
	Records  []ledger.Record `json:"records"`
}

// List answers a page of an operator's PBX's legs in order of linkedid, which
// begins with the time the first channel was created. PageSize is 1 to 1000.
func (*Calls) List(ctx contractapi.TransactionContextInterface, msp, pbx string, pageSize int32, bookmark string) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx); err != nil {
		return "", err
	}
	if pageSize < 1 || pageSize > maxListed {
		return "", ledger.Errorf(ledger.CodeInvalid, "the page size is %d, it must lie between 1 and %d", pageSize, maxListed)
	}
	// The peer begins wherever the bookmark says, be it outside what was asked for.
	if bookmark != "" && !strings.HasPrefix(bookmark, ledger.CompositeKey(ledger.TypeCall, msp, pbx)) {
		return "", ledger.Errorf(ledger.CodeInvalid, "the bookmark is not one of an earlier page of this PBX")
	}
	iterator, metadata, err := ctx.GetStub().GetStateByPartialCompositeKeyWithPagination(ledger.TypeCall, []string{msp, pbx}, pageSize, bookmark)
	if err != nil {
		return "", ledger.Errorf(ledger.CodeInternal, "scan state: %v", err)
	}
	defer func() { _ = iterator.Close() }()
	page := Page{Bookmark: metadata.GetBookmark(), Records: []ledger.Record{}}
	for iterator.HasNext() {
		entry, err := iterator.Next()
		if err != nil {
			return "", ledger.Errorf(ledger.CodeInternal, "scan state: %v", err)
		}
		var record ledger.Record
		if err := decodeStored(entry.GetValue(), &record); err != nil {
			return "", err
		}
		page.Records = append(page.Records, record)
	}
	return text(page)
}

// Segment answers one anchored segment, a ledger.AnchoredSegment, or NOT_FOUND.
func (*Calls) Segment(ctx contractapi.TransactionContextInterface, msp, pbx string, epoch, firstSeq int64) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx); err != nil {
		return "", err
	}
	if err := ledger.CheckNumber("epoch", epoch); err != nil {
		return "", err
	}
	if err := ledger.CheckNumber("first_seq", firstSeq); err != nil {
		return "", err
	}
	value, err := get(ctx.GetStub(), ledger.SegmentKey(msp, pbx, epoch, firstSeq), "no such segment is anchored")
	return string(value), err
}

// Incidents answers a PBX's incidents as a JSON array of ledger.Incident.
func (*Calls) Incidents(ctx contractapi.TransactionContextInterface, msp, pbx string) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx); err != nil {
		return "", err
	}
	var incidents [][]byte
	err := scan(ctx.GetStub(), ledger.TypeIncident, []string{msp, pbx}, func(_ string, value []byte) error {
		incidents = append(incidents, value)
		return nil
	})
	return listText(incidents), err
}
