package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

// stateFormat is the version of the state folder's own layout. 2 has the governance
// chaincode and addresses for the next version of both.
const stateFormat = 2

// Options says which network to work on. The zero value is the development
// consortium in the default state folder.
type Options struct {
	// State is the state folder; empty means [DefaultState].
	State string
	// Consortium is the definition to make a network from; nil means the one
	// the state folder was made from, or [Development] for a new one.
	Consortium *Consortium
	// Consensus replaces the definition's when it is not empty.
	Consensus Consensus
	// PortOffset moves every port of the definition. Zero means the definition's
	// own ports, or for an existing network those it was made with.
	PortOffset int
	// Bin is the folder with the programs callseal-chaincode and
	// callseal-gateway; empty means the folder of the running program, and then
	// PATH.
	Bin string
	// FabricBin is the folder with peer, orderer and configtxgen; empty means
	// $FABRIC_BIN, then PATH, then building them.
	FabricBin string
	// Builder is the command that peers run as external builder, to which the
	// step and its folders are appended; empty means `callseal network builder`
	// with the callseal of Bin.
	Builder []string
	// WithoutGateways leaves the operators' gateways out.
	WithoutGateways bool
	// ChaincodeVersion is what the operators approve the chaincodes as; empty means
	// what the program says of itself. Programs of version 1.0 say nothing.
	ChaincodeVersion string
	// WithoutGovernance leaves the governance chaincode out, which version 1.0 did
	// not have. An upgrade brings it.
	WithoutGovernance bool
	// Programs are files to run in place of the product's own, by node, such as
	// "corvus-chaincode". Only this process knows of them; the network is the
	// same to everyone else, which is how an operator that cheats would do it.
	Programs map[string]string
}

// Network is one network in one state folder.
type Network struct {
	options    Options
	layout     Layout
	consortium *Consortium
	deployed   deployments
}

// marker is network.json, written last: a state folder without it is not whole.
type marker struct {
	Format     int       `json:"format"`
	Consensus  Consensus `json:"consensus"`
	PortOffset int       `json:"port_offset"`
	// Bin, FabricBin and Builder are those of the first start, so that starting
	// one node again later needs no option.
	Bin       string   `json:"bin,omitempty"`
	FabricBin string   `json:"fabric_bin,omitempty"`
	Builder   []string `json:"builder,omitempty"`
}

// Open finds the network of a state folder, or prepares one that [Network.Up]
// will make. It starts nothing and writes nothing. It fails when the options
// contradict what the folder was made with, and when the folder is half-made.
func Open(options Options) (*Network, error) {
	state := options.State
	if state == "" {
		var err error
		if state, err = DefaultState(); err != nil {
			return nil, fmt.Errorf("find the state folder: %w", err)
		}
	}
	state, err := filepath.Abs(state)
	if err != nil {
		return nil, fmt.Errorf("find the state folder: %w", err)
	}
	n := &Network{options: options, layout: LayoutAt(state)}
	wanted, err := n.wanted()
	if err != nil {
		return nil, err
	}
	made, existing, err := n.readState()
	if err != nil {
		return nil, err
	}
	if err := n.readDeployments(); err != nil {
		return nil, err
	}
	if made == nil {
		n.consortium = wanted
		return n, nil
	}
	if err := n.reconcile(*made, existing, wanted); err != nil {
		return nil, err
	}
	n.consortium = existing
	return n, nil
}

// wanted is the definition the options ask for.
func (n *Network) wanted() (*Consortium, error) {
	definition := n.options.Consortium
	if definition == nil {
		definition = Development()
	}
	moved, err := definition.WithPortOffset(n.options.PortOffset)
	if err != nil {
		return nil, err
	}
	if n.options.Consensus != "" {
		moved.Consensus = n.options.Consensus
	}
	if err := moved.check(); err != nil {
		return nil, err
	}
	return moved, nil
}

// readState reads what the folder was made with; nil when it is new.
func (n *Network) readState() (*marker, *Consortium, error) {
	content, err := os.ReadFile(n.layout.marker())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, n.refuseHalfMade()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the state folder: %w", err)
	}
	var made marker
	if err := json.Unmarshal(content, &made); err != nil {
		return nil, nil, n.broken("its network.json is not readable")
	}
	if made.Format != stateFormat {
		return nil, nil, &FormatError{State: n.layout.root, Format: made.Format}
	}
	existing, err := ReadConsortium(n.layout.consortium())
	if err != nil {
		return nil, nil, n.broken("its consortium.yaml is not readable")
	}
	return &made, existing, nil
}

