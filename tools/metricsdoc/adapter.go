package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	adapter "github.com/callseal/callseal/asterisk-adapter"
	"github.com/callseal/callseal/gateway/metrics"
	"github.com/callseal/callseal/network/msp"
)

// gauges has a collector that has no value yet say what its values are.
type gauges struct{ prometheus.Collector }

// Kind is the type of the values.
func (gauges) Kind() string { return "gauge" }

// adapterCatalogue is what an adapter registers.
func adapterCatalogue() (all []metrics.Description, err error) {
	folder, err := os.MkdirTemp("", "callseal-metricsdoc-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the adapter: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	config, err := adapterConfiguration(folder)
	if err != nil {
		return nil, err
	}
	collectors, closed, err := adapter.Collectors(config, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closed()) }()
	registry := &metrics.Registry{Registry: prometheus.NewRegistry()}
	for _, one := range collectors {
		switch one.(type) {
		case *prometheus.CounterVec, *prometheus.GaugeVec, *prometheus.HistogramVec:
			registry.MustRegister(one)
		default:
			registry.MustRegister(gauges{one})
		}
	}
	return registry.Catalogue("callseal_adapter_")
}

// adapterConfiguration is that of an adapter that uses all there is, alone in the world.
func adapterConfiguration(folder string) (*adapter.Config, error) {
	const pbx = "pbx"
	issuer, err := msp.NewIssuer("CA", "Atlas")
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	pair, err := issuer.Issue(msp.Request{CommonName: pbx, Unit: msp.UnitClient, Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: pbx}})
	if err != nil {
		return nil, fmt.Errorf("issue a certificate: %w", err)
	}
	at := func(name string) string { return filepath.Join(folder, name) }
	for name, text := range map[string][]byte{"ca.pem": issuer.Pair().CertPEM, "cert.pem": pair.CertPEM, "key.pem": pair.KeyPEM, "consent.wav": []byte("RIFF")} {
		if err := os.WriteFile(at(name), text, 0o600); err != nil {
			return nil, fmt.Errorf("write the certificates: %w", err)
		}
	}
	rest := adapter.ARIConfig{URL: "http://127.0.0.1:1/ari", User: "callseal"}
	return &adapter.Config{
		MSP: "AtlasMSP", PBX: pbx, StateDir: at("state"), Gateway: adapter.GatewayConfig{Address: "127.0.0.1:1", CAFile: at("ca.pem")},
		Identity: adapter.IdentityConfig{CertFile: at("cert.pem"), KeyFile: at("key.pem")}, CDR: adapter.CDRConfig{CSV: at("Master.csv")},
		ARI: &rest, Control: &adapter.ControlConfig{Address: "127.0.0.1:1", User: "callseal"},
		Consent: &adapter.ConsentConfig{ARI: rest, Announcement: at("consent.wav"), Evidence: folder, Marks: folder}, Devices: adapter.DevicesConfig{Domain: "pbx.atlas.example"},
	}, nil
}

// adapterPage is the page's second half.
func adapterPage(all []metrics.Description) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(adapterPreface + "| label | holds |\n|---|---|\n")
	for _, one := range adapter.Labels {
		fmt.Fprintf(&out, "| `%s` | %s |\n", one.Name, one.Holds)
	}
	listed := func(name string) bool {
		return slices.ContainsFunc(adapter.Labels, func(one adapter.Label) bool { return one.Name == name })
	}
	if err := list(&out, all, listed); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
