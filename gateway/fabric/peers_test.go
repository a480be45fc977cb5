package fabric_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/device"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/gateway/seal"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
)

// twoPeers is the development consortium in which Atlas has two peers.
func twoPeers() *network.Consortium {
	consortium := network.Development()
	consortium.Operators[0].MorePeers = []network.PeerAddresses{{Address: "127.0.0.1:21053", Operations: "127.0.0.1:21054"}}
	return consortium
}

// TestTwoPeers kills, freezes and restarts the peers of an operator that has two
// of them, under load.
func TestTwoPeers(t *testing.T) {
	w := &world{Network: networktest.Start(t, networktest.WithConsortium(twoPeers()))}
	for _, part := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"details on both", testDetailsOnBoth},
		{"faults under load", testFaultsUnderLoad},
		{"whole blocks across faults", testBlocksAcrossFaults},
		{"erasure on both", testErasureOnBoth},
	} {
		if !t.Run(part.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			part.run(t, w)
			requireGoroutines(t, before)
		}) {
			break
		}
	}
}

// both is Atlas's channel through both its peers, and one of them alone.
func (w *world) both(t *testing.T, role string) fabric.Config {
	t.Helper()
	config := w.config(t, role)
	for _, seat := range w.member(t, "Atlas").Peers()[1:] {
		config.Peers = append(config.Peers, fabric.PeerConfig{Address: seat.Peer.Address, CAFile: config.Peers[0].CAFile})
	}
	require.Len(t, config.Peers, 2)
	return config
}

// through is each of Atlas's peers alone.
func (w *world) through(t *testing.T, role string) map[string]*fabric.Channel {
	t.Helper()
	channels := map[string]*fabric.Channel{}
	for i, name := range []string{"atlas-peer", "atlas-peer2"} {
		config := w.both(t, role)
		config.Peers = config.Peers[i : i+1]
		channels[name], _ = open(t, config)
	}
	return channels
}

// putDevice registers a device and stores its details.
func putDevice(t *testing.T, channel *fabric.Channel, keyring *seal.Keyring) (id string, sealed []byte) {
	t.Helper()
	id = gatewaytest.Random(t, 16)
	details := ledger.Details{Device: &ledger.DeviceDetails{AORs: []string{"sip:600@pbx.atlas.example"}, Label: "Reception"}, Salt: gatewaytest.Random(t, 32), V: ledger.SchemaVersion}
	digest, err := details.Digest()
	require.NoError(t, err)
	_, err = channel.Transact(within(t), deviceOf(t, id, digest))
	require.NoError(t, err)
	sealed, err = device.Seal(keyring, channel.MSP(), id, 1, gatewaytest.JSON(t, &details))
	require.NoError(t, err)
	_, err = channel.Transact(within(t), device.Put(channel.MSP(), sealed))
	require.NoError(t, err)
	return id, sealed
}

// deviceOf puts a device with these details on the ledger.
func deviceOf(t *testing.T, id, digest string) fabric.Proposal {
	t.Helper()
	return fabric.Proposal{Function: "devices:Register", Args: []string{string(gatewaytest.JSON(t, &ledger.DeviceRegistration{
		Credentials: ledger.DeviceCredentials{AORRefs: []string{gatewaytest.Random(t, 32)}, DetailsDigest: digest, KeyEpoch: 1}, ID: id, Kind: ledger.DevicePhone,
	}))}}
}

