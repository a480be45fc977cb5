package network

import (
	"os"
	"path/filepath"
	"strings"
)

// Layout says where in the state folder every file of a network is. It only
// computes paths: a file exists once [Network.Up] has made it.
type Layout struct {
	root string
}

// LayoutAt returns the layout of the network in a state folder.
func LayoutAt(state string) Layout { return Layout{root: state} }

// DefaultState is the state folder when none is named: $CALLSEAL_STATE, else
// callseal/network under $XDG_STATE_HOME or ~/.local/state. It fails when the
// home folder is unknown.
func DefaultState() (string, error) {
	if state := os.Getenv("CALLSEAL_STATE"); state != "" {
		return filepath.Abs(state)
	}
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "callseal", "network"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "state", "callseal", "network"), nil
}

// Root is the state folder itself.
func (l Layout) Root() string { return l.root }

// GenesisBlock is the channel's first block, the consortium's published root.
func (l Layout) GenesisBlock() string { return filepath.Join(l.root, "channel", "genesis.block") }

// LogFile is where a node, for instance "atlas-peer", writes what it has to say.
func (l Layout) LogFile(node string) string { return filepath.Join(l.root, "logs", node+".log") }

// Operator returns the files of a member, operator or regulator, by its name in
// any case. An unknown name yields paths at which there is nothing.
func (l Layout) Operator(name string) Organisation {
	id := strings.ToLower(name)
	return Organisation{id: id, root: filepath.Join(l.root, "organisations", id)}
}

func (l Layout) marker() string        { return filepath.Join(l.root, "network.json") }
func (l Layout) halfMade() string      { return filepath.Join(l.root, "being-made") }
func (l Layout) lockFile() string      { return l.root + ".lock" }
func (l Layout) consortium() string    { return filepath.Join(l.root, "consortium.yaml") }
func (l Layout) deployments() string   { return filepath.Join(l.root, "chaincode.json") }
func (l Layout) channelFolder() string { return filepath.Join(l.root, "channel") }
func (l Layout) builder() string       { return filepath.Join(l.root, "builder") }
func (l Layout) pidFile(node string) string {
	return filepath.Join(l.root, "run", node+".json")
}

// Organisation says where the files of one member are.
type Organisation struct {
	id   string
	root string
}

// MSPDir is the member's verifying MSP: its authorities and no key.
func (o Organisation) MSPDir() string { return filepath.Join(o.root, "msp") }

// RevocationDir is the folder in its verifying MSP with the revocation lists of the
// member's authorities; there is none until something is revoked.
func (o Organisation) RevocationDir() string { return filepath.Join(o.MSPDir(), "crls") }

// EnrolmentCAFile is the certificate of the authority that issues identities.
func (o Organisation) EnrolmentCAFile() string {
	return filepath.Join(o.root, "enrolment-ca", "cert.pem")
}

// EnrolmentCAKeyFile is the key of that authority.
func (o Organisation) EnrolmentCAKeyFile() string {
	return filepath.Join(o.root, "enrolment-ca", "key.pem")
}

// TLSCAFile is the certificate of the authority that issues TLS certificates.
func (o Organisation) TLSCAFile() string { return filepath.Join(o.root, "tls-ca", "cert.pem") }

// TLSCAKeyFile is the key of that authority.
func (o Organisation) TLSCAKeyFile() string { return filepath.Join(o.root, "tls-ca", "key.pem") }

// Identity returns the files of one of the member's identities: "admin",
// "gateway", "auditor", "compliance", or for an adapter its PBX's id.
func (o Organisation) Identity(name string) Identity {
	return Identity{root: filepath.Join(o.root, "identities", name)}
}

// Server returns the TLS files of one of the member's services: "peer",
// "orderer", "chaincode" or "gateway".
func (o Organisation) Server(kind string) Server {
	return Server{root: filepath.Join(o.root, kind, "tls")}
}

// GatewayConfig is the configuration file of the member's gateway.
func (o Organisation) GatewayConfig() string {
	return filepath.Join(o.root, "gateway", "gateway.yaml")
}

// ConsortiumKeyFile holds the key that the operators make pseudonyms with: the same
// for all, for their gateways alone.
func (o Organisation) ConsortiumKeyFile() string {
	return filepath.Join(o.root, "gateway", "consortium.key")
}

// GatewayState is the folder in which the member's gateway keeps its own state.
func (o Organisation) GatewayState() string { return filepath.Join(o.root, "gateway", "state") }

// PeerData is the folder in which the member's peer keeps its ledger, private
// data and transient data: its fileSystemPath.
func (o Organisation) PeerData() string { return o.peerData(kindPeer) }

func (o Organisation) peerData(kind string) string { return filepath.Join(o.node(kind), "data") }

// DeviceKeyring holds the keys of what the operator's devices are in clear: those
// who register devices keep it, beside the gateway's own keyring.
func (o Organisation) DeviceKeyring() string { return filepath.Join(o.root, "devices", "keyring.db") }

func (o Organisation) node(kind string) string { return filepath.Join(o.root, kind) }

// chaincodeClient is the folder with the peer's certificate towards its
// chaincode service, and chaincodeClientCA the authority that service trusts.
func (o Organisation) chaincodeClient() string { return filepath.Join(o.root, "peer", "chaincode-tls") }
func (o Organisation) chaincodeClientCA() string {
	return filepath.Join(o.root, "chaincode", "client-ca.pem")
}

// Identity says where the files of one identity are.
type Identity struct{ root string }

// CertFile is the enrolment certificate: it signs transactions and, towards
// Callseal's own gateway, authenticates the TLS client.
func (i Identity) CertFile() string { return filepath.Join(i.root, "cert.pem") }

// KeyFile is the key of the enrolment certificate.
func (i Identity) KeyFile() string { return filepath.Join(i.root, "key.pem") }

// TLSCertFile is the certificate that authenticates the holder as TLS client
// of Fabric's peers and orderers, issued by the member's TLS authority.
func (i Identity) TLSCertFile() string { return filepath.Join(i.root, "tls-cert.pem") }

// TLSKeyFile is the key of the TLS certificate.
func (i Identity) TLSKeyFile() string { return filepath.Join(i.root, "tls-key.pem") }

// MSPDir is the identity as a signing MSP folder, the form Fabric's own
// command-line tools take.
func (i Identity) MSPDir() string { return filepath.Join(i.root, "msp") }

// Server says where the TLS files of a service are.
type Server struct{ root string }

// CertFile is the service's certificate, for serving and for connecting.
func (s Server) CertFile() string { return filepath.Join(s.root, "cert.pem") }

// KeyFile is the key of the service's certificate.
func (s Server) KeyFile() string { return filepath.Join(s.root, "key.pem") }