// refuseHalfMade fails when the folder holds something but was never finished.
func (n *Network) refuseHalfMade() error {
	entries, err := os.ReadDir(n.layout.root)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("read the state folder: %w", err)
	case len(entries) == 0:
		return nil
	}
	if _, err := os.Stat(n.layout.halfMade()); err == nil {
		return n.broken("an earlier start was interrupted while making it")
	}
	return fmt.Errorf("the folder %s holds other files and no network: name an empty folder with --state", n.layout.root)
}

// HalfMadeError says that a state folder is not whole and cannot be used.
type HalfMadeError struct {
	// State is the folder.
	State string
	// Reason says what is wrong with it.
	Reason string
}

// Error says what is wrong and what to do, in one sentence.
func (e *HalfMadeError) Error() string {
	return fmt.Sprintf("the state folder %s is half-made, %s: remove it with `callseal network clean` and start again", e.State, e.Reason)
}

// FormatError says that a state folder was made by a callseal that laid it out in
// another way.
type FormatError struct {
	// State is the folder.
	State string
	// Format is its layout's version.
	Format int
}

// Error says what is wrong and what to do, in one sentence.
func (e *FormatError) Error() string {
	return fmt.Sprintf("the state folder %s was made by another version of callseal (format %d, this one has %d): use that version or `callseal network clean`", e.State, e.Format, stateFormat)
}

func (n *Network) broken(reason string) error {
	return &HalfMadeError{State: n.layout.root, Reason: reason}
}

// reconcile compares what is asked for with what the folder was made with.
func (n *Network) reconcile(made marker, existing, wanted *Consortium) error {
	const remedy = "leave the option out, name another folder with --state, or `callseal network clean` first"
	if n.options.Consensus != "" && n.options.Consensus != made.Consensus {
		return fmt.Errorf("the network in %s orders by %s, not %s: %s", n.layout.root, made.Consensus, n.options.Consensus, remedy)
	}
	if n.options.PortOffset != 0 && n.options.PortOffset != made.PortOffset {
		return fmt.Errorf("the network in %s was made with port offset %d, not %d: %s", n.layout.root, made.PortOffset, n.options.PortOffset, remedy)
	}
	if n.options.Consortium != nil && n.options.PortOffset == made.PortOffset && !reflect.DeepEqual(existing, wanted) {
		return fmt.Errorf("the network in %s was made from another consortium definition: %s", n.layout.root, remedy)
	}
	if n.options.Bin == "" {
		n.options.Bin = made.Bin
	}
	if n.options.FabricBin == "" {
		n.options.FabricBin = made.FabricBin
	}
	if len(n.options.Builder) == 0 {
		n.options.Builder = made.Builder
	}
	return nil
}

// Layout says where the network's files are.
func (n *Network) Layout() Layout { return n.layout }

// Consortium returns the definition in force, ports moved by the offset.
func (n *Network) Consortium() *Consortium { return n.consortium.clone() }

// lock keeps two commands from changing the network at once. The lock is beside
// the folder, so that cleaning can remove the folder whole.
func (n *Network) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(n.layout.root), 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	lock := flock.New(n.layout.lockFile())
	waiting, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if _, err := lock.TryLockContext(waiting, 50*time.Millisecond); err != nil {
		return nil, fmt.Errorf("another callseal command is still working on %s: %w", n.layout.root, err)
	}
	return func() { _ = lock.Unlock() }, nil
}

// made says whether the state folder is whole.
func (n *Network) made() bool {
	_, err := os.Stat(n.layout.marker())
	return err == nil
}

// make fills a new state folder: identities, configuration, the channel's first
// block, and the marker last.
func (n *Network) make(ctx context.Context, binaries fabricBinaries, version string) error {
	if err := writeFile(n.layout.halfMade(), nil, 0o600); err != nil {
		return err
	}
	consortiumKey, err := newConsortiumKey()
	if err != nil {
		return err
	}
	for _, member := range n.consortium.Members() {
		if err := issueIdentities(n.layout, member); err != nil {
			return err
		}
		if err := renderNodes(n.layout, n.consortium, member); err != nil {
			return err
		}
		if member.Gateway == nil {
			continue
		}
		if err := writeFile(n.layout.Operator(member.Name).ConsortiumKeyFile(), consortiumKey, 0o600); err != nil {
			return err
		}
		if err := renderGateway(n.layout, n.consortium, member); err != nil {
			return err
		}
	}
	if err := n.writeBuilder(); err != nil {
		return err
	}
	if err := renderChannel(n.layout, n.consortium); err != nil {
		return err
	}
	if err := makeGenesis(ctx, n.layout, n.consortium, binaries.configtxgen); err != nil {
		return err
	}
	definition, err := yaml.Marshal(n.consortium)
	if err != nil {
		return fmt.Errorf("write the definition: %w", err)
	}
	if err := writeFile(n.layout.consortium(), definition, 0o600); err != nil {
		return err
	}
	if err := n.deploy(deployments{Current: deployment{Version: version, Governance: !n.options.WithoutGovernance}}); err != nil {
		return err
	}
	content, err := json.Marshal(marker{
		Format: stateFormat, Consensus: n.consortium.Consensus, PortOffset: n.options.PortOffset,
		Bin: n.options.Bin, FabricBin: n.options.FabricBin, Builder: n.options.Builder,
	})
	if err != nil {
		return fmt.Errorf("write the marker: %w", err)
	}
	if err := renameio.WriteFile(n.layout.marker(), content, 0o600); err != nil {
		return fmt.Errorf("write the marker: %w", err)
	}
	if err := os.Remove(n.layout.halfMade()); err != nil {
		return fmt.Errorf("finish the state folder: %w", err)
	}
	return nil
}

