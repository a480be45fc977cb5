package fabric

import "time"

// Config says whom the gateway is and which peer it asks. Files are PEM.
type Config struct {
	// MSP is the operator's, such as "AtlasMSP".
	MSP string `yaml:"-"`
	// Channel is the name of the consortium's channel.
	Channel string `yaml:"channel" required:"true" example:"calls"`
	// Chaincode is the name of the chaincode of calls on it.
	Chaincode string `yaml:"chaincode" required:"true" example:"callseal"`
	// PeerAddress is host:port of the operator's own peer.
	PeerAddress string `yaml:"peer_address" required:"true" example:"peer.atlas.example:7051"`
	// PeerServerName is the name that the peer's certificate bears; empty means the
	// host of its address.
	PeerServerName string `yaml:"peer_server_name"`
	// PeerCAFile is the TLS CA that signed the peer's certificate.
	PeerCAFile string `yaml:"peer_ca_file" required:"true" example:"ca/tls-ca.pem"`
	// TLSCertFile is the certificate for mutual TLS with the peer, issued by the
	// operator's TLS CA.
	TLSCertFile string `yaml:"tls_cert_file" required:"true" example:"tls/client-cert.pem"`
	// TLSKeyFile is the key of that certificate.
	TLSKeyFile string `yaml:"tls_key_file" required:"true" example:"tls/client-key.pem"`
	// CertFile is the identity that signs transactions: its certificate bears the
	// role "gateway".
	CertFile string `yaml:"cert_file" required:"true" example:"identity/cert.pem"`
	// KeyFile is the key of that identity.
	KeyFile string `yaml:"key_file" required:"true" example:"identity/key.pem"`
	// Partners are the MSPs of the operators whose endorsement is asked for first,
	// beside the own; empty leaves the choice to the peer.
	Partners []string `yaml:"partners"`
	// Deadlines bound each stage of a transaction; zero means the default.
	Deadlines Deadlines `yaml:"deadlines"`
}

// Deadlines bound the stages of a transaction.
type Deadlines struct {
	// Evaluate bounds a query.
	Evaluate time.Duration `yaml:"evaluate"`
	// Endorse bounds the collection of endorsements.
	Endorse time.Duration `yaml:"endorse"`
	// Submit bounds the sending to the orderers.
	Submit time.Duration `yaml:"submit"`
	// Commit bounds the wait for the block.
	Commit time.Duration `yaml:"commit"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config { return Config{Deadlines: Deadlines{}.withDefaults()} }

// withDefaults fills in what is zero. A commit takes tens of milliseconds; when
// the ordering leader dies it stalls about 3 s, which the last two outlive.
func (d Deadlines) withDefaults() Deadlines {
	for _, bound := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&d.Evaluate, 3 * time.Second}, {&d.Endorse, 5 * time.Second}, {&d.Submit, 5 * time.Second}, {&d.Commit, 15 * time.Second},
	} {
		if *bound.value == 0 {
			*bound.value = bound.standard
		}
	}
	return d
}
