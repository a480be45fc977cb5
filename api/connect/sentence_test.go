package connect_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/callseal/callseal/api/connect"
)

func TestSentence(t *testing.T) {
	said, err := status.New(codes.Unavailable, "the peer cannot be reached").WithDetails(&errdetails.ErrorInfo{Domain: "callseal"})
	require.NoError(t, err)
	for name, want := range map[string]struct {
		err  error
		says string
	}{
		"a refusal":            {status.Error(codes.PermissionDenied, "the role may not do this"), "the role may not do this"},
		"nobody there":         {status.Error(codes.Unavailable, "connection refused"), "the gateway does not answer: is the network up? (connection refused)"},
		"a gateway, no peer":   {said.Err(), "the peer cannot be reached"},
		"not of the transport": {errors.New("a file is missing"), "a file is missing"},
	} {
		t.Run(name, func(t *testing.T) { require.EqualError(t, connect.Sentence(want.err), want.says) })
	}
	require.NoError(t, connect.Sentence(nil))
}
