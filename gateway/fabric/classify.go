package fabric

import (
	"errors"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
)

// classify turns an error of the peer's gateway into a fault. This is the one
// place that knows how Fabric words its errors.
func classify(stage fault.Stage, transactionID string, err error) *fault.Error {
	if coded, found := contractError(err); found {
		result := fault.FromLedger(coded)
		result.Stage, result.TransactionID, result.Contract = stage, transactionID, true
		return result
	}
	result := &fault.Error{Stage: stage, TransactionID: transactionID, Err: err}
	code := statusCode(err)
	switch {
	case stage == fault.StageSubmit || stage == fault.StageCommit:
		// The envelope may have been ordered.
		result.Kind, result.Message = fault.Unknown, "the transaction was sent and its outcome is not known yet: send the same request again"
	case mentions(err, "ProposalResponsePayloads do not match"):
		// The second endorser had not yet committed what the first has.
		result.Kind, result.Message = fault.Contended, "the endorsers saw different states for a moment: send the request again"
	case code == codes.Canceled:
		result.Kind, result.Message = fault.Unavailable, "the request was cancelled"
	case code == codes.DeadlineExceeded:
		result.Kind, result.Message = fault.Unavailable, "the peers did not answer in time: send the request again"
	case mentions(err, "could not launch chaincode", "chaincode stream terminated"):
		result.Kind, result.Message = fault.Unavailable, "the peer cannot reach its chaincode service: check that it runs with `callseal network status`"
	case mentions(err, "too many requests"):
		result.Kind, result.Message = fault.Busy, "the peer has too many requests at once: send the request again later"
	case mentions(err, "no combination of peers", "no peers available", "failed to select a set of endorsers", "failed to collect enough transaction endorsements"):
		result.Kind, result.Message = fault.Unavailable, "not enough operators' peers are reachable to endorse: check them with `callseal network status`"
	case code == codes.Unavailable:
		result.Kind, result.Message = fault.Unavailable, "the peer cannot be reached: check that it runs"
	case code == codes.PermissionDenied, mentions(err, "access denied", "creator org unknown", "certificate has been revoked"):
		result.Kind, result.Message = fault.Denied, "the peer refuses the gateway's identity: its certificate may be expired or revoked"
	case code == codes.Aborted, code == codes.FailedPrecondition:
		result.Kind, result.Message = fault.Contended, "the endorsement failed for a reason that may pass: send the request again"
	default:
		result.Kind, result.Message = fault.Internal, "the peer failed in a way the gateway does not know"
	}
	return result
}

// invalidated is the fault of a transaction that was ordered and not valid.
func invalidated(transactionID, code string) *fault.Error {
	result := &fault.Error{Stage: fault.StageCommit, TransactionID: transactionID}
	switch code {
	case "MVCC_READ_CONFLICT", "PHANTOM_READ_CONFLICT":
		result.Kind, result.Message = fault.Contended, "another transaction on the same key came first: send the request again"
	case "ENDORSEMENT_POLICY_FAILURE":
		result.Kind, result.Message = fault.Contended, "the endorsements no longer satisfied the channel's policy: send the request again"
	default:
		result.Kind, result.Message = fault.Internal, "the transaction was refused at commit with "+code
	}
	return result
}

// contractError finds the coded error of a contract in what the peer says.
func contractError(err error) (*ledger.Error, bool) {
	said := endorsersSaid(err)
	for _, text := range said {
		if coded, found := ledger.ParseError(text); found {
			return coded, true
		}
	}
	if len(said) > 0 {
		return nil, false
	}
	return ledger.ParseError(err.Error())
}

// endorsersSaid is what each peer answered, of which an error's own text often
// says only that they did.
func endorsersSaid(err error) []string {
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) {
		return nil
	}
	var said []string
	for _, detail := range carrier.GRPCStatus().Details() {
		if one, is := detail.(*gateway.ErrorDetail); is {
			said = append(said, one.GetMessage())
		}
	}
	return said
}

// endorsersOfError are the MSPs whose peers said something in an error.
func endorsersOfError(err error) []string {
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) {
		return nil
	}
	var names []string
	for _, detail := range carrier.GRPCStatus().Details() {
		if one, is := detail.(*gateway.ErrorDetail); is {
			names = append(names, one.GetMspId())
		}
	}
	return names
}

// RefusesIdentity says whether orderers answered that they will not take the
// envelope from who signed it: its certificate expired or was revoked since, or the
// channel's policy lets it write no more. The very same envelope is never taken
// then; one that was taken before may still come.
func RefusesIdentity(err error) bool {
	for _, said := range endorsersSaid(err) {
		for _, words := range identityRefused {
			if strings.Contains(said, words) {
				return true
			}
		}
	}
	return false
}

// identityRefused is how orderers begin such an answer: by the signature's policy,
// and by the check of the certificate's end.
var identityRefused = []string{"status=FORBIDDEN", "status=BAD_REQUEST, info=broadcast client identity expired"}
