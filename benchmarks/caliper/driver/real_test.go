package driver

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	gopsutil "github.com/shirou/gopsutil/v4/process"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/callseal/callseal/benchmarks/caliper/workspace"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/msp"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

var onRealNetwork = flag.Bool("caliper.real", false, "install Caliper from npm and run it on a real network")

// TestARealCaliper is run by make test-caliper: make test installs nothing from npm.
func TestARealCaliper(t *testing.T) {
	if !*onRealNetwork {
		return
	}
	program, err := Install(t.Context(), func(line string) { t.Log(line) })
	require.NoError(t, err)
	n := networktest.Start(t)
	running, err := Running(t.Context(), n.Layout().Root())
	require.NoError(t, err)

	t.Run("every round is measured", func(t *testing.T) { measured(t, program, running) })
	t.Run("what cannot be kept is told of", func(t *testing.T) { notKept(t, program, running) })
	t.Run("networks that cannot be measured", func(t *testing.T) { refused(t, program, n) })
}

// measured runs the quick rounds and looks at what they left on the ledger.
func measured(t *testing.T, program Program, running *network.Network) {
	began := time.Now()
	group := &result.Group{Name: "caliper", Title: "Caliper on Callseal's chaincode", Began: began}
	Measure(t, program, running, Plan{Benchmark: workspace.Quick, Repetitions: 1}, group)
	group.Ended = time.Now()
	require.NoError(t, group.Write(t.TempDir()))
	rounds, err := ParseRounds(workspace.Quick)
	require.NoError(t, err)
	table := Table(group)
	for _, round := range rounds.Test.Rounds {
		require.Positive(t, group.Find("throughput/" + round.Label).Values[0], round.Label)
		require.Positive(t, group.Find(round.Label).Latencies[0].P50, round.Label)
		require.Contains(t, table, round.Label)
	}
	nothingRuns(t)

	chain := readChain(t, running)
	require.Empty(t, chain.incidents)
	require.GreaterOrEqual(t, chain.written[ledger.TypeCall], group.Find("anchor-1/rate=20").Latencies[0].Count+100*group.Find("anchor-100/saturation").Latencies[0].Count)
	require.Equal(t, group.Find("device/rate=20").Latencies[0].Count, chain.written[ledger.TypeDevice])
	require.Equal(t, group.Find("consent/rate=20").Latencies[0].Count, chain.written[ledger.TypeConsent])
	hot, cold := group.Find("reputation-hot/saturation").Latencies[0].Count, group.Find("reputation-cold/rate=20").Latencies[0].Count
	require.Equal(t, hot+cold, chain.written[ledger.TypeOpinion])
	require.Greater(t, chain.longest, int64(1), "evidence on a hot subject follows other evidence")

	// The histories that the workers signed are whole, by the contract's own judgement.
	require.NotEmpty(t, chain.pbxs)
	for place := range chain.pbxs {
		owner, pbx, _ := strings.Cut(place, " ")
		text, err := channel(t, running).Evaluate(t.Context(), "calls:Gaps", owner, pbx, "0", "0", "1000")
		require.NoError(t, err)
		var gaps ledger.Gaps
		require.NoError(t, ledger.DecodeStrict(text, &gaps))
		require.True(t, gaps.Complete)
		require.Empty(t, gaps.Findings, place)
		for _, epoch := range gaps.Epochs {
			require.True(t, epoch.Closing, "every round ends its epoch in order")
		}
	}
}

// nothingRuns fails while a process of Caliper works on a workspace of this test's.
func nothingRuns(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		all, err := gopsutil.Processes()
		require.NoError(t, err)
		for _, one := range all {
			if line, _ := one.Cmdline(); strings.Contains(line, "caliper-cli") && strings.Contains(line, t.TempDir()[:len(os.TempDir())+len("/TestARealCaliper")]) {
				return false
			}
		}
		return true
	}, time.Minute, 100*time.Millisecond)
}

// onLedger is what stands on the ledger.
type onLedger struct {
	written   map[string]int64
	incidents []string
	pbxs      map[string]bool
	longest   int64
}

