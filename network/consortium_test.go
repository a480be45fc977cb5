package network

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDevelopmentConsortium(t *testing.T) {
	c := Development()
	require.Equal(t, BFT, c.Consensus)
	require.Equal(t, "calls", c.Channel)
	var names []string
	for _, member := range c.Members() {
		names = append(names, member.Name+" "+member.MSP)
	}
	require.Equal(t, []string{"Atlas AtlasMSP", "Borealis BorealisMSP", "Corvus CorvusMSP", "Meridian MeridianMSP"}, names)
	require.Len(t, c.orderingMembers(), 4)
	c.Consensus = Raft
	require.Len(t, c.orderingMembers(), 3)
}

func TestPortOffset(t *testing.T) {
	original := Development()
	moved, err := original.WithPortOffset(500)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:21551", moved.Operators[0].Peer.Address)
	require.Equal(t, "127.0.0.1:21581", moved.Operators[0].Gateway.Address)
	require.Equal(t, "127.0.0.1:21051", original.Operators[0].Peer.Address, "the original stays as it was")
	require.Equal(t, "127.0.0.1:21081", original.Operators[0].Gateway.Address)

	_, err = original.WithPortOffset(60000)
	require.ErrorContains(t, err, "the port offset 60000 moves Atlas's peer to port 81051, which does not exist")
	_, err = original.WithPortOffset(-21051)
	require.ErrorContains(t, err, "port 0")
}

func TestMemberIsFoundInAnyCase(t *testing.T) {
	member, err := Development().Member("BOREALIS")
	require.NoError(t, err)
	require.Equal(t, "BorealisMSP", member.MSP)
	_, err = Development().Member("zephyr")
	require.EqualError(t, err, `no member is called "zephyr": the members are atlas, borealis, corvus, meridian`)
}

// TestBadConsortium edits the built-in definition in one place each.
func TestBadConsortium(t *testing.T) {
	good := string(developmentConsortium)
	corvus := good[strings.Index(good, "  - name: Corvus"):strings.Index(good, "# The regulator")]
	regulator := good[strings.Index(good, "regulator:"):]
	for name, test := range map[string]struct{ old, new, want string }{
		"empty":                      {good, "", "the definition is empty"},
		"only a comment":             {good, "# nothing\n", "the definition is empty"},
		"not YAML":                   {good, "name: [", "line 1"},
		"unknown field":              {"channel: calls", "chanel: calls", "line 5: unknown field \"chanel\""},
		"unknown deep field":         {"pbxs: [atlas-pbx-1]", "pbx: [atlas-pbx-1]", "unknown field \"pbx\""},
		"wrong type":                 {"pbxs: [atlas-pbx-1]", "pbxs: 7", "line 24"},
		"field twice":                {"channel: calls", "channel: calls\nchannel: other", "line 6"},
		"unknown consensus":          {"consensus: bft", "consensus: kafka", `the consensus "kafka" is unknown: use bft or raft`},
		"blocks too late":            {"consensus: bft", "consensus: bft\nblocks: { timeout: 2m }", "the blocks' timeout is 2m0s: it must lie between 1ms and 1m"},
		"blocks without a unit":      {"consensus: bft", "consensus: bft\nblocks: { timeout: 2 }", "line 11: cannot unmarshal"},
		"blocks too full":            {"consensus: bft", "consensus: bft\nblocks: { messages: 1001 }", "a block holds 1 to 1000"},
		"blocks too large":           {"consensus: bft", "consensus: raft\nblocks: { preferred_bytes: 4000000 }", "a block has at most 3145728"},
		"bytes of blocks under bft":  {"consensus: bft", "consensus: bft\nblocks: { preferred_bytes: 1000 }", "bft does not look at the blocks' preferred_bytes"},
		"two operators":              {corvus, "", "at least three operators"},
		"bft with three":             {regulator, "", "bft needs four orderers"},
		"no name":                    {"name: callseal-development", `name: ""`, "the consortium has no name"},
		"bad channel":                {"channel: calls", "channel: Calls!", `the channel name "Calls!"`},
		"bad chaincode":              {"chaincode: callseal\n", "chaincode: call.seal\n", `the chaincode name "call.seal"`},
		"duplicate port":             {`{ address: "127.0.0.1:21171"`, `{ address: "127.0.0.1:21051"`, "Atlas's peer and Borealis's chaincode service both use 127.0.0.1:21051"},
		"port too high":              {"127.0.0.1:21281", "127.0.0.1:212810", "must be a number from 1 to 65535"},
		"port not a number":          {"127.0.0.1:21281", "127.0.0.1:sip", "must be a number from 1 to 65535"},
		"no port":                    {`"127.0.0.1:21281"`, `"127.0.0.1"`, `Corvus's gateway: the address "127.0.0.1" is not host:port`},
		"no host":                    {"127.0.0.1:21281", ":21281", "is not host:port"},
		"no address":                 {`orderer: { address: "127.0.0.1:21061", admin`, `orderer: { admin`, "Atlas's orderer: the address is missing"},
		"same name":                  {"name: Corvus", "name: atlas", "two members are called atlas"},
		"same MSP":                   {"msp: CorvusMSP", "msp: AtlasMSP", "two members use the MSP AtlasMSP"},
		"name with a slash":          {"name: Corvus", "name: ../Corvus", "must be letters and digits"},
		"MSP with a quote":           {"msp: CorvusMSP", `msp: "Corvus'MSP"`, "must be letters and digits"},
		"same PBX":                   {"pbxs: [corvus-pbx-1]", "pbxs: [atlas-pbx-1]", "the PBX id atlas-pbx-1 belongs to both Atlas and Corvus"},
		"bad PBX":                    {"pbxs: [corvus-pbx-1]", "pbxs: [../x]", `the PBX id "../x" of Corvus`},
		"no standby":                 {`, standby: "127.0.0.1:21273"`, "", "Corvus's standby chaincode service: the address is missing"},
		"two hosts":                  {`governance: "127.0.0.1:21272"`, `governance: "192.0.2.1:21272"`, "the chaincode services of Corvus are at 127.0.0.1 and at 192.0.2.1"},
		"governance's name":          {"chaincode: callseal\n", "chaincode: callseal-governance\n", "is the governance chaincode's"},
		"operator without chaincode": {corvus[strings.Index(corvus, "    chaincode:"):strings.Index(corvus, "    gateway:")], "", "the operator Corvus has no chaincode service"},
		"operator without gateway": {`    gateway: { address: "127.0.0.1:21281", rest: "127.0.0.1:21282", metrics: "127.0.0.1:21283" }
`, "", "the operator Corvus has no gateway"},
		"regulator with a gateway": {"  msp: MeridianMSP", `  msp: MeridianMSP
  gateway: { address: "127.0.0.1:21381" }`, "the regulator Meridian only orders and audits"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, good, test.old, "the built-in definition changed: correct this test")
			_, err := ParseConsortium([]byte(strings.Replace(good, test.old, test.new, 1)))
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "\n", "one sentence")
		})
	}
}

