package server_test

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/gateway/index"
	"github.com/callseal/callseal/gateway/index/indextest"
	"github.com/callseal/callseal/gateway/index/postgrestest"
	"github.com/callseal/callseal/gateway/setting"
)

// watch follows the changes from a cursor on, until there are so many or the gateway
// goes away, and answers them.
func watch(t *testing.T, w *world, after *pb.ChangeCursor, atMost int, until *pb.Commit) []*pb.Change {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := pb.NewWatchServiceClient(w.as(t, atlas, auditor)).Watch(ctx, &pb.WatchRequest{After: after})
	require.NoError(t, err)
	var all []*pb.Change
	for len(all) < atMost {
		message, err := stream.Recv()
		require.NoError(t, err, "%d changes came", len(all))
		if change := message.GetChange(); change != nil {
			all = append(all, change)
			if until != nil && change.GetTransactionId() == until.GetTransactionId() {
				return all
			}
		}
	}
	return all
}

// testKilledGateway kills the gateway under a reader of changes and between the pages
// of a list. Both go on as if nothing had been.
func testKilledGateway(t *testing.T, w *world) {
	for range 3 {
		w.anchor(t, atlas, gatewaytest.Calls(t, 5)...)
	}
	request := func(token string) *pb.SearchCallsRequest {
		return &pb.SearchCallsRequest{Msp: "AtlasMSP", Page: &pb.PageRequest{PageSize: 4, PageToken: token, Ascending: true}}
	}
	search := pb.NewSearchServiceClient(w.as(t, atlas, auditor))
	w.followed(t, atlas, w.anchor(t, atlas, gatewaytest.Call(t)).GetCommit())
	page, err := search.SearchCalls(t.Context(), request(""))
	require.NoError(t, err)
	listed := page.GetCalls()

	seen := watch(t, w, nil, 40, nil)
	w.Kill("atlas-gateway")
	w.StartNode("atlas-gateway")
	for token := page.GetNextPageToken(); token != ""; token = page.GetNextPageToken() {
		page, err = pb.NewSearchServiceClient(w.as(t, atlas, auditor)).SearchCalls(t.Context(), request(token))
		require.NoError(t, err)
		listed = append(listed, page.GetCalls()...)
	}
	w.anchor(t, atlas, gatewaytest.Calls(t, 2)...)
	last := w.anchor(t, atlas, gatewaytest.Call(t)).GetCommit()
	seen = append(seen, watch(t, w, seen[len(seen)-1].GetCursor(), 1<<20, last)...)

	// What another index of the same chain holds, in its order.
	other := w.project(t, index.Config{SQLiteFile: filepath.Join(t.TempDir(), "index.db")}, last.GetBlock()+1)
	var wanted []index.Change
	for cursor := (index.Cursor{}); ; {
		changes, next, err := other.Changes(t.Context(), cursor, 1000, index.Filter{})
		require.NoError(t, err)
		wanted = append(wanted, changes...)
		if cursor = next; len(changes) == 0 {
			break
		}
	}
	require.Greater(t, len(wanted), len(seen)-1)
	for i, change := range seen { // the last transaction has more writes than the one it was known by
		at := index.Cursor{Block: change.GetCursor().GetBlock(), Position: int(change.GetCursor().GetPosition())}
		require.Equal(t, wanted[i].Cursor, at, "change %d", i)
		require.Equal(t, string(wanted[i].Kind), change.GetKind())
		require.Equal(t, []byte(wanted[i].Key), change.GetKey())
		require.Equal(t, wanted[i].Value, change.GetValueJson())
		require.Empty(t, change.GetUnreadable())
	}
	require.Equal(t, last.GetTransactionId(), seen[len(seen)-1].GetTransactionId())
	known := map[string]bool{}
	for _, one := range listed {
		require.False(t, known[one.GetCall().GetLeg().String()], "no call is listed twice")
		known[one.GetCall().GetLeg().String()] = true
	}
	calls, err := other.Calls(t.Context(), index.CallFilter{MSP: "AtlasMSP"}, index.Page{Size: 1000})
	require.NoError(t, err)
	require.Len(t, listed, len(calls.Rows)-3, "all but what was anchored since")
}

// project opens an index of a database and has it follow Atlas's own peer from block
// 0 to a height.
func (w *world) project(t *testing.T, config index.Config, height uint64) *index.Index {
	t.Helper()
	whole := index.DefaultConfig()
	whole.SQLiteFile, whole.Postgres = config.SQLiteFile, config.Postgres
	opened, err := index.Open(t.Context(), whole, index.Subject{MSP: "AtlasMSP", Channel: w.Consortium().Channel, Chaincode: w.Consortium().Chaincode}, slog.New(slog.NewTextHandler(t.Output(), nil)), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, opened.Close()) })
	w.follow(t, opened, height)
	return opened
}

func (w *world) follow(t *testing.T, x *index.Index, height uint64) {
	t.Helper()
	following, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { x.Run(following, w.peer(t, atlas, auditor)) })
	defer running.Wait()
	defer stop()
	bounded, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, x.Await(bounded, height), "trouble: %v", x.Trouble())
}

// testTwoDatabases holds the index of the gateway, which was killed meanwhile, against
// one made anew in SQLite and one in PostgreSQL: the same rows, the same answers.
func testTwoDatabases(t *testing.T, w *world) {
	for _, operator := range []string{atlas, borealis, corvus} {
		w.Stop(strings.ToLower(operator) + "-gateway") // nothing is written any more
	}
	height, err := w.peer(t, atlas, auditor).Height(t.Context())
	require.NoError(t, err)
	embedded := w.project(t, index.Config{SQLiteFile: filepath.Join(t.TempDir(), "index.db")}, height)
	served := w.project(t, index.Config{Postgres: index.PostgresConfig{DSN: setting.Secret(postgrestest.Start(t).Database())}}, height)
	rows := func(x *index.Index) string {
		var text bytes.Buffer
		require.NoError(t, x.Dump(t.Context(), &text))
		return text.String()
	}
	all := rows(embedded)
	require.Equal(t, all, rows(served))
	at := ledger.TimeOf(time.Now())
	answers := indextest.Answers(t, embedded, at)
	require.Equal(t, answers, indextest.Answers(t, served, at))
	for _, kind := range index.Kinds() {
		if kind == index.KindUnknown {
			continue
		}
		changes, _, err := embedded.Changes(t.Context(), index.Cursor{}, 1, index.Filter{Kinds: []index.Kind{kind}})
		require.NoError(t, err)
		require.NotEmpty(t, changes, "the network's chain holds no %s", kind)
	}

	config, err := gateway.LoadConfig(w.Layout().Operator(atlas).GatewayConfig())
	require.NoError(t, err)
	own, err := gateway.OpenIndex(t.Context(), config, slog.New(slog.DiscardHandler), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, own.Close()) }()
	w.follow(t, own, height)
	require.Equal(t, all, rows(own), "the gateway's own index has lost and doubled nothing")

	for _, x := range []*index.Index{embedded, served} {
		require.NoError(t, x.Clear(t.Context()))
		w.follow(t, x, height)
		require.Equal(t, all, rows(x), "made anew it is the same")
		require.Equal(t, answers, indextest.Answers(t, x, at))
	}
}