// checkWhole finds files that someone removed from a finished state folder.
func (n *Network) checkWhole() error {
	files := []string{n.layout.GenesisBlock()}
	for _, member := range n.consortium.Members() {
		org := n.layout.Operator(member.Name)
		admin, orderer := org.Identity(roleAdmin), org.Server(kindOrderer)
		files = append(files, org.EnrolmentCAFile(), org.TLSCAFile(), admin.CertFile(), admin.KeyFile(),
			admin.TLSCertFile(), orderer.CertFile(), filepath.Join(org.node(kindOrderer), "orderer.yaml"))
		for _, seat := range member.Peers() {
			files = append(files, org.Server(seat.peerKind()).CertFile(), filepath.Join(org.node(seat.peerKind()), "core.yaml"))
		}
		if member.Gateway != nil {
			files = append(files, org.GatewayConfig(), org.Server(kindChaincode).CertFile())
		}
	}
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			relative, _ := filepath.Rel(n.layout.root, file)
			return n.broken(relative + " is missing")
		}
	}
	return nil
}

// writeBuilder writes the external builder's steps as scripts that hand over to
// this program. They are written at every start, since the program may have
// moved.
func (n *Network) writeBuilder() error {
	builder := n.options.Builder
	if len(builder) == 0 {
		program, err := n.program("callseal")
		if err != nil {
			return err
		}
		builder = []string{program, "network", "builder"}
	}
	for _, step := range []string{"detect", "build", "release"} {
		words := make([]string, 0, len(builder)+1)
		for _, word := range append(slices.Clone(builder), step) {
			words = append(words, shellQuote(word))
		}
		script := "#!/bin/sh\nexec " + strings.Join(words, " ") + " \"$@\"\n"
		file := filepath.Join(n.layout.builder(), "bin", step)
		if err := writeFile(file, nil, 0o700); err != nil {
			return err
		}
		// A running peer may be about to execute it: replace it whole.
		if err := renameio.WriteFile(file, []byte(script), 0o700, renameio.WithStaticPermissions(0o700)); err != nil {
			return fmt.Errorf("write the external builder: %w", err)
		}
	}
	return nil
}

// programOf finds the program that a node of ours runs.
func (n *Network) programOf(one node, name string) (string, error) {
	if replaced := n.options.Programs[one.name]; replaced != "" {
		return replaced, nil
	}
	return n.programIn(one.deployed.Bin, name)
}

// program finds one of the product's own programs.
func (n *Network) program(name string) (string, error) { return n.programIn("", name) }

// programIn finds one of them in a folder; empty means the network's.
func (n *Network) programIn(bin, name string) (string, error) {
	if bin == "" {
		bin = n.options.Bin
	}
	var places []string
	if bin != "" {
		bin, err := filepath.Abs(bin)
		if err != nil {
			return "", fmt.Errorf("folder of Callseal's programs: %w", err)
		}
		places = append(places, filepath.Join(bin, name))
	} else {
		self, err := os.Executable()
		if err == nil {
			if filepath.Base(self) == name {
				return self, nil
			}
			places = append(places, filepath.Join(filepath.Dir(self), name))
		}
		if found, err := exec.LookPath(name); err == nil {
			places = append(places, found)
		}
	}
	for _, place := range places {
		if found, err := exec.LookPath(place); err == nil {
			return found, nil
		}
	}
	where := "beside callseal or on PATH"
	if bin != "" {
		where = "in " + bin
	}
	return "", fmt.Errorf("the program %s is missing: it should be %s; `make build` makes it", name, where)
}