// readChain reads every block, and fails where an opinion does not follow the one before
// it.
func readChain(t *testing.T, running *network.Network) *onLedger {
	t.Helper()
	atlas := channel(t, running)
	height, err := atlas.Height(t.Context())
	require.NoError(t, err)
	chain, opinions := &onLedger{written: map[string]int64{}, pbxs: map[string]bool{}}, map[string]*ledger.Opinion{}
	for number := range height {
		text, err := atlas.In("qscc").Evaluate(t.Context(), "GetBlockByNumber", running.Consortium().Channel, fmt.Sprint(number))
		require.NoError(t, err)
		block := &common.Block{}
		require.NoError(t, proto.Unmarshal(text, block))
		writes, err := fabric.PublicWrites(block, running.Consortium().Chaincode)
		require.NoError(t, err)
		for _, write := range writes {
			kind, parts, err := ledger.SplitKey(write.Key)
			require.NoError(t, err)
			chain.written[kind]++
			switch kind {
			case ledger.TypeIncident:
				chain.incidents = append(chain.incidents, write.Key)
			case ledger.TypeSegment:
				chain.pbxs[parts[0]+" "+parts[1]] = true
			case ledger.TypeOpinion:
				next := &ledger.Opinion{}
				require.NoError(t, ledger.DecodeStrict(write.Value, next))
				if previous := opinions[write.Key]; previous != nil {
					require.NoError(t, ledger.CheckChain(previous, next))
				} else {
					require.EqualValues(t, 1, next.Seq)
				}
				opinions[write.Key], chain.longest = next, max(chain.longest, next.Seq)
			}
		}
	}
	return chain
}

// channel is Atlas's peer, as its auditor asks it.
func channel(t *testing.T, running *network.Network) *fabric.Channel {
	t.Helper()
	operator := running.Consortium().Operators[0]
	org := running.Layout().Operator(operator.Name)
	files := org.Identity("auditor")
	opened, err := fabric.Open(fabric.Config{
		MSP: operator.MSP, Channel: running.Consortium().Channel, Chaincode: running.Consortium().Chaincode,
		Peers: []fabric.PeerConfig{{Address: operator.Peer.Address, CAFile: org.TLSCAFile()}}, TLSCertFile: files.TLSCertFile(), TLSKeyFile: files.TLSKeyFile(),
		CertFile: files.CertFile(), KeyFile: files.KeyFile(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}

// short is one round of a second.
const short = `test:
  workers: { number: 1 }
  rounds:
    - label: get
      txDuration: 1
      rateControl: { type: fixed-rate, opts: { tps: 5 } }
      workload: { module: ./workload/get.js, arguments: { records: 5 } }
monitors:
  transaction:
    - { module: ./monitor.js, options: { folder: pages } }
    - { module: prometheus }
`

// prepared is a workspace for one worker, changed.
func prepared(t *testing.T, running *network.Network, changes ...func(folder string, file *Network)) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "workspace")
	adapters, err := Adapters(running.Consortium(), running.Layout(), 1, fmt.Sprint(time.Now().UnixMilli()), filepath.Join(folder, "adapters"))
	require.NoError(t, err)
	file, err := NewNetwork(running.Consortium(), running.Layout(), adapters)
	require.NoError(t, err)
	require.NoError(t, workspace.Write(folder))
	for _, change := range changes {
		change(folder, file)
	}
	require.NoError(t, file.Write(folder))
	return folder
}

// notKept has pages that cannot be written, as on a full disk, and a transaction that
// fails.
func notKept(t *testing.T, program Program, running *network.Network) {
	quiet := func(string) {}
	folder := prepared(t, running, func(folder string, _ *Network) {
		require.NoError(t, os.Symlink("/dev/full", filepath.Join(folder, pagesFolder)))
	})
	_, err := Run(t.Context(), program, folder, []byte(short), quiet)
	require.ErrorContains(t, err, "what worker 1 measured in the round get")
	require.ErrorContains(t, err, "what round 0 (get) measured cannot be kept: ")

	folder = prepared(t, running, func(folder string, _ *Network) {
		file := filepath.Join(folder, "workload", "get.js")
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(text), "'calls:Get', key", "'calls:Get', [...key.slice(0, 4), '999']", 1)), 0o600))
	})
	_, err = Run(t.Context(), program, folder, []byte(short), quiet)
	require.ErrorIs(t, err, ErrCaliper)
	require.ErrorContains(t, err, "transactions of the round get failed")
	require.ErrorContains(t, err, "NOT_FOUND|")
}

