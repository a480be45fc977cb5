package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/msp"
	"github.com/callseal/callseal/network/networktest"
)

const (
	// Operator is whose gateway is tried.
	Operator = "Atlas"
	// Witness is whose peer the chain is read from.
	Witness = "Borealis"
	// Gateway is the node under test.
	Gateway = "atlas-gateway"
	// patience bounds what has to happen sooner or later.
	patience = 3 * time.Minute
)

// Lab is a real network with the gateway under test.
type Lab struct {
	*network.Network
	tb testing.TB

	name   string
	fleets *int
	admin  *fabric.Channel
}

// NewLab starts a network. The other operators' gateways are stopped: nothing is
// asked of them, and the figures are the one gateway's.
func NewLab(tb testing.TB, options ...networktest.Option) *Lab {
	tb.Helper()
	l := Join(tb, networktest.Start(tb, append(options, networktest.WithGateways())...).Network)
	for _, other := range []string{"borealis-gateway", "corvus-gateway"} {
		l.Stop(other)
	}
	return l
}

// Join is a lab in a network that runs already, and stays up afterwards. Its adapters
// get names that no lab before had.
func Join(tb testing.TB, running *network.Network) *Lab {
	tb.Helper()
	l := &Lab{Network: running, tb: tb, name: gatewaytest.Random(tb, 4), fleets: new(int)}
	l.admin = l.Channel(Operator, "admin")
	return l
}

// On is the same lab for a part of the test.
func (l *Lab) On(tb testing.TB) *Lab {
	part := *l
	part.tb = tb
	return &part
}

// Kill ends a node as a crash would.
func (l *Lab) Kill(node string) {
	l.tb.Helper()
	require.NoError(l.tb, l.Network.Kill(context.Background(), node))
}

// Stop ends a node gracefully.
func (l *Lab) Stop(node string) {
	l.tb.Helper()
	require.NoError(l.tb, l.Network.Stop(context.Background(), node))
}

// StartNode runs a stopped node again and waits until it answers.
func (l *Lab) StartNode(node string) {
	l.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(l.tb, l.Start(ctx, node))
}

// Member finds an operator.
func (l *Lab) Member(name string) network.Member {
	l.tb.Helper()
	for _, one := range l.Consortium().Members() {
		if one.Name == name {
			return one
		}
	}
	l.tb.Fatalf("no member %s", name)
	return network.Member{}
}

// Channel is the channel through an operator's own peer, as one of its identities.
func (l *Lab) Channel(operator, identity string) *fabric.Channel {
	l.tb.Helper()
	one, org := l.Member(operator), l.Layout().Operator(operator)
	files := org.Identity(identity)
	opened, err := fabric.Open(fabric.Config{
		MSP: one.MSP, Channel: l.Consortium().Channel, Chaincode: l.Consortium().Chaincode,
		Peers: []fabric.PeerConfig{{Address: one.Peer.Address, CAFile: org.TLSCAFile()}}, TLSCertFile: files.TLSCertFile(), TLSKeyFile: files.TLSKeyFile(),
		CertFile: files.CertFile(), KeyFile: files.KeyFile(),
	})
	require.NoError(l.tb, err)
	l.tb.Cleanup(func() { _ = opened.Close() })
	return opened
}

// Access is how one of the operator's identities reaches the gateway.
func (l *Lab) Access(identity string) connect.Config {
	l.tb.Helper()
	org := l.Layout().Operator(Operator)
	return connect.Config{
		Address: l.Member(Operator).Gateway.Address, CAFile: org.TLSCAFile(),
		CertFile: org.Identity(identity).CertFile(), KeyFile: org.Identity(identity).KeyFile(),
	}
}

// Fleet enrols as many adapters and starts their clients.
func (l *Lab) Fleet(clients int, how Manner) *Fleet {
	l.tb.Helper()
	identities, names := l.enrol(clients)
	return Launch(l.tb, l.Member(Operator).MSP, identities, names, how)
}

// enrol issues certificates for as many adapters, each of a PBX that nobody has heard
// of, and has the operator's admin enrol them. It answers how each reaches the gateway,
// and its PBX.
func (l *Lab) enrol(adapters int) (identities []connect.Config, names []string) {
	l.tb.Helper()
	*l.fleets++
	org := l.Layout().Operator(Operator)
	authority := msp.Pair{CertPEM: l.read(org.EnrolmentCAFile()), KeyPEM: l.read(org.EnrolmentCAKeyFile())}
	issuer, err := msp.ParseIssuer(authority)
	require.NoError(l.tb, err)
	folder := l.tb.TempDir()
	identities, names = make([]connect.Config, adapters), make([]string, adapters)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	group, enrolling := errgroup.WithContext(ctx)
	group.SetLimit(20) // fills blocks of ten, where those are cut so
	for i := range adapters {
		names[i] = fmt.Sprintf("soak-%s-%d-pbx-%d", l.name, *l.fleets, i+1)
		identities[i] = l.Access("gateway")
		identities[i].CertFile, identities[i].KeyFile = filepath.Join(folder, names[i]+".cert.pem"), filepath.Join(folder, names[i]+".key.pem")
		pair, err := issuer.Issue(msp.Request{
			CommonName: names[i] + ".atlas", Unit: msp.UnitClient, Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: names[i]},
		})
		require.NoError(l.tb, err)
		require.NoError(l.tb, os.WriteFile(identities[i].CertFile, pair.CertPEM, 0o600))
		require.NoError(l.tb, os.WriteFile(identities[i].KeyFile, pair.KeyPEM, 0o600))
		group.Go(func() error {
			_, err := l.admin.Transact(enrolling, fabric.Proposal{Function: "adapters:Enrol", Args: []string{string(pair.CertPEM)}})
			return err
		})
	}
	require.NoError(l.tb, group.Wait())
	return identities, names
}

func (l *Lab) read(file string) []byte {
	l.tb.Helper()
	content, err := os.ReadFile(file)
	require.NoError(l.tb, err)
	return content
}

// Configure changes the configuration of the gateway under test and starts it
// again with it.
func (l *Lab) Configure(change func(map[string]any)) {
	l.tb.Helper()
	file := l.Layout().Operator(Operator).GatewayConfig()
	config := map[string]any{}
	require.NoError(l.tb, yaml.Unmarshal(l.read(file), &config))
	change(config)
	text, err := yaml.Marshal(config)
	require.NoError(l.tb, err)
	l.Stop(Gateway)
	require.NoError(l.tb, os.WriteFile(file, text, 0o600))
	l.StartNode(Gateway)
}

// PID is the process of a node.
func (l *Lab) PID(node string) (int32, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	all, err := l.Status(ctx)
	if err != nil {
		return 0, err
	}
	for _, one := range all {
		if one.Node == node && one.PID > 0 {
			return int32(one.PID), nil //nolint:gosec // Linux numbers processes below 2^22
		}
	}
	return 0, errors.New(node + " is not running")
}
