package fabric

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/callseal/callseal/gateway/fault"
)

// fromPeer is an error as a peer's gateway sends it, with what each endorser said.
func fromPeer(t *testing.T, code codes.Code, text string, said ...string) error {
	t.Helper()
	answer := status.New(code, text)
	for i, message := range said {
		var err error
		answer, err = answer.WithDetails(&gateway.ErrorDetail{Address: fmt.Sprintf("peer%d:7051", i), MspId: "AtlasMSP", Message: message})
		require.NoError(t, err)
	}
	return answer.Err()
}

func TestClassify(t *testing.T) {
	for name, c := range map[string]struct {
		stage fault.Stage
		err   error
		kind  fault.Kind
		says  string
	}{
		"contract error in the details": {
			fault.StageEndorse, fromPeer(t, codes.Aborted, "failed to endorse transaction, see attached details for more info", "chaincode response 500, INVALID_ARGUMENT|segment 7 has a gap"),
			fault.Invalid, "segment 7 has a gap",
		},
		"contract error of the second endorser": {
			fault.StageEndorse, fromPeer(t, codes.Aborted, "failed to endorse transaction", "chaincode response 500, connection lost", "chaincode response 500, PERMISSION_DENIED|no such adapter"),
			fault.Denied, "no such adapter",
		},
		"contract error of an evaluation": {
			fault.StageEvaluate, fromPeer(t, codes.Unknown, "evaluate call to endorser returned error: chaincode response 500, NOT_FOUND|no operator has anchored this CDR leg"),
			fault.NotFound, "no operator has anchored this CDR leg",
		},
		"signature": {
			fault.StageEndorse, fromPeer(t, codes.Aborted, "failed", "chaincode response 500, SIGNATURE_INVALID|the signature is wrong"), fault.Invalid, "the signature is wrong",
		},
		"contract failed": {
			fault.StageEndorse, fromPeer(t, codes.Aborted, "failed", "chaincode response 500, INTERNAL|the contract failed"), fault.Internal, "the contract failed",
		},
		"endorsers disagree": {
			fault.StageEndorse, fromPeer(t, codes.Aborted, "failed to assemble transaction: ProposalResponsePayloads do not match (base64): ..."), fault.Contended, "again",
		},
		"endorsers disagree, in the details": {
			fault.StageEndorse, fromPeer(t, codes.Aborted, "failed", "ProposalResponsePayloads do not match"), fault.Contended, "again",
		},
		"peer away": {
			fault.StageEvaluate, fromPeer(t, codes.Unavailable, "connection error: desc = \"transport: Error while dialing\""), fault.Unavailable, "check that it runs",
		},
		"no combination of peers": {
			fault.StageEndorse, fromPeer(t, codes.FailedPrecondition, "no combination of peers can be derived which satisfy the endorsement policy"), fault.Unavailable, "network status",
		},
		"no combination of peers, in the details": {
			fault.StageEndorse, fromPeer(t, codes.Unavailable, "failed", "no combination of peers"), fault.Unavailable, "network status",
		},
		"not enough endorsements": {
			fault.StageEndorse, fromPeer(t, codes.Aborted, "failed to collect enough transaction endorsements, see attached details for more info"), fault.Unavailable, "network status",
		},
		"too many requests": {
			fault.StageEvaluate, fromPeer(t, codes.Unknown, "too many requests for /gateway.Gateway, exceeding concurrency limit (500)"), fault.Busy, "later",
		},
		"endorsement out of time": {fault.StageEndorse, fromPeer(t, codes.DeadlineExceeded, "context deadline exceeded"), fault.Unavailable, "in time"},
		"out of time, ours":       {fault.StageEvaluate, fmt.Errorf("ask: %w", context.DeadlineExceeded), fault.Unavailable, "in time"},
		"cancelled":               {fault.StageEndorse, fromPeer(t, codes.Canceled, "context canceled"), fault.Unavailable, "cancelled"},
		"identity refused":        {fault.StageEvaluate, fromPeer(t, codes.Unknown, "access denied: channel [calls] creator org [AtlasMSP]"), fault.Denied, "expired or revoked"},
		"identity revoked":        {fault.StageEndorse, fromPeer(t, codes.PermissionDenied, "failed"), fault.Denied, "expired or revoked"},
		"aborted for another reason": {
			fault.StageEndorse, fromPeer(t, codes.Aborted, "something else"), fault.Contended, "again",
		},
		"chaincode service away": {
			fault.StageEndorse, fromPeer(t, codes.Aborted, "failed to endorse transaction, see attached details for more info", "error in simulation: failed to execute transaction ab12: could not launch chaincode callseal_1.0:ff: connection to callseal_1.0:ff failed"),
			fault.Unavailable, "its chaincode service",
		},
		"chaincode service away at an evaluation": {
			fault.StageEvaluate, fromPeer(t, codes.Aborted, "failed to evaluate transaction, see attached details for more info", "could not launch chaincode callseal_1.0:ff"),
			fault.Unavailable, "its chaincode service",
		},
		"submission lost":      {fault.StageSubmit, fromPeer(t, codes.Unavailable, "no orderers could successfully process transaction"), fault.Unknown, "not known yet"},
		"submission cancelled": {fault.StageSubmit, fromPeer(t, codes.Canceled, "context canceled"), fault.Unknown, "not known yet"},
		"commit out of time":   {fault.StageCommit, fromPeer(t, codes.DeadlineExceeded, "context deadline exceeded"), fault.Unknown, "not known yet"},
		"nonsense":             {fault.StageEvaluate, errors.New("peer speaks in tongues"), fault.Internal, "does not know"},
	} {
		t.Run(name, func(t *testing.T) {
			what := classify(c.stage, "ab12", c.err)
			require.Equal(t, c.kind, what.Kind, what.Error())
			require.Contains(t, what.Message, c.says)
			require.Equal(t, c.stage, what.Stage)
			require.Equal(t, "ab12", what.TransactionID)
		})
	}
}

