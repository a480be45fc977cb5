package opstack

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// registryChain is a chain of the superchain registry, embedded in op-geth, with
	// every upgrade up to Isthmus at its genesis. Its predeploys are taken, under
	// another chain id so that the registry's later upgrades are not.
	registryChain = "rehearsal-0-bn-0-rehearsal-0-bn"
	chainID       = 901
	l1ChainID     = 1337
	// blockTime is that of every chain of the superchain registry, in seconds.
	blockTime = 2
	// scalar is the registry chain's: version 1, the blob fee's scalar 810949, the
	// base fee's 1368.
	scalar = "0x010000000000000000000000000000000000000000000000000c5fc500000558"
	// gasLimit is the registry chain's of a block.
	gasLimit = 60_000_000
	zero     = "0x0000000000000000000000000000000000000000000000000000000000000000"
)

// The rollup's addresses on the L1. No contract is there: nothing is deposited, and the
// configuration is never changed.
const (
	inboxAddress        = "0x00aA742D2EEf0B65Eb1dC7633cbAf8Ef24A945B3"
	depositAddress      = "0xf26C2E762C0447443b951a74DfA5Bf380BcB8361"
	systemConfigAddress = "0xC5D517463C38567A644f2FCcEFC0e534CC991a57"
)

// The files of a stack's folder.
const (
	genesisFile   = "genesis.json"
	l1GenesisFile = "l1-genesis.json"
	rollupFile    = "rollup.json"
	jwtFile       = "jwt.txt"
	configFile    = "op-geth.toml"
)

// rollup is op-node's configuration:
// https://docs.optimism.io/chain-operators/guides/configuration/rollup-deployments
type rollup struct {
	Genesis struct {
		L1           block        `json:"l1"`
		L2           block        `json:"l2"`
		L2Time       uint64       `json:"l2_time"`
		SystemConfig systemConfig `json:"system_config"`
	} `json:"genesis"`
	BlockTime             uint64         `json:"block_time"`
	MaxSequencerDrift     uint64         `json:"max_sequencer_drift"`
	SeqWindowSize         uint64         `json:"seq_window_size"`
	ChannelTimeout        uint64         `json:"channel_timeout"`
	L1ChainID             uint64         `json:"l1_chain_id"`
	L2ChainID             uint64         `json:"l2_chain_id"`
	RegolithTime          uint64         `json:"regolith_time"`
	CanyonTime            uint64         `json:"canyon_time"`
	DeltaTime             uint64         `json:"delta_time"`
	EcotoneTime           uint64         `json:"ecotone_time"`
	FjordTime             uint64         `json:"fjord_time"`
	GraniteTime           uint64         `json:"granite_time"`
	HoloceneTime          uint64         `json:"holocene_time"`
	IsthmusTime           uint64         `json:"isthmus_time"`
	BatchInboxAddress     string         `json:"batch_inbox_address"`
	DepositContract       string         `json:"deposit_contract_address"`
	L1SystemConfigAddress string         `json:"l1_system_config_address"`
	ChainOpConfig         jsontext.Value `json:"chain_op_config"`
}

type block struct {
	Hash   common.Hash `json:"hash"`
	Number uint64      `json:"number"`
}

type systemConfig struct {
	BatcherAddr       string `json:"batcherAddr"`
	Overhead          string `json:"overhead"`
	Scalar            string `json:"scalar"`
	GasLimit          uint64 `json:"gasLimit"`
	EIP1559Params     string `json:"eip1559Params"`
	OperatorFeeParams string `json:"operatorFeeParams"`
}

// writeGenesis takes the registry chain's genesis from op-geth and makes it this
// stack's: of its own chain id, as old as the L1 block, with an account that has
// ether. It answers how the chain's base fee moves.
func writeGenesis(ctx context.Context, binaries Binaries, folder string, anchor *types.Header) (jsontext.Value, error) {
	text, err := run(ctx, folder, binaries.opGeth, "--op-network", registryChain, "dumpgenesis")
	if err != nil {
		return nil, fmt.Errorf("take a genesis from op-geth: %w", err)
	}
	var genesis, config, alloc map[string]jsontext.Value
	if err := json.Unmarshal(text, &genesis); err != nil {
		return nil, fmt.Errorf("read op-geth's genesis: %w", err)
	}
	if err := json.Unmarshal(genesis["config"], &config); err != nil {
		return nil, fmt.Errorf("read the configuration in op-geth's genesis: %w", err)
	}
	if err := json.Unmarshal(genesis["alloc"], &alloc); err != nil {
		return nil, fmt.Errorf("read the accounts in op-geth's genesis: %w", err)
	}
	delete(config, "interopTime")
	config["chainId"] = jsontext.Value(fmt.Sprint(chainID))
	alloc[strings.ToLower(strings.TrimPrefix(userAddress, "0x"))] = jsontext.Value(`{"balance":"0x200000000000000000000"}`)
	genesis["timestamp"] = jsontext.Value(fmt.Sprintf("%q", hexutil.EncodeUint64(anchor.Time)))
	if genesis["config"], err = json.Marshal(config); err != nil {
		return nil, fmt.Errorf("write the genesis: %w", err)
	}
	if genesis["alloc"], err = json.Marshal(alloc); err != nil {
		return nil, fmt.Errorf("write the genesis: %w", err)
	}
	return config["optimism"], writeJSON(filepath.Join(folder, genesisFile), genesis)
}

// writeRollup writes op-node's configuration for a chain that begins with genesis on
// top of the L1's block anchor.
func writeRollup(folder string, anchor, genesis *types.Header, optimism jsontext.Value) error {
	r := rollup{
		BlockTime: blockTime, MaxSequencerDrift: 600, SeqWindowSize: 3600, ChannelTimeout: 300,
		L1ChainID: l1ChainID, L2ChainID: chainID,
		BatchInboxAddress: inboxAddress, DepositContract: depositAddress, L1SystemConfigAddress: systemConfigAddress,
		ChainOpConfig: optimism,
	}
	r.Genesis.L1 = block{Hash: anchor.Hash(), Number: anchor.Number.Uint64()}
	r.Genesis.L2 = block{Hash: genesis.Hash(), Number: genesis.Number.Uint64()}
	r.Genesis.L2Time = genesis.Time
	r.Genesis.SystemConfig = systemConfig{
		BatcherAddr: batcherAddress, Overhead: zero, Scalar: scalar, GasLimit: gasLimit,
		EIP1559Params: "0x0000000000000000", OperatorFeeParams: zero,
	}
	return writeJSON(filepath.Join(folder, rollupFile), r)
}

// writeSecret writes the secret by which op-geth knows op-node.
func writeSecret(folder string, secret [32]byte) error {
	return os.WriteFile(filepath.Join(folder, jwtFile), []byte(hex.EncodeToString(secret[:])), 0o600)
}

func writeJSON(file string, value any) error {
	text, err := json.Marshal(value)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(file), err)
	}
	return nil
}

// run answers what a program prints that ends by itself.
func run(ctx context.Context, folder, program string, arguments ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Dir, cmd.Env = folder, []string{"HOME=" + folder, "TMPDIR=" + folder}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(program), err, lastLine(stderr.String()))
	}
	return stdout.Bytes(), nil
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