// refused looks at what is said of networks that are not as they should be. The last
// leaves nothing running.
func refused(t *testing.T, program Program, n *networktest.Network) {
	for _, c := range []struct {
		name   string
		breaks func()
		change func(folder string, file *Network)
		says   string
		state  []string // what is said of the state folder
	}{
		{
			name: "without a client certificate", change: func(_ string, file *Network) { file.Organizations[0].TLSClient = Pair{} },
			says: "the network file names no tlsClient for AtlasMSP",
		},
		{
			name: "with a client certificate that is gone", change: func(_ string, file *Network) { file.Organizations[1].TLSClient.Certificate.Path = "gone.pem" },
			says: "the TLS client certificate for BorealisMSP cannot be read: ENOENT",
		},
		{
			name: "with a client certificate of an authority that nobody knows", change: func(folder string, file *Network) {
				authority, err := msp.NewIssuer("Nobody's TLS CA", "Nobody")
				require.NoError(t, err)
				pair, err := authority.Issue(msp.Request{CommonName: "gateway.atlas"})
				require.NoError(t, err)
				client := &file.Organizations[0].TLSClient
				client.Certificate.Path, client.Key.Path = filepath.Join(folder, "nobody.cert.pem"), filepath.Join(folder, "nobody.key.pem")
				require.NoError(t, os.WriteFile(client.Certificate.Path, pair.CertPEM, 0o600))
				require.NoError(t, os.WriteFile(client.Key.Path, pair.KeyPEM, 0o600))
			},
			says: "answers and lets nobody in with the client certificate",
		},
		{
			name: "of another version", change: func(folder string, _ *Network) {
				file := filepath.Join(folder, "connector.js")
				text, err := os.ReadFile(file)
				require.NoError(t, err)
				changed := strings.Replace(string(text), fmt.Sprintf("const SCHEMA = %d;", ledger.SchemaVersion), "const SCHEMA = 4;", 1)
				require.NotEqual(t, string(text), changed, "the workspace writes the version that the ledger has")
				require.NoError(t, os.WriteFile(file, []byte(changed), 0o600))
			},
			says: "of AtlasMSP reads values up to version 3, and this workspace writes version 4: upgrade the network or take the workspace of its release",
		},
		{
			name: "half up", breaks: func() { n.Stop("borealis-chaincode") },
			says:  "the network is half up: the chaincode callseal of BorealisMSP does not answer through its peer",
			state: []string{"is half up, ", "borealis-chaincode is stopped", "starts what is missing"},
		},
		{
			name: "without a quorum of orderers", breaks: func() {
				n.StartNode("borealis-chaincode")
				n.Stop("borealis-orderer")
				n.Stop("corvus-orderer")
			},
			says:  "the network is half up: the adapter of caliper-",
			state: []string{"is half up, ", "borealis-orderer is stopped", "corvus-orderer is stopped", "starts what is missing"},
		},
		{
			name: "down", breaks: func() { require.NoError(t, n.Down(t.Context())) },
			says: "the network is down or half up: nothing answers at", state: []string{"is down: start it with `callseal network up --state"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.breaks != nil {
				c.breaks()
			}
			for _, says := range c.state {
				_, err := Running(t.Context(), n.Layout().Root())
				require.ErrorContains(t, err, says)
			}
			var changes []func(string, *Network)
			if c.change != nil {
				changes = append(changes, c.change)
			}
			folder := prepared(t, n.Network, changes...)
			_, err := Run(t.Context(), program, folder, []byte(short), func(string) {})
			require.ErrorIs(t, err, ErrCaliper)
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "\n")
			require.NoFileExists(t, filepath.Join(folder, pagesFolder, "0-0.prom"))
		})
	}
}