func TestReadConsortiumNamesTheFile(t *testing.T) {
	_, err := ReadConsortium(t.TempDir() + "/none.yaml")
	require.ErrorContains(t, err, "none.yaml")
	file := t.TempDir() + "/bad.yaml"
	require.NoError(t, writeFile(file, []byte("name: [\n"), 0o600))
	_, err = ReadConsortium(file)
	require.ErrorContains(t, err, "bad.yaml: line 1")
}

// FuzzParseConsortium looks for input that panics the parser or that it accepts
// without being able to list its own addresses.
func FuzzParseConsortium(f *testing.F) {
	f.Add(developmentConsortium)
	f.Add([]byte("name: x\noperators: [{}, {}, {}]\n"))
	f.Add([]byte("name: &a [*a]\n"))
	f.Add([]byte("? ? ?"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConsortium(text)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.GreaterOrEqual(t, len(c.Operators), 3)
		for _, address := range c.Addresses() {
			_, _, err := splitAddress(address)
			require.NoError(t, err)
		}
	})
}

func TestMorePeers(t *testing.T) {
	consortium := Development()
	consortium.Operators[0].MorePeers = []PeerAddresses{{Address: "127.0.0.1:21053", Operations: "127.0.0.1:21054"}}
	if err := consortium.check(); err != nil {
		t.Fatal(err)
	}
	moved, err := consortium.WithPortOffset(500)
	if err != nil {
		t.Fatal(err)
	}
	if got := moved.Operators[0].MorePeers[0]; got.Address != "127.0.0.1:21553" || got.Operations != "127.0.0.1:21554" {
		t.Errorf("moved to %+v", got)
	}
	if got := consortium.Operators[0].MorePeers[0].Address; got != "127.0.0.1:21053" {
		t.Errorf("the original moved to %s", got)
	}
	n := &Network{layout: LayoutAt(t.TempDir()), consortium: consortium}
	one, err := n.node("atlas-peer2")
	if err != nil {
		t.Fatal(err)
	}
	if one.address != "127.0.0.1:21053" || len(one.listens) != 2 || one.kind != kindPeer {
		t.Errorf("node %+v", one)
	}
	if first, err := n.node("atlas-peer"); err != nil || first.address != "127.0.0.1:21051" || len(first.listens) != 2 {
		t.Errorf("node %+v, %v", first, err)
	}

	consortium.Operators[0].MorePeers[0].Operations = "127.0.0.1:21052"
	if err := consortium.check(); err == nil || !strings.Contains(err.Error(), "both use 127.0.0.1:21052") {
		t.Errorf("two endpoints at one address: %v", err)
	}
	consortium = Development()
	consortium.Regulator.MorePeers = []PeerAddresses{{Address: "127.0.0.1:21353", Operations: "127.0.0.1:21354"}}
	if err := consortium.check(); err == nil || !strings.Contains(err.Error(), "remove its chaincode, gateway, pbxs and more_peers") {
		t.Errorf("a regulator with two peers: %v", err)
	}
}

func TestBlocks(t *testing.T) {
	require.Equal(t, Blocks{Timeout: 2 * time.Millisecond, Messages: 200, PreferredBytes: 2 << 20}, Development().Cutting())
	stock, err := ParseConsortium([]byte(strings.Replace(string(developmentConsortium), "consensus: bft", "consensus: raft\nblocks: { timeout: 2s, messages: 10, preferred_bytes: 524288 }", 1)))
	require.NoError(t, err)
	require.Equal(t, Blocks{Timeout: 2 * time.Second, Messages: 10, PreferredBytes: 512 << 10}, stock.Cutting())
	for consensus, want := range map[Consensus]string{BFT: "RequestBatchMaxInterval: 2s", Raft: "BatchTimeout: 2s"} {
		changed := Development()
		changed.Consensus, changed.Blocks = consensus, Blocks{Timeout: 2 * time.Second, Messages: 10}
		layout := LayoutAt(t.TempDir())
		require.NoError(t, renderChannel(layout, changed))
		rendered, err := os.ReadFile(filepath.Join(layout.channelFolder(), "configtx.yaml"))
		require.NoError(t, err)
		require.Contains(t, string(rendered), want)
		require.Contains(t, string(rendered), "MaxMessageCount: 10\n")
	}
}
