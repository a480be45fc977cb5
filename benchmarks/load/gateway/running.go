package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/contract"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/soak"
)

// asking bounds what a running network is asked before it is measured.
const asking = 30 * time.Second

// ErrUnfit is a running network that cannot be measured as it is.
var ErrUnfit = errors.New("the network cannot be measured")

// Running opens the network of a state folder, as `callseal network up` makes it, to be
// measured while it runs. It answers an error, in a sentence, unless all of it is up, of
// this version, and reached with the certificates of the folder.
func Running(ctx context.Context, state string) (*network.Network, error) {
	if _, err := os.Stat(state); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no folder %s: name the state folder of a network that is up", ErrUnfit, state)
	}
	opened, err := network.Open(network.Options{State: state})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	if entries, err := os.ReadDir(state); err != nil || len(entries) == 0 {
		return nil, fmt.Errorf("%w: %s holds no network: make one with `callseal network up --state %s`", ErrUnfit, state, state)
	}
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	if err := identities(opened); err != nil {
		return nil, err
	}
	nodes, err := opened.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: ask the nodes of %s: %w", ErrUnfit, state, err)
	}
	if err := up(state, nodes); err != nil {
		return nil, err
	}
	if err := sameVersion(state, nodes); err != nil {
		return nil, err
	}
	return opened, reached(ctx, opened)
}

// up refuses a network that is down, or of which a part is.
func up(state string, nodes []network.NodeStatus) error {
	var missing []string
	running := 0
	for i := range nodes {
		switch one := &nodes[i]; {
		case one.State == network.StateRunning:
			running++
		case one.Problem != "":
			missing = append(missing, fmt.Sprintf("%s is %s (%s)", one.Node, one.State, one.Problem))
		default:
			missing = append(missing, fmt.Sprintf("%s is %s", one.Node, one.State))
		}
	}
	switch {
	case len(missing) == 0:
		return nil
	case running == 0:
		return fmt.Errorf("%w: the one in %s is down: start it with `callseal network up --state %s`", ErrUnfit, state, state)
	}
	return fmt.Errorf("%w: the one in %s is only half up, %s: start what is missing with `callseal network up --state %s`", ErrUnfit, state, strings.Join(missing, ", "), state)
}

// sameVersion refuses a network of another version: its figures would be said to be
// this one's.
func sameVersion(state string, nodes []network.NodeStatus) error {
	for i := range nodes {
		for _, defined := range nodes[i].Chaincodes {
			if defined.Version != contract.Version {
				return fmt.Errorf("%w: the one in %s runs version %s of %s and this program measures %s: change it over with `callseal network upgrade`, or measure it with its own version's program",
					ErrUnfit, state, defined.Version, defined.Name, contract.Version)
			}
		}
	}
	return nil
}

// identities finds what the measuring signs with: the operator's gateway, admin and
// auditor, and the authority that issues adapters' certificates.
func identities(opened *network.Network) error {
	org := opened.Layout().Operator(soak.Operator)
	if err := pair("the authority that issues adapters' certificates", org.EnrolmentCAFile(), org.EnrolmentCAKeyFile()); err != nil {
		return err
	}
	for _, name := range []string{"gateway", "admin", "auditor"} {
		files, whose := org.Identity(name), soak.Operator+"'s "+name
		if err := errors.Join(pair(whose, files.CertFile(), files.KeyFile()), pair(whose+", for TLS,", files.TLSCertFile(), files.TLSKeyFile())); err != nil {
			return err
		}
	}
	return nil
}

// pair refuses a certificate that is missing, does not fit its key, or has expired.
func pair(whose, certFile, keyFile string) error {
	for _, file := range []string{certFile, keyFile} {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("%w without the client certificate and key of %s: %w", ErrUnfit, whose, err)
		}
	}
	found, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return fmt.Errorf("%w: the client certificate of %s in %s, with the key in %s, cannot be used: %w", ErrUnfit, whose, certFile, keyFile, err)
	}
	if time.Now().After(found.Leaf.NotAfter) {
		return fmt.Errorf("%w: the client certificate of %s in %s expired on %s", ErrUnfit, whose, certFile, found.Leaf.NotAfter.Format(time.DateOnly))
	}
	return nil
}

// reached asks the gateway something, as the auditor.
func reached(ctx context.Context, opened *network.Network) error {
	org := opened.Layout().Operator(soak.Operator)
	files := org.Identity("auditor")
	for _, member := range opened.Consortium().Operators {
		if member.Name != soak.Operator || member.Gateway == nil {
			continue
		}
		connection, err := connect.Dial(connect.Config{Address: member.Gateway.Address, CAFile: org.TLSCAFile(), CertFile: files.CertFile(), KeyFile: files.KeyFile()})
		if err != nil {
			return fmt.Errorf("%w: reach the gateway: %w", ErrUnfit, err)
		}
		defer func() { _ = connection.Close() }()
		if _, err := pb.NewSearchServiceClient(connection).GetIndex(ctx, &pb.GetIndexRequest{}, grpc.WaitForReady(true)); err != nil {
			return fmt.Errorf("%w: its gateway at %s does not answer: %w", ErrUnfit, member.Gateway.Address, err)
		}
		return nil
	}
	return fmt.Errorf("%w: it has no gateway of %s", ErrUnfit, soak.Operator)
}
