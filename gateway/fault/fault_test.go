package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
)

func TestRetryable(t *testing.T) {
	for kind, retryable := range map[fault.Kind]bool{
		fault.Invalid: false, fault.TooLarge: false, fault.NotFound: false, fault.Exists: false, fault.Unauthenticated: false,
		fault.Denied: false, fault.Internal: false,
		fault.Busy: true, fault.Unavailable: true, fault.Unknown: true, fault.Contended: true,
	} {
		require.Equal(t, retryable, fault.New(kind, "a sentence").Retryable(), kind)
	}
}

func TestFromLedger(t *testing.T) {
	for code, kind := range map[ledger.Code]fault.Kind{
		ledger.CodeInvalid: fault.Invalid, ledger.CodeUnauthentic: fault.Invalid, ledger.CodeTooLarge: fault.TooLarge,
		ledger.CodeNotFound: fault.NotFound, ledger.CodeExists: fault.Exists, ledger.CodeDenied: fault.Denied,
		ledger.CodeInternal: fault.Internal, "SOMETHING_NEW": fault.Internal,
	} {
		what := fault.Of(fmt.Errorf("on the way: %w", ledger.Errorf(code, "the reason")))
		require.Equal(t, kind, what.Kind, code)
		require.Equal(t, "the reason", what.Message)
		require.Equal(t, fault.StageRequest, what.Stage)
	}
}

func TestOf(t *testing.T) {
	cause := errors.New("the disk is full")
	what := fault.Of(cause)
	require.Equal(t, fault.Internal, what.Kind)
	require.ErrorIs(t, what, cause)
	require.NotContains(t, what.Message, "disk", "the cause is for the log")

	given := &fault.Error{Kind: fault.Busy, Message: "too much at once"}
	require.Same(t, given, fault.Of(fmt.Errorf("on the way: %w", given)))
}

func TestErrorText(t *testing.T) {
	what := &fault.Error{Kind: fault.Unknown, Message: "not known yet", Stage: fault.StageSubmit, TransactionID: "ab12", Err: errors.New("EOF")}
	require.Equal(t, "not known yet (submit of transaction ab12): EOF", what.Error())
	require.Equal(t, "no segment", fault.New(fault.Invalid, "no %s", "segment").Error())
}
