package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/health"
)

// This file says what the gateway stands on and how each is asked. Which service
// needs which is in server/health.go.

// accepting is what the health of "" stands on: the journal, and the audit trail,
// without which no delivery begins. Taking records goes on while Fabric is away;
// that is what the journal is for.
var accepting = []string{health.Journal, health.Audit}

func (g *Gateway) openHealth(context.Context) error {
	config, measured := g.config.Health, health.NewMetrics(g.registry)
	orderers := health.NewOrderers(health.Ordering{
		ConfigBlock: func(ctx context.Context) ([]byte, error) {
			block, err := g.channel.In("cscc").Evaluate(ctx, "GetConfigBlock", g.config.Fabric.Channel)
			return block, sentence(err)
		},
		Waiting:  g.channel.Commits().Expected,
		Height:   func() uint64 { next, _ := g.channel.Commits().Next(); return next },
		CertFile: g.config.Fabric.TLSCertFile, KeyFile: g.config.Fabric.TLSKeyFile,
	}, config, measured)
	g.closing("orderers' watch", orderers.Close)
	dependencies := []health.Dependency{
		{Name: health.Journal, Ask: g.askJournal},
		{Name: health.Peer, Ask: g.askPeer},
		{Name: health.Ledger, Ask: g.askLedger},
		{Name: health.Index, Ask: g.askIndex},
		orderers.Dependency(),
		health.DiskOf(g.config.StateDir, config, measured),
		health.IdentityOf(g.certificates(), config, measured),
		{Name: health.Audit, Ask: func(context.Context) error { return sentence(g.trail.Problem()) }},
		// The server, which is assembled next, is there before anything is asked.
		{Name: health.Credentials, Ask: func(context.Context) error { return sentence(g.server.Problem()) }},
	}
	if g.config.Server.Tokens.Issuer != "" {
		dependencies = append(dependencies, health.Dependency{Name: health.Tokens, Ask: func(context.Context) error { return sentence(g.server.TokenProblem()) }})
	}
	g.health = health.New(config, dependencies, accepting, measured, g.log)
	g.monitor.Store(g.health)
	return nil
}

// askJournal sees whether the journal takes more.
func (g *Gateway) askJournal(context.Context) error {
	return sentence(g.journal.Full())
}

// askPeer has an own peer answer on the channel.
func (g *Gateway) askPeer(ctx context.Context) error {
	_, err := g.channel.Height(ctx)
	return sentence(err)
}

// askIndex has the index's database answer, and sees whether it follows and how far
// it is behind.
func (g *Gateway) askIndex(ctx context.Context) error {
	if err := g.index.Answers(ctx); err != nil {
		return sentence(err)
	}
	if err := g.index.Trouble(); err != nil {
		return sentence(err)
	}
	if at, tip := g.index.Height(), g.index.PeerHeight(); at+uint64(g.config.Health.IndexLag) < tip { //nolint:gosec // checked to be above 0
		return fmt.Errorf("the index is %d blocks behind the peer: lists are old", tip-at)
	}
	return nil
}

// askLedger has the own chaincode service answer a query through the own peer.
func (g *Gateway) askLedger(ctx context.Context) error {
	answer, err := g.channel.Evaluate(ctx, "about:Version")
	if err != nil {
		return sentence(err)
	}
	var version string
	if err := json.Unmarshal(answer, &version); err != nil {
		version = string(answer) // contracts answer text as it is
	}
	g.chaincodeVersion.Store(version)
	return nil
}

// certificates are those the gateway shows.
func (g *Gateway) certificates() []health.Certificate {
	return []health.Certificate{
		{Name: "identity", File: g.config.Fabric.CertFile},
		{Name: "fabric-tls", File: g.config.Fabric.TLSCertFile},
		{Name: "server", File: g.config.Server.CertFile},
	}
}

// sentence is a fault's sentence: causes are for the log.
func sentence(err error) error {
	if err == nil {
		return nil
	}
	var what *fault.Error
	if errors.As(err, &what) {
		return errors.New(what.Message)
	}
	return err
}

// page is a page of the monitor, once there is one.
func (g *Gateway) page(of func(*health.Monitor) http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		monitor := g.monitor.Load()
		if monitor == nil {
			http.Error(w, `{"serving":false,"reason":"the gateway is starting"}`, http.StatusServiceUnavailable)
			return
		}
		of(monitor).ServeHTTP(w, r)
	})
}
