package gateway_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/gateway/limit"
)

// Limits follow the configuration's file while the gateway's program runs, and what
// cannot be used changes nothing.
func TestLimitsAreReloaded(t *testing.T) {
	s := newStation(t, t.TempDir())
	s.start()
	said := func(what string) int { return strings.Count(s.Log(), what) }
	await := func(what string, times int) {
		t.Helper()
		require.Eventually(t, func() bool { return said(what) >= times }, patience, 10*time.Millisecond, "%s", what)
	}
	outbox := pb.NewOutboxServiceClient(dial(t, s.as["admin"]))
	list := func() error {
		_, err := outbox.ListEntries(within(t, patience), &pb.ListEntriesRequest{})
		return err
	}
	for range 20 {
		require.NoError(t, list())
	}

	generous := s.config.Server.Limits.Client.List
	s.config.Server.Limits.Client.List = limit.Bound{Rate: 0.001, Burst: 2, Concurrent: 1}
	s.config.Server.StopTimeout++ // waits for a restart
	s.configure()
	await("configuration reloaded", 1)
	require.Contains(t, s.Log(), `"options":["server.limits.client.list.burst","server.limits.client.list.concurrent","server.limits.client.list.rate"]`)
	require.Contains(t, s.Log(), `"msg":"these changes of the configuration wait for a restart","options":["server.stop_timeout"]`)
	require.NoError(t, list())
	require.NoError(t, list())
	err := list()
	require.Equal(t, codes.ResourceExhausted, status.Code(err), "%v", err)
	var wait time.Duration
	for _, detail := range status.Convert(err).Details() {
		if info, is := detail.(*errdetails.RetryInfo); is {
			wait = info.GetRetryDelay().AsDuration()
		}
	}
	require.Greater(t, wait, 10*time.Minute, "one in 1,000 s")

	// What cannot be used changes nothing.
	s.config.Server.Limits.Client.List.Burst = -1
	s.configure()
	await("the configuration is not reloaded, the old one stays in force", 1)
	require.Equal(t, codes.ResourceExhausted, status.Code(list()))

	s.config.Server.Limits.Client.List = generous
	s.config.Server.Limits.Connections.PerAddress = 1
	s.configure()
	await("configuration reloaded", 2)
	for range 20 {
		require.NoError(t, list())
	}
	// The connection that is open stays, another is closed at once.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = pb.NewOutboxServiceClient(dial(t, s.as["admin"])).ListEntries(ctx, &pb.ListEntriesRequest{})
	require.Error(t, err)
	require.NoError(t, list())

	// SIGHUP reads the file too, also when nothing in it changed.
	s.Signal(unix.SIGHUP)
	await("configuration reloaded", 3)
	s.Signal(unix.SIGTERM)
	require.Equal(t, 0, s.Exit(patience))
}
