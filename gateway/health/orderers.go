package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer/etcdraft"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"
)

// configEvery is how often the channel's configuration is read again.
const configEvery = time.Minute

// Ordering is what judging the orderers takes.
type Ordering struct {
	// ConfigBlock answers the channel's newest configuration block, as Fabric's
	// system chaincode cscc does.
	ConfigBlock func(context.Context) ([]byte, error)
	// Waiting is how many transactions wait for their block, and Height the next
	// block's number.
	Waiting func() int
	Height  func() uint64
	// CertFile and KeyFile are for mutual TLS with the orderers, PEM.
	CertFile, KeyFile string
}

// Orderers watches over the channel's orderers.
type Orderers struct {
	from    Ordering
	config  Config
	metrics *Metrics

	// All below belongs to the one goroutine that asks.
	members     membership
	read        time.Time
	connections map[string]*grpc.ClientConn
	height      uint64
	moved       time.Time
}

// membership is who orders, by the channel's configuration.
type membership struct {
	endpoints []endpoint
	total     int
	quorum    int
}

type endpoint struct {
	address string
	roots   [][]byte
}

// NewOrderers makes the watch; Close ends its connections.
func NewOrderers(from Ordering, config Config, metrics *Metrics) *Orderers {
	return &Orderers{from: from, config: config, metrics: metrics, connections: map[string]*grpc.ClientConn{}, moved: time.Now()}
}

// Dependency is "orderer": a quorum of orderers can be reached, and no transaction
// waits while blocks stay away.
func (o *Orderers) Dependency() Dependency { return Dependency{Name: Orderer, Ask: o.ask} }

// Close ends the connections, once nobody asks any more.
func (o *Orderers) Close() error {
	var failures []error
	for _, connection := range o.connections {
		failures = append(failures, connection.Close())
	}
	clear(o.connections)
	return errors.Join(failures...)
}

func (o *Orderers) ask(ctx context.Context) error {
	if err := o.stalled(); err != nil {
		return err
	}
	if !o.config.Orderers {
		return nil
	}
	if time.Since(o.read) > configEvery {
		if err := o.refresh(ctx); err != nil && o.members.total == 0 {
			// Nothing is known of them, which is not that they are away.
			return fmt.Errorf("it is not known who orders: %w", err)
		}
	}
	reachable := 0
	for _, one := range o.members.endpoints {
		if o.reaches(ctx, one) {
			reachable++
		}
	}
	// Those that publish no endpoint cannot be seen, and may be there.
	needed := o.members.quorum - (o.members.total - len(o.members.endpoints))
	for which, count := range map[string]int{"reachable": reachable, "needed": o.members.quorum, "all": o.members.total} {
		o.metrics.orderers.WithLabelValues(which).Set(float64(count))
	}
	if reachable < needed {
		return fmt.Errorf("%d of %d orderers can be reached, %d are needed: what is accepted waits in the journal", reachable, o.members.total, o.members.quorum)
	}
	return nil
}

// stalled answers an error when transactions wait and no block comes.
func (o *Orderers) stalled() error {
	now := time.Now()
	if height := o.from.Height(); height != o.height || o.from.Waiting() == 0 {
		o.height, o.moved = height, now
	}
	if waited := now.Sub(o.moved); waited > o.config.CommitWait {
		return fmt.Errorf("%d transactions wait and no block has come for %s", o.from.Waiting(), waited.Round(time.Second))
	}
	return nil
}

// reaches says whether the orderer has answered over mutual TLS. The connection
// stays, and tells when it breaks.
func (o *Orderers) reaches(ctx context.Context, one endpoint) bool {
	connection, err := o.connection(one)
	if err != nil {
		return false
	}
	for {
		state := connection.GetState()
		switch state {
		case connectivity.Ready:
			return true
		case connectivity.Idle:
			connection.Connect()
		case connectivity.Connecting:
		default:
			return false
		}
		// An attempt takes milliseconds; one that hangs is no answer.
		short, cancel := context.WithTimeout(ctx, o.config.Timeout/8)
		changed := connection.WaitForStateChange(short, state)
		cancel()
		if !changed {
			return false
		}
	}
}

