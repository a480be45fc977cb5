package fabric_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

const patience = time.Minute

// TestOnARealNetwork runs what needs one operator's one peer on a single network.
func TestOnARealNetwork(t *testing.T) {
	w := &world{Network: networktest.Start(t)}
	for _, part := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"commits beside commit status", testCommitsBesideCommitStatus},
		{"commits of earlier transactions", testEarlierCommits},
		{"an envelope sent again", testEnvelopeAgain},
		{"a key in hardware", testHardwareKey},
		{"replaced files", testReplacedFiles},
		{"commits across a restart of the peer", testCommitsAcrossRestart},
	} {
		t.Run(part.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			part.run(t, w)
			requireGoroutines(t, before)
		})
	}
}

// requireGoroutines waits until no more run than before.
func requireGoroutines(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

type world struct{ *networktest.Network }

func (w *world) member(t *testing.T, name string) network.Member {
	t.Helper()
	for _, member := range w.Consortium().Members() {
		if strings.EqualFold(member.Name, name) {
			return member
		}
	}
	t.Fatalf("no member %s", name)
	return network.Member{}
}

// config is Atlas's channel as an identity of Atlas sees it.
func (w *world) config(t *testing.T, role string) fabric.Config {
	t.Helper()
	member, org := w.member(t, "Atlas"), w.Layout().Operator("Atlas")
	files := org.Identity(role)
	return fabric.Config{
		MSP: member.MSP, Channel: w.Consortium().Channel, Chaincode: w.Consortium().Chaincode,
		Peers:       []fabric.PeerConfig{{Address: member.Peer.Address, CAFile: org.TLSCAFile()}},
		TLSCertFile: files.TLSCertFile(), TLSKeyFile: files.TLSKeyFile(), CertFile: files.CertFile(), KeyFile: files.KeyFile(),
		Partners: []string{"BorealisMSP", "CorvusMSP"},
	}
}

// open is the channel, closed before the goroutines are counted.
func open(t *testing.T, config fabric.Config) (*fabric.Channel, func()) {
	t.Helper()
	channel, err := fabric.Open(config)
	require.NoError(t, err)
	closed := sync.OnceFunc(func() { require.NoError(t, channel.Close()) })
	t.Cleanup(closed)
	return channel, closed
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	return ctx
}

// registration is a transaction that has not been made before, and succeeds once.
func registration(t *testing.T) fabric.Proposal {
	t.Helper()
	return fabric.Proposal{Function: "devices:Register", Args: []string{string(gatewaytest.JSON(t, &ledger.DeviceRegistration{
		Credentials: ledger.DeviceCredentials{AORRefs: []string{gatewaytest.Random(t, 32)}, DetailsDigest: gatewaytest.Random(t, 32), KeyEpoch: 1},
		ID:          gatewaytest.Random(t, 16), Kind: ledger.DevicePhone,
	}))}}
}

// statusClient asks Atlas's peer for commits the way the client library does.
func (w *world) statusClient(t *testing.T, config fabric.Config) (*client.Gateway, func()) {
	t.Helper()
	read := func(file string) []byte {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		return content
	}
	certificate, err := identity.CertificateFromPEM(read(config.CertFile))
	require.NoError(t, err)
	id, err := identity.NewX509Identity(config.MSP, certificate)
	require.NoError(t, err)
	key, err := identity.PrivateKeyFromPEM(read(config.KeyFile))
	require.NoError(t, err)
	sign, err := identity.NewPrivateKeySign(key)
	require.NoError(t, err)
	connection, err := grpc.NewClient(config.Peers[0].Address, grpc.WithTransportCredentials(credentials.NewTLS(mutual(t, config))))
	require.NoError(t, err)
	library, err := client.Connect(id, client.WithSign(sign), client.WithHash(hash.SHA256), client.WithClientConnection(connection))
	require.NoError(t, err)
	return library, func() {
		_ = library.Close()
		_ = connection.Close()
	}
}

// testCommitsBesideCommitStatus has each of many transactions resolved by both
// ways at the same time.
func testCommitsBesideCommitStatus(t *testing.T, w *world) {
	config := w.config(t, "admin")
	channel, done := open(t, config)
	defer done()
	asking, hangUp := w.statusClient(t, config)
	defer hangUp()
	ctx := within(t)
	_, err := channel.Transact(ctx, registration(t)) // Connects.
	require.NoError(t, err)
	for _, together := range []int{1, 16} {
		var mu sync.Mutex
		var byStream, byStatus []time.Duration
		var running sync.WaitGroup
		for range together {
			running.Go(func() {
				for range 96 / together {
					endorsed, err := channel.Endorse(ctx, registration(t))
					if !noError(t, err) {
						return
					}
					expected := channel.Commits().Expect(endorsed.ID())
					status, err := asking.NewCommit(statusRequest(t, w.Consortium().Channel, endorsed.ID(), asking.Identity()))
					if !noError(t, err) || !noError(t, endorsed.Send(ctx)) {
						return
					}
					sent := time.Now()
					asked := make(chan time.Duration, 1)
					go func() {
						if result, err := status.StatusWithContext(ctx); noError(t, err) && !result.Successful {
							t.Errorf("status %s", result.Code)
						}
						asked <- time.Since(sent)
					}()
					commit, err := expected.Await(ctx)
					streamed := time.Since(sent)
					noError(t, err)
					if commit.TransactionID != endorsed.ID() || commit.Block == 0 {
						t.Errorf("commit %+v of %s", commit, endorsed.ID())
					}
					mu.Lock()
					byStream, byStatus = append(byStream, streamed), append(byStatus, <-asked)
					mu.Unlock()
				}
			})
		}
		running.Wait()
		t.Logf("%d at a time, from the orderers' answer to the commit known, p50 and p99: %s by the stream of blocks, %s by commit status",
			together, spread(byStream), spread(byStatus))
	}
	require.Zero(t, channel.Commits().Expected())
}

// statusRequest asks for a transaction.
func statusRequest(t *testing.T, channel, transactionID string, as identity.Identity) []byte {
	t.Helper()
	creator := marshal(t, &msp.SerializedIdentity{Mspid: as.MspID(), IdBytes: as.Credentials()})
	return marshal(t, &gateway.SignedCommitStatusRequest{Request: marshal(t, &gateway.CommitStatusRequest{
		ChannelId: channel, TransactionId: transactionID, Identity: creator,
	})})
}

// noError is for goroutines of a test.
func noError(t *testing.T, err error) bool {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	return err == nil
}

func spread(taken []time.Duration) string {
	slices.Sort(taken)
	if len(taken) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%v and %v", taken[len(taken)/2].Round(10*time.Microsecond), taken[len(taken)*99/100].Round(10*time.Microsecond))
}

// testEarlierCommits asks for what was committed before anybody listened.
func testEarlierCommits(t *testing.T, w *world) {
	ctx := within(t)
	first, done := open(t, w.config(t, "admin"))
	defer done()
	made, err := first.Transact(ctx, registration(t))
	require.NoError(t, err)

	second, done := open(t, w.config(t, "admin"))
	defer done()
	// Before its streams stand the whole ledger is asked; later only on demand.
	expected := second.Commits().Expect(made.TransactionID)
	found, err := expected.Await(ctx)
	require.NoError(t, err)
	require.Equal(t, made.Block, found.Block)
	_, err = second.Transact(ctx, registration(t))
	require.NoError(t, err)
	again := second.Commits().Expect(made.TransactionID)
	again.LookUp()
	_, err = again.Await(ctx)
	require.NoError(t, err)
	found, err = second.Commits().Find(ctx, made.TransactionID)
	require.NoError(t, err)
	require.Equal(t, made.Commit, found)
	_, err = second.Commits().Find(ctx, strings.Repeat("ab", 32))
	require.Equal(t, fault.NotFound, fault.Of(err).Kind)

	never := second.Commits().Expect(strings.Repeat("ab", 32))
	require.Equal(t, 1, second.Commits().Expected())
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err = never.Await(short)
	require.Equal(t, fault.Unknown, fault.Of(err).Kind, "%v", err)
	require.Equal(t, 1, second.Commits().Expected(), "it can be awaited again")
	never.Release()
	never.Release()
	require.Zero(t, second.Commits().Expected())
}

// testCommitsAcrossRestart has transactions committed while the peer's stream is
// down: the next one begins where the last ended.
func testCommitsAcrossRestart(t *testing.T, w *world) {
	ctx := within(t)
	atlas, done := open(t, w.config(t, "admin"))
	defer done()
	_, err := atlas.Transact(ctx, registration(t))
	require.NoError(t, err)
	var endorsed []*fabric.Endorsed
	var expected []*fabric.Expectation
	for range 8 {
		one, err := atlas.Endorse(ctx, registration(t))
		require.NoError(t, err)
		endorsed, expected = append(endorsed, one), append(expected, atlas.Commits().Expect(one.ID()))
	}
	// They are ordered by another operator's peer while Atlas's is away.
	borealis := w.config(t, "admin")
	borealis.Peers = []fabric.PeerConfig{{Address: w.member(t, "Borealis").Peer.Address, CAFile: w.Layout().Operator("Borealis").TLSCAFile()}}
	elsewhere, hangUp := w.statusClient(t, borealis)
	defer hangUp()
	w.Kill("atlas-peer")
	for _, one := range endorsed {
		envelope := &common.Envelope{}
		require.NoError(t, proto.Unmarshal(one.Envelope(), envelope))
		prepared, err := proto.Marshal(&gateway.PreparedTransaction{TransactionId: one.ID(), Envelope: envelope})
		require.NoError(t, err)
		transaction, err := elsewhere.NewTransaction(prepared)
		require.NoError(t, err)
		_, err = transaction.SubmitWithContext(ctx)
		require.NoError(t, err)
	}
	w.StartNode("atlas-peer")
	for _, one := range expected {
		commit, err := one.Await(ctx)
		require.NoError(t, err)
		found, err := atlas.Commits().Find(ctx, one.ID())
		require.NoError(t, err)
		require.Equal(t, found.Block, commit.Block)
	}
	require.Zero(t, atlas.Commits().Expected())
}

// testEnvelopeAgain sends one envelope from before and after a restart.
func testEnvelopeAgain(t *testing.T, w *world) {
	ctx := within(t)
	before, done := open(t, w.config(t, "admin"))
	defer done()
	endorsed, err := before.Endorse(ctx, registration(t))
	require.NoError(t, err)
	kept := slices.Clone(endorsed.Envelope())

	after, done := open(t, w.config(t, "admin"))
	defer done()
	reopened, err := after.Reopen(kept)
	require.NoError(t, err)
	require.Equal(t, endorsed.ID(), reopened.ID())
	require.Equal(t, endorsed.Result(), reopened.Result())
	require.Equal(t, kept, reopened.Envelope())
	first, err := reopened.Finish(ctx)
	require.NoError(t, err)

	for name, channel := range map[string]*fabric.Channel{"as it is": before, "where it was committed": after} {
		again, err := channel.Reopen(kept)
		require.NoError(t, err, name)
		commit, err := again.Finish(ctx)
		require.NoError(t, err, name)
		require.Equal(t, first.Block, commit.Block, name)
		require.Zero(t, channel.Commits().Expected())
	}
	for name, bad := range map[string][]byte{"nothing": nil, "noise": []byte("noise")} {
		_, err := before.Reopen(bad)
		require.Error(t, err, name)
	}
}