func openKeyring(t *testing.T) *seal.Keyring {
	t.Helper()
	keyring, err := seal.Open(filepath.Join(t.TempDir(), "keyring.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = keyring.Close() })
	return keyring
}

// testDetailsOnBoth reads details through either peer while the other is dead.
func testDetailsOnBoth(t *testing.T, w *world) {
	channel, done := open(t, w.both(t, "admin"))
	defer done()
	keyring := openKeyring(t)
	defer func() { _ = keyring.Close() }()
	id, _ := putDevice(t, channel, keyring)
	alone := w.through(t, "admin")
	defer func() {
		for _, each := range alone {
			_ = each.Close()
		}
	}()
	read := func(from *fabric.Channel) error {
		_, err := from.Evaluate(within(t), "details:GetDevice", "AtlasMSP", id, "1")
		return err
	}
	for name, other := range map[string]string{"atlas-peer": "atlas-peer2", "atlas-peer2": "atlas-peer"} {
		require.Eventually(t, func() bool { return read(alone[other]) == nil }, patience, 50*time.Millisecond, "the details reach %s", other)
		w.Kill(name)
		require.NoError(t, read(channel), "while %s is dead", name)
		require.NoError(t, read(alone[other]))
		_, _ = putDevice(t, channel, keyring)
		w.StartNode(name)
		bothHealthy(t, channel)
		// Before it has met the other operators' peers again nobody endorses with it, and
		// it is the only one left next time.
		require.Eventually(t, func() bool {
			_, err := alone[name].Endorse(within(t), deviceOf(t, gatewaytest.Random(t, 16), gatewaytest.Random(t, 32)))
			return err == nil
		}, patience, 100*time.Millisecond, "%s finds endorsers again", name)
	}
}

// bothHealthy waits until both peers answer and have what there is.
func bothHealthy(t *testing.T, channel *fabric.Channel) {
	t.Helper()
	require.Eventually(t, func() bool {
		now := channel.Peers()
		return now[0].Healthy && now[1].Healthy && now[0].Height+2 >= now[1].Height && now[1].Height+2 >= now[0].Height
	}, patience, 10*time.Millisecond, "%+v", channel.Peers())
}

// load calls without a pause and notes every call.
type load struct {
	mu    sync.Mutex
	calls []call
	stop  context.CancelFunc
	done  sync.WaitGroup
}

type call struct {
	kind         string
	begun, ended time.Time
	err          error
}

func startLoad(t *testing.T, channel *fabric.Channel, readers, writers int) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{stop: cancel}
	known := registration(t)
	outcome, err := channel.Transact(within(t), known)
	require.NoError(t, err)
	var made ledger.Device
	require.NoError(t, ledger.DecodeStrict(outcome.Result, &made))
	run := func(kind string, do func() error) {
		l.done.Go(func() {
			for ctx.Err() == nil {
				one := call{kind: kind, begun: time.Now()}
				one.err = do()
				one.ended = time.Now()
				l.mu.Lock()
				l.calls = append(l.calls, one)
				l.mu.Unlock()
			}
		})
	}
	for range readers {
		run("query", func() error {
			_, err := channel.Evaluate(context.Background(), "devices:Get", "AtlasMSP", made.ID)
			return err
		})
	}
	for range writers {
		run("transaction", func() error {
			outcome, err := channel.Transact(context.Background(), registration(t))
			if err == nil && outcome.Validation != "VALID" {
				return fmt.Errorf("validation %s", outcome.Validation)
			}
			return err
		})
	}
	return l
}

// end stops the load.
func (l *load) end() {
	l.stop()
	l.done.Wait()
}

// since says how calls that ended after a moment went: how many, the longest, and
// the longest time in which none ended well.
func (l *load) since(t *testing.T, moment time.Time, what string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, kind := range []string{"query", "transaction"} {
		var ended []time.Time
		var longest, usual time.Duration
		var took []time.Duration
		for _, one := range l.calls {
			if one.kind != kind {
				continue
			}
			require.NoError(t, one.err, "%s, %v after %s", kind, one.ended.Sub(moment), what)
			if one.ended.Before(moment) {
				took = append(took, one.ended.Sub(one.begun))
				continue
			}
			ended, longest = append(ended, one.ended), max(longest, one.ended.Sub(one.begun))
		}
		require.NotEmpty(t, ended, "%ss went on after %s", kind, what)
		if slices.Sort(took); len(took) > 0 {
			usual = took[len(took)/2]
		}
		slices.SortFunc(ended, time.Time.Compare)
		gap := ended[0].Sub(moment)
		for i := 1; i < len(ended); i++ {
			gap = max(gap, ended[i].Sub(ended[i-1]))
		}
		t.Logf("%s: %d %ss, none failed, the longest %v (p50 before: %v), at most %v without one that succeeded",
			what, len(ended), kind, longest.Round(time.Millisecond), usual.Round(time.Millisecond), gap.Round(time.Millisecond))
	}
}

// testFaultsUnderLoad has every kind of fault at either peer under load.
func testFaultsUnderLoad(t *testing.T, w *world) {
	var log bytes.Buffer
	channel, err := fabric.Open(w.both(t, "admin"), fabric.WithLog(slog.New(slog.NewTextHandler(&log, nil))))
	require.NoError(t, err)
	defer func() { _ = channel.Close() }()
	defer func() {
		if t.Failed() {
			_ = channel.Close()
			t.Log(log.String())
		}
	}()
	healthy := func(t *testing.T, node int, wanted bool) {
		t.Helper()
		require.Eventually(t, func() bool { return channel.Peers()[node].Healthy == wanted }, patience, 5*time.Millisecond)
	}
	const during = 2 * time.Second
	for node, name := range []string{"atlas-peer", "atlas-peer2"} {
		l := startLoad(t, channel, 2, 2)
		time.Sleep(time.Second)
		begun := time.Now()
		w.Kill(name)
		time.Sleep(during)
		healthy(t, node, false)
		w.StartNode(name)
		bothHealthy(t, channel)
		time.Sleep(during)
		l.end()
		l.since(t, begun, "kill -9 of "+name)

		l = startLoad(t, channel, 2, 2)
		time.Sleep(time.Second)
		begun = time.Now()
		w.Freeze(name)
		time.Sleep(during)
		healthy(t, node, false)
		w.Thaw(name)
		bothHealthy(t, channel)
		time.Sleep(during)
		l.end()
		l.since(t, begun, "SIGSTOP of "+name)
	}
	require.Zero(t, channel.Commits().Expected())

	// Another operator that hangs is left out, and comes back.
	l := startLoad(t, channel, 1, 2)
	time.Sleep(time.Second)
	begun := time.Now()
	w.Freeze("borealis-peer")
	time.Sleep(3 * during)
	w.Thaw("borealis-peer")
	time.Sleep(during)
	l.end()
	l.since(t, begun, "SIGSTOP of borealis-peer")
	require.Eventually(t, func() bool {
		endorsed, err := channel.Endorse(within(t), registration(t))
		if err != nil {
			return false
		}
		by, err := endorsed.Endorsers()
		return err == nil && slices.Contains(by, "BorealisMSP")
	}, patience, 100*time.Millisecond, "it is asked again")
}

// testBlocksAcrossFaults follows whole blocks while the peers take turns in dying
// and hanging: each comes once and in order.
func testBlocksAcrossFaults(t *testing.T, w *world) {
	channel, done := open(t, w.both(t, "admin"))
	defer done()
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	l := startLoad(t, channel, 0, 2)
	defer l.end()
	var mu sync.Mutex
	var next uint64
	var following sync.WaitGroup
	following.Go(func() {
		for ctx.Err() == nil {
			mu.Lock()
			from := next
			mu.Unlock()
			blocks, err := channel.Blocks(ctx, from)
			if err != nil {
				time.Sleep(100 * time.Millisecond)
				continue
			}
			for block := range blocks {
				mu.Lock()
				if block.GetHeader().GetNumber() != next {
					t.Errorf("block %d came for block %d", block.GetHeader().GetNumber(), next)
				}
				next = block.GetHeader().GetNumber() + 1
				mu.Unlock()
			}
		}
	})
	advances := func(what string) {
		mu.Lock()
		from := next
		mu.Unlock()
		begun := time.Now()
		require.Eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return next > from+3
		}, patience, 10*time.Millisecond, what)
		t.Logf("%s: three more blocks within %v", what, time.Since(begun).Round(time.Millisecond))
	}
	advances("at first")
	for _, name := range []string{"atlas-peer", "atlas-peer2"} {
		w.Kill(name)
		advances("kill -9 of " + name)
		w.StartNode(name)
		bothHealthy(t, channel)
		w.Freeze(name)
		advances("SIGSTOP of " + name)
		w.Thaw(name)
		advances("after " + name + " went on")
		bothHealthy(t, channel)
	}
	cancel()
	following.Wait()
}