func (o *Orderers) connection(to endpoint) (*grpc.ClientConn, error) {
	if connection, open := o.connections[to.address]; open {
		return connection, nil
	}
	roots := x509.NewCertPool()
	for _, root := range to.roots {
		roots.AppendCertsFromPEM(root)
	}
	connection, err := grpc.NewClient("passthrough:///"+to.address,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: roots,
			// Read anew at each handshake: the files are replaced.
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				own, err := tls.LoadX509KeyPair(o.from.CertFile, o.from.KeyFile)
				return &own, err
			},
		})),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second}, MinConnectTimeout: 2 * time.Second}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 10 * time.Second, PermitWithoutStream: true}),
		grpc.WithIdleTimeout(0),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to orderer %s: %w", to.address, err)
	}
	o.connections[to.address] = connection
	return connection, nil
}

// refresh reads the channel's configuration and drops connections to those who
// order no more.
func (o *Orderers) refresh(ctx context.Context) error {
	block, err := o.from.ConfigBlock(ctx)
	if err != nil {
		return err
	}
	members, err := membersIn(block)
	if err != nil {
		return err
	}
	for address, connection := range o.connections {
		if !slices.ContainsFunc(members.endpoints, func(one endpoint) bool { return one.address == address }) {
			_ = connection.Close()
			delete(o.connections, address)
		}
	}
	o.members, o.read = members, time.Now()
	return nil
}

// membersIn reads who orders out of a configuration block.
func membersIn(block []byte) (membership, error) {
	var found membership
	config, err := configIn(block)
	if err != nil {
		return found, err
	}
	group := config.GetConfig().GetChannelGroup().GetGroups()["Orderer"]
	if group == nil {
		return found, errors.New("the channel's configuration has no orderers")
	}
	for _, org := range group.GetGroups() {
		var addresses common.OrdererAddresses
		var definition msp.MSPConfig
		var fabric msp.FabricMSPConfig
		if err := errors.Join(
			proto.Unmarshal(org.GetValues()["Endpoints"].GetValue(), &addresses),
			proto.Unmarshal(org.GetValues()["MSP"].GetValue(), &definition),
			proto.Unmarshal(definition.GetConfig(), &fabric),
		); err != nil {
			return found, fmt.Errorf("read an orderer's organisation: %w", err)
		}
		for _, address := range addresses.GetAddresses() {
			found.endpoints = append(found.endpoints, endpoint{address, append(slices.Clone(fabric.GetTlsRootCerts()), fabric.GetTlsIntermediateCerts()...)})
		}
	}
	slices.SortFunc(found.endpoints, func(a, b endpoint) int {
		if a.address < b.address {
			return -1
		}
		return 1
	})
	found.total, found.quorum, err = quorumOf(group)
	return found, err
}

// quorumOf is how many order, and how many of them must be there.
func quorumOf(group *common.ConfigGroup) (total, quorum int, err error) {
	var consensus orderer.ConsensusType
	if err := proto.Unmarshal(group.GetValues()["ConsensusType"].GetValue(), &consensus); err != nil {
		return 0, 0, fmt.Errorf("read the consensus: %w", err)
	}
	switch consensus.GetType() {
	case "BFT":
		var consenters common.Orderers
		if err := proto.Unmarshal(group.GetValues()["Orderers"].GetValue(), &consenters); err != nil {
			return 0, 0, fmt.Errorf("read the consenters: %w", err)
		}
		n := len(consenters.GetConsenterMapping())
		f := (n - 1) / 3
		return n, (n + f + 2) / 2, nil // ⌈(n+f+1)/2⌉
	case "etcdraft":
		var metadata etcdraft.ConfigMetadata
		if err := proto.Unmarshal(consensus.GetMetadata(), &metadata); err != nil {
			return 0, 0, fmt.Errorf("read the consenters: %w", err)
		}
		n := len(metadata.GetConsenters())
		return n, n/2 + 1, nil
	default:
		return 0, 0, fmt.Errorf("the consensus %q is not known to this version", consensus.GetType())
	}
}

func configIn(serialized []byte) (*common.ConfigEnvelope, error) {
	var block common.Block
	var envelope common.Envelope
	var payload common.Payload
	var config common.ConfigEnvelope
	if err := proto.Unmarshal(serialized, &block); err != nil || len(block.GetData().GetData()) == 0 {
		return nil, errors.Join(errors.New("the configuration block is empty"), err)
	}
	if err := errors.Join(
		proto.Unmarshal(block.GetData().GetData()[0], &envelope),
		proto.Unmarshal(envelope.GetPayload(), &payload),
		proto.Unmarshal(payload.GetData(), &config),
	); err != nil {
		return nil, fmt.Errorf("read the configuration block: %w", err)
	}
	return &config, nil
}