func TestInvalidated(t *testing.T) {
	for code, kind := range map[string]fault.Kind{
		"MVCC_READ_CONFLICT": fault.Contended, "PHANTOM_READ_CONFLICT": fault.Contended, "ENDORSEMENT_POLICY_FAILURE": fault.Contended,
		"DUPLICATE_TXID": fault.Internal, "BAD_RWSET": fault.Internal,
	} {
		what := invalidated("ab12", code)
		require.Equal(t, kind, what.Kind, code)
		require.Equal(t, fault.StageCommit, what.Stage)
		require.Equal(t, "ab12", what.TransactionID)
	}
	require.ErrorContains(t, invalidated("ab12", "BAD_RWSET"), "BAD_RWSET")
}

// What BFT orderers say to an envelope they have ordered before is no failure.
func TestAlreadyProcessed(t *testing.T) {
	for text, already := range map[string]bool{
		"no orderers could successfully process transaction: request already processed": true,
		"request already exists in the pool":                                            true,
		"no orderers could successfully process transaction":                            false,
	} {
		require.Equal(t, already, alreadyProcessed(fromPeer(t, codes.Unavailable, text)), text)
		require.Equal(t, already, alreadyProcessed(fromPeer(t, codes.Unavailable, "failed", text)), text)
	}
	require.False(t, alreadyProcessed(nil))
}

func TestRefusesIdentity(t *testing.T) {
	const quorum = "insufficient number of orderers could successfully process transaction to satisfy quorum requirement"
	for said, refused := range map[string]bool{
		"received unsuccessful response from orderer: status=BAD_REQUEST, info=broadcast client identity expired":                                                           true,
		"received unsuccessful response from orderer: status=FORBIDDEN, info=implicit policy evaluation failed - 0 sub-policies were satisfied: permission denied":          true,
		"received unsuccessful response from orderer: status=SERVICE_UNAVAILABLE, info=failed to submit request: the request pool is full, with a FORBIDDEN word somewhere": false,
		"received unsuccessful response from orderer: status=BAD_REQUEST, info=channel creation request not allowed because the orderer system channel is not defined":      false,
		"rpc error: code = Unavailable desc = connection refused": false,
	} {
		err := fromPeer(t, codes.Unavailable, quorum, "rpc error: code = Unavailable desc = closing", said)
		require.Equal(t, refused, RefusesIdentity(classify(fault.StageSubmit, "ab12", err)), said)
	}
	require.False(t, RefusesIdentity(errors.New(quorum)))
	require.False(t, RefusesIdentity(nil))
}

// The client's own error types carry the status that is read.
func TestTheClientsErrorsCarryAStatus(t *testing.T) {
	for _, err := range []any{&client.EndorseError{}, &client.SubmitError{}, &client.CommitStatusError{}} {
		require.Implements(t, (*interface{ GRPCStatus() *status.Status })(nil), err)
	}
}
