package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/msp"
)

// Adapters issues one adapter for each of so many workers, who take the operators in
// turn, and leaves certificates and keys in a folder. Each speaks for a PBX that nobody
// has heard of, named after the run.
func Adapters(consortium *network.Consortium, layout network.Layout, workers int, run, folder string) (map[string][]Adapter, error) {
	adapters := map[string][]Adapter{}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("issue adapters: %w", err)
	}
	for worker := range workers {
		operator := consortium.Operators[worker%len(consortium.Operators)]
		one, err := issue(layout.Operator(operator.Name), operator, fmt.Sprintf("caliper-%s-pbx-%d", run, worker+1), folder)
		if err != nil {
			return nil, fmt.Errorf("issue an adapter of %s, which signs what Caliper anchors: %w", operator.Name, err)
		}
		adapters[operator.MSP] = append(adapters[operator.MSP], one)
	}
	return adapters, nil
}

func issue(org network.Organisation, operator network.Member, pbx, folder string) (Adapter, error) {
	certificate, err := os.ReadFile(org.EnrolmentCAFile())
	if err != nil {
		return Adapter{}, fmt.Errorf("its enrolment authority: %w", err)
	}
	key, err := os.ReadFile(org.EnrolmentCAKeyFile())
	if err != nil {
		return Adapter{}, fmt.Errorf("the key of its enrolment authority: %w", err)
	}
	authority, err := msp.ParseIssuer(msp.Pair{CertPEM: certificate, KeyPEM: key})
	if err != nil {
		return Adapter{}, fmt.Errorf("its enrolment authority: %w", err)
	}
	pair, err := authority.Issue(msp.Request{
		CommonName: pbx + "." + operator.ID(), Unit: msp.UnitClient, Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: pbx},
	})
	if err != nil {
		return Adapter{}, err //nolint:wrapcheck // wrapped by the caller
	}
	one := Adapter{PBX: pbx, Pair: Pair{File{filepath.Join(folder, pbx+".cert.pem")}, File{filepath.Join(folder, pbx+".key.pem")}}}
	return one, errors.Join(os.WriteFile(one.Certificate.Path, pair.CertPEM, 0o600), os.WriteFile(one.Key.Path, pair.KeyPEM, 0o600))
}
