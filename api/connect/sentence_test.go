package connect_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/callseal/callseal/api/connect"
)

func TestSentence(t *testing.T) {
	said := func(code codes.Code, message, stage, transaction, retryable string, more ...protoadapt.MessageV1) error {
		given, err := status.New(code, message).WithDetails(append(more, &errdetails.ErrorInfo{
			Domain: "callseal", Reason: "A_REASON", Metadata: map[string]string{"stage": stage, "transaction_id": transaction, "retryable": retryable},
		})...)
		require.NoError(t, err)
		return given.Err()
	}
	later := func(wait time.Duration) *errdetails.RetryInfo {
		return &errdetails.RetryInfo{RetryDelay: durationpb.New(wait)}
	}
	for name, want := range map[string]struct {
		err  error
		says string
	}{
		"a refusal":            {said(codes.PermissionDenied, "the role may not do this", "request", "", "false"), "the role may not do this"},
		"no gateway's refusal": {status.Error(codes.PermissionDenied, "a proxy says no"), "a proxy says no"},
		"a contract's":         {said(codes.FailedPrecondition, "the call is held", "endorse", "53a3", "false"), "the call is held (at endorse, transaction 53a3)"},
		"for a while":          {said(codes.ResourceExhausted, "the journal is full", "accept", "", "true", later(90*time.Second)), "the journal is full (at accept); try again after 1m30s"},
		"for a moment":         {said(codes.ResourceExhausted, "too many calls", "request", "", "true", later(20*time.Millisecond)), "too many calls; try again after 1s"},
		"of unknown outcome":   {said(codes.Unavailable, "it was sent", "commit", "9f0e", "true"), "it was sent (at commit, transaction 9f0e); try again"},
		"in other words":       {fmt.Errorf("ask: %w", said(codes.NotFound, "there is no such call", "evaluate", "", "false")), "there is no such call (at evaluate)"},
		"nobody there":         {status.Error(codes.Unavailable, "connection refused"), "the gateway does not answer: is the network up? (connection refused)"},
		"a gateway, no peer":   {said(codes.Unavailable, "the peer cannot be reached", "evaluate", "", "true"), "the peer cannot be reached (at evaluate); try again"},
		"not of the transport": {errors.New("a file is missing"), "a file is missing"},
	} {
		t.Run(name, func(t *testing.T) { require.EqualError(t, connect.Sentence(want.err), want.says) })
	}
	require.NoError(t, connect.Sentence(nil))
	var problem *connect.Problem
	require.ErrorAs(t, connect.Sentence(said(codes.NotFound, "nothing", "evaluate", "", "false")), &problem)
	require.Equal(t, codes.NotFound, problem.Code)
}
