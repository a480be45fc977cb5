package network

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/callseal/callseal/network/msp"
)

// Roles an identity's certificate can carry in the attribute callseal.role.
const (
	roleAdmin      = "admin"
	roleGateway    = "gateway"
	roleAdapter    = "adapter"
	roleAuditor    = "auditor"
	roleCompliance = "compliance"
)

// nodeUnits is an MSP's config.yaml. The certificates are pinned because
// configuration tools refuse organisational units without one.
const nodeUnits = `NodeOUs:
  Enable: true
  ClientOUIdentifier: { Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: client }
  PeerOUIdentifier: { Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: peer }
  AdminOUIdentifier: { Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: admin }
  OrdererOUIdentifier: { Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: orderer }
`

// issuance is the issuing of one member's identities.
type issuance struct {
	member    Member
	org       Organisation
	enrolment *msp.Issuer
	tls       *msp.Issuer
}

// issueIdentities makes a member's authorities and everything they certify.
func issueIdentities(layout Layout, member Member) error {
	i := issuance{member: member, org: layout.Operator(member.Name)}
	if err := i.authorities(); err != nil {
		return fmt.Errorf("identities of %s: %w", member.Name, err)
	}
	for _, step := range []func() error{i.people, i.adapters, i.nodes} {
		if err := step(); err != nil {
			return fmt.Errorf("identities of %s: %w", member.Name, err)
		}
	}
	return nil
}

func (i *issuance) authorities() (err error) {
	if i.enrolment, err = msp.NewIssuer(i.member.ID()+" enrolment CA", i.member.Name); err != nil {
		return err
	}
	if i.tls, err = msp.NewIssuer(i.member.ID()+" TLS CA", i.member.Name); err != nil {
		return err
	}
	if err := writePair(i.enrolment.Pair(), i.org.EnrolmentCAFile(), i.org.EnrolmentCAKeyFile()); err != nil {
		return err
	}
	if err := writePair(i.tls.Pair(), i.org.TLSCAFile(), i.org.TLSCAKeyFile()); err != nil {
		return err
	}
	return i.writeMSP(i.org.MSPDir(), nil)
}

// writeMSP writes a verifying MSP folder, or with a pair a signing one.
func (i *issuance) writeMSP(folder string, signer *msp.Pair) error {
	files := map[string][]byte{
		"cacerts/ca.pem":     i.enrolment.Pair().CertPEM,
		"tlscacerts/tls.pem": i.tls.Pair().CertPEM,
		"config.yaml":        []byte(nodeUnits),
	}
	if signer != nil {
		files["signcerts/cert.pem"] = signer.CertPEM
		files["keystore/key.pem"] = signer.KeyPEM
	}
	for name, content := range files {
		if err := writeFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (i *issuance) people() error {
	units := map[string]string{roleAdmin: msp.UnitAdmin, roleAuditor: msp.UnitClient}
	if i.member.Gateway != nil {
		units[roleGateway], units[roleCompliance] = msp.UnitClient, msp.UnitClient
	}
	for role, unit := range units {
		if err := i.identity(role, unit, map[string]string{msp.AttributeRole: role}); err != nil {
			return err
		}
	}
	return nil
}

func (i *issuance) adapters() error {
	for _, pbx := range i.member.PBXs {
		attributes := map[string]string{msp.AttributeRole: roleAdapter, msp.AttributePBX: pbx}
		if err := i.identity(pbx, msp.UnitClient, attributes); err != nil {
			return err
		}
	}
	return nil
}

func (i *issuance) identity(name, unit string, attributes map[string]string) error {
	files := i.org.Identity(name)
	common := name + "." + i.member.ID()
	pair, err := i.enrolment.Issue(msp.Request{CommonName: common, Unit: unit, Attributes: attributes})
	if err != nil {
		return err
	}
	if err := writePair(pair, files.CertFile(), files.KeyFile()); err != nil {
		return err
	}
	if err := i.writeMSP(files.MSPDir(), &pair); err != nil {
		return err
	}
	client, err := i.tls.Issue(msp.Request{CommonName: common})
	if err != nil {
		return err
	}
	return writePair(client, files.TLSCertFile(), files.TLSKeyFile())
}

// nodes issues what the member's services sign and serve with.
func (i *issuance) nodes() error {
	type service struct{ kind, unit, address string }
	services := []service{{kindOrderer, msp.UnitOrderer, i.member.Orderer.Address}}
	for _, seat := range i.member.Peers() {
		services = append(services, service{seat.peerKind(), msp.UnitPeer, seat.Peer.Address})
	}
	if i.member.Gateway != nil {
		services = append(services,
			service{kind: kindChaincode, address: i.member.Chaincode.Address},
			service{kind: kindGateway, address: i.member.Gateway.Address})
	}
	for _, s := range services {
		host, _, err := splitAddress(s.address)
		if err != nil {
			return err
		}
		common := s.kind + "." + i.member.ID()
		server := i.org.Server(s.kind)
		pair, err := i.tls.Issue(msp.Request{CommonName: common, Hosts: []string{host, common, "localhost"}})
		if err != nil {
			return err
		}
		if err := writePair(pair, server.CertFile(), server.KeyFile()); err != nil {
			return err
		}
		if s.unit == "" {
			continue
		}
		signer, err := i.enrolment.Issue(msp.Request{CommonName: common, Unit: s.unit})
		if err != nil {
			return err
		}
		if err := i.writeMSP(filepath.Join(i.org.node(s.kind), "msp"), &signer); err != nil {
			return err
		}
	}
	if i.member.Chaincode == nil {
		return nil
	}
	return i.chaincodeClient()
}

// chaincodeClient issues the certificate the peer shows its chaincode service.
// Its authority is one of its own whose key is not kept, so the service lets in
// this one holder and not everyone the TLS authority knows.
func (i *issuance) chaincodeClient() error {
	authority, err := msp.NewIssuer(i.member.ID()+" peer-to-chaincode CA", i.member.Name)
	if err != nil {
		return err
	}
	pair, err := authority.Issue(msp.Request{CommonName: "peer-to-chaincode." + i.member.ID()})
	if err != nil {
		return err
	}
	folder := i.org.chaincodeClient()
	if err := writePair(pair, filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")); err != nil {
		return err
	}
	if err := writeFile(i.org.chaincodeClientCA(), authority.Pair().CertPEM, 0o600); err != nil {
		return err
	}
	return writeFile(filepath.Join(folder, "ca.pem"), i.tls.Pair().CertPEM, 0o600)
}

func writePair(pair msp.Pair, certFile, keyFile string) error {
	if err := writeFile(certFile, pair.CertPEM, 0o644); err != nil {
		return err
	}
	return writeFile(keyFile, pair.KeyPEM, 0o600)
}

func writeFile(file string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := os.WriteFile(file, content, mode); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}
