// Package contracts holds the Solidity registries that keep of a call what Callseal's
// ledger keeps, the digest of a leg's record under the leg's key, in four ways that
// cost differently, and compiles them.
package contracts

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/callseal/callseal/benchmarks/l2/npm"
)

//go:embed *.sol
var sources embed.FS

// The registries, by the names of their contracts.
const (
	// Struct keeps digest, time and writer in two slots, with an event.
	Struct = "StructRegistry"
	// Slot keeps the digest in one slot, with an event.
	Slot = "SlotRegistry"
	// Event keeps nothing but the event.
	Event = "EventRegistry"
	// Merkle keeps the root of a tree over many records.
	Merkle = "MerkleRegistry"
)

// Contract is a compiled contract.
type Contract struct {
	// ABI is its interface.
	ABI abi.ABI
	// Code is what a transaction that makes it holds.
	Code []byte
}

// Contracts are all registries by their names.
type Contracts map[string]Contract

// EVM is the version of the virtual machine that is compiled for, that of the OP
// Stack's Isthmus.
const EVM = "prague"

// ErrCompile is source text that solc refuses.
var ErrCompile = errors.New("solc refuses the contracts")

// The members of solc's standard input and output that are used:
// https://docs.soliditylang.org/en/v0.8.37/using-the-compiler.html
type (
	input struct {
		Language string            `json:"language"`
		Sources  map[string]source `json:"sources"`
		Settings settings          `json:"settings"`
	}
	source struct {
		Content string `json:"content"`
	}
	settings struct {
		EVMVersion      string                         `json:"evmVersion"`
		Optimizer       optimizer                      `json:"optimizer"`
		OutputSelection map[string]map[string][]string `json:"outputSelection"`
	}
	optimizer struct {
		Enabled bool `json:"enabled"`
		Runs    int  `json:"runs"`
	}
	output struct {
		Errors []struct {
			Severity string `json:"severity"`
			Message  string `json:"formattedMessage"`
		} `json:"errors"`
		Contracts map[string]map[string]struct {
			ABI jsontext.Value `json:"abi"`
			EVM struct {
				Bytecode struct {
					Object string `json:"object"`
				} `json:"bytecode"`
			} `json:"evm"`
		} `json:"contracts"`
	}
)

// Compile has solc compile the registries, with its optimizer.
func Compile(ctx context.Context, tools npm.Tools) (Contracts, error) {
	files, err := sources.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("read the contracts: %w", err)
	}
	texts := map[string]string{}
	for _, file := range files {
		text, err := sources.ReadFile(file.Name())
		if err != nil {
			return nil, fmt.Errorf("read the contracts: %w", err)
		}
		texts[file.Name()] = string(text)
	}
	return compile(ctx, tools, texts)
}

func compile(ctx context.Context, tools npm.Tools, texts map[string]string) (Contracts, error) {
	in := input{Language: "Solidity", Sources: map[string]source{}, Settings: settings{
		EVMVersion: EVM, Optimizer: optimizer{Enabled: true, Runs: 200},
		OutputSelection: map[string]map[string][]string{"*": {"*": {"abi", "evm.bytecode.object"}}},
	}}
	for name, text := range texts {
		in.Sources[name] = source{Content: text}
	}
	text, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("ask solc: %w", err)
	}
	cmd := exec.CommandContext(ctx, tools.Node, tools.Solc, "--standard-json")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), &stderr
	answer, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("solc (%s) does not run: %w: %s", tools.Solc, err, lastLine(stderr.String()))
	}
	// solc.js tells about provers that it lacks before the JSON begins.
	if at := bytes.IndexByte(answer, '{'); at > 0 {
		answer = answer[at:]
	}
	var out output
	if err := json.Unmarshal(answer, &out); err != nil {
		return nil, fmt.Errorf("solc answers no JSON: %w", err)
	}
	for _, one := range out.Errors {
		if one.Severity == "error" {
			return nil, fmt.Errorf("%w: %s", ErrCompile, strings.Join(strings.Fields(one.Message), " "))
		}
	}
	compiled := Contracts{}
	for _, file := range out.Contracts {
		for name, one := range file {
			// Abstract contracts have no code.
			if one.EVM.Bytecode.Object == "" {
				continue
			}
			parsed, err := abi.JSON(bytes.NewReader(one.ABI))
			if err != nil {
				return nil, fmt.Errorf("solc's interface of %s: %w", name, err)
			}
			compiled[name] = Contract{ABI: parsed, Code: common.FromHex(one.EVM.Bytecode.Object)}
		}
	}
	return compiled, nil
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
