// Metricsdoc writes docs/metrics.md: what a running gateway and a running adapter
// measure, as their parts register it. It starts one of each for that, alone in the world.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/callseal/callseal/gateway"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/metrics"
	"github.com/callseal/callseal/network/msp"
)

const preface = `# What a gateway and an adapter measure

## A gateway

Written by ` + "`make docs`" + ` from what a running gateway registers; what is here is served at
` + "`metrics.listen`" + `/metrics, beside the metrics of Go's runtime and of the process that the
Prometheus library brings. Alerting rules are in
[network/monitoring](../network/monitoring/gateway.rules.yaml).

Labels hold names from fixed lists or from the operator's own configuration, never
anything of a call, a person or a client, so their number is bounded:

`

const adapterPreface = `
## An adapter

Served at the adapter's ` + "`metrics.listen`" + `/metrics, beside the same metrics of Go and of the
process. No label holds anything of a call:

`

func main() {
	root := flag.String("root", ".", "the project's folder")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "metricsdoc:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	all, err := catalogue(context.Background())
	if err != nil {
		return err
	}
	text, err := page(all)
	if err != nil {
		return err
	}
	adapters, err := adapterCatalogue()
	if err != nil {
		return err
	}
	more, err := adapterPage(adapters)
	if err != nil {
		return err
	}
	text = append(text, more...)
	return os.WriteFile(filepath.Join(root, "docs", "metrics.md"), text, 0o644)
}

// catalogue is what a gateway registers.
func catalogue(ctx context.Context) (all []metrics.Description, err error) {
	folder, err := os.MkdirTemp("", "callseal-metricsdoc-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the gateway: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	config, err := configuration(folder)
	if err != nil {
		return nil, err
	}
	return gateway.New(config, slog.New(slog.DiscardHandler)).Catalogue(ctx)
}

// configuration is that of a gateway alone in the world.
func configuration(folder string) (*gateway.Config, error) {
	issuer, err := msp.NewIssuer("CA", "Atlas")
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	pair, err := issuer.Issue(msp.Request{CommonName: "gateway", Hosts: []string{"127.0.0.1"}})
	if err != nil {
		return nil, fmt.Errorf("issue a certificate: %w", err)
	}
	authority, cert, key := filepath.Join(folder, "ca.pem"), filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for file, text := range map[string][]byte{authority: issuer.Pair().CertPEM, cert: pair.CertPEM, key: pair.KeyPEM} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return nil, fmt.Errorf("write the certificates: %w", err)
		}
	}
	config := gateway.DefaultConfig()
	config.MSP, config.StateDir = "AtlasMSP", folder
	config.Server.Listen, config.Server.CertFile, config.Server.KeyFile, config.Server.ClientCAFile = "127.0.0.1:0", cert, key, authority
	config.Fabric.MSP, config.Fabric.Channel, config.Fabric.Chaincode = "AtlasMSP", "calls", "callseal"
	config.Fabric.Peers = []fabric.PeerConfig{{Address: "127.0.0.1:1", CAFile: authority}}
	config.Fabric.TLSCertFile, config.Fabric.TLSKeyFile, config.Fabric.CertFile, config.Fabric.KeyFile = cert, key, cert, key
	return &config, nil
}

// page is the page; a label that is not in the fixed list is an error.
func page(all []metrics.Description) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(preface + "| label | holds |\n|---|---|\n")
	for _, one := range metrics.Labels {
		fmt.Fprintf(&out, "| `%s` | %s |\n", one.Name, one.Holds)
	}
	if err := list(&out, all, metrics.Listed); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// list is the table of metrics.
func list(out *bytes.Buffer, all []metrics.Description, listed func(string) bool) error {
	out.WriteString("\n| name | type | labels | what it is |\n|---|---|---|---|\n")
	for _, one := range all {
		var labels []string
		for _, label := range one.Labels {
			if !listed(label) {
				return fmt.Errorf("%s has the label %q, which the package's Labels does not have: say there what it holds, and how many values it can have", one.Name, label)
			}
			labels = append(labels, "`"+label+"`")
		}
		fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", one.Name, one.Type, strings.Join(labels, ", "), strings.ReplaceAll(one.Help, "|", `\|`))
	}
	return nil
}