// testErasureOnBoth erases details: neither peer answers them, and after the
// compaction neither has them in its files.
func testErasureOnBoth(t *testing.T, w *world) {
	admin, done := open(t, w.both(t, "admin"))
	defer done()
	compliance, done := open(t, w.both(t, "compliance"))
	defer done()
	keyring := openKeyring(t)
	defer func() { _ = keyring.Close() }()
	id, sealed := putDevice(t, admin, keyring)
	_, err := admin.Transact(within(t), fabric.Proposal{Function: "devices:Revoke", Args: []string{id, "1", ledger.DeviceReasonLost}})
	require.NoError(t, err)
	// The sealed text is what would be found in the files.
	var records []ledger.SealedRecord
	require.NoError(t, ledger.DecodeStrict(sealed, &records))
	text := gatewaytest.JSON(t, &records[0].Sealed)
	secret := longestWord(string(text))
	folders := map[string]string{}
	for _, name := range []string{"peer", "peer2"} {
		folders[name] = filepath.Join(w.Layout().Root(), "organisations", "atlas", name, "data")
		require.Eventually(t, func() bool { return holds(t, folders[name], secret) }, patience, 50*time.Millisecond, "%s has the details", name)
	}

	var request ledger.ErasureRequest
	require.NoError(t, device.Erasure(keyring, "AtlasMSP", id, 1, &request))
	request.Reason = ledger.EraseReasons[0]
	_, err = compliance.Transact(within(t), fabric.Proposal{Function: "devices:Erase", Args: []string{"AtlasMSP", id, "1", string(gatewaytest.JSON(t, &request))}})
	require.NoError(t, err)
	_, err = keyring.Destroy(ledger.DeviceVersionKey("AtlasMSP", id, 1))
	require.NoError(t, err)
	purge, err := device.Purge("AtlasMSP", id, 1)
	require.NoError(t, err)
	purged, err := compliance.Transact(within(t), purge)
	require.NoError(t, err)

	alone := w.through(t, "admin")
	for name, channel := range alone {
		require.Eventually(t, func() bool {
			height, err := channel.Height(within(t))
			return err == nil && height > purged.Block
		}, patience, 10*time.Millisecond)
		_, err := channel.Evaluate(within(t), "details:GetDevice", "AtlasMSP", id, "1")
		require.Equal(t, fault.NotFound, fault.Of(err).Kind, "%s: %v", name, err)
		require.ErrorContains(t, err, "erased")
		require.NoError(t, channel.Close())
	}
	// The block after a purge carries it out.
	_, err = admin.Transact(within(t), registration(t))
	require.NoError(t, err)
	compacted, err := w.Compact(within(t), "atlas", func(line string) { t.Log(line) })
	require.NoError(t, err)
	nodes := map[string]int{}
	for _, one := range compacted {
		nodes[one.Node]++
	}
	require.Equal(t, map[string]int{"atlas-peer": 3, "atlas-peer2": 3}, nodes)
	for name, folder := range folders {
		require.False(t, holds(t, folder, secret), "%s has the details still", name)
	}
	require.Eventually(t, func() bool {
		_, err := admin.Transact(within(t), registration(t))
		return err == nil
	}, patience, 100*time.Millisecond)
}

// longestWord is the longest run without a quote: the sealed text.
func longestWord(text string) string {
	return slices.MaxFunc(strings.Split(text, `"`), func(a, b string) int { return len(a) - len(b) })
}

// holds says whether any file of a folder holds a text.
func holds(t *testing.T, folder, text string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || found {
			return nil //nolint:nilerr // files come and go under a running peer
		}
		content, err := os.ReadFile(path)
		found = err == nil && bytes.Contains(content, []byte(text))
		return nil
	})
	require.NoError(t, err)
	return found
}
