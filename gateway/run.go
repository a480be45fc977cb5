// Package gateway is one operator's gateway: it takes signed segments from the
// operator's adapters to the ledger and answers questions about what stands
// there. It is assembled here from its parts:
//
//	rest/    the REST face
//	server/  the gRPC face: callers, permissions, messages, health
//	anchor/  a segment's way to the ledger
//	consent/ recordings that stand against a party's objection
//	seal/    the keys of personal details
//	erasure/ the steps that erase them
//	view/    what adapters must know to admit a call, streamed
//	index/   blocks projected into SQL: lists, pages, changes
//	fabric/  the channel, stage by stage
//	fault/   the one domain error
//	reputation/ counts evidence on numbers, addresses and accounts
//	device/  what stands on the ledger of a device, and what is sealed
//	idempotency/ requests that are repeated are answered as before
//	credential/ who gets in by certificate
//	limit/ how much one caller may do
//	token/ who gets in by token
//	trail/ the audit trail
//	metrics/ what is measured, for the operator's monitoring
//	setting/ reads the configuration
//	health/  what the gateway stands on, and whether it is there
//	tracing/ spans for a collector
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/callseal/callseal/gateway/anchor"
	"github.com/callseal/callseal/gateway/consent"
	"github.com/callseal/callseal/gateway/erasure"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/health"
	"github.com/callseal/callseal/gateway/idempotency"
	"github.com/callseal/callseal/gateway/index"
	"github.com/callseal/callseal/gateway/journal"
	"github.com/callseal/callseal/gateway/metrics"
	"github.com/callseal/callseal/gateway/reputation"
	"github.com/callseal/callseal/gateway/rest"
	"github.com/callseal/callseal/gateway/seal"
	"github.com/callseal/callseal/gateway/server"
	"github.com/callseal/callseal/gateway/tracing"
	"github.com/callseal/callseal/gateway/trail"
	"github.com/callseal/callseal/gateway/view"
)

// flushFor bounds the sending of the last spans.
const flushFor = 3 * time.Second

// Gateway is one operator's gateway, assembled from its parts.
type Gateway struct {
	assembly

	config   *Config // as it was started with
	registry *metrics.Registry
	level    *slog.LevelVar

	reloading sync.Mutex
	inForce   *Config // with what was reloaded
	reloads   []reload

	channel  *fabric.Channel
	index    *index.Index
	view     *view.Admission
	keyring  *seal.Keyring
	eraser   *erasure.Eraser
	tally    *reputation.Tally
	consents *consent.Watch
	signers  server.Signers
	keys     *idempotency.Store
	journal  *journal.Journal
	pipeline *anchor.Pipeline
	tracing  *tracing.Provider
	health   *health.Monitor
	monitor  atomic.Pointer[health.Monitor] // for pages that are served before
	trail    *trail.Trail
	server   *server.Server

	startedAt        time.Time
	chaincodeVersion atomic.Value // string
}

// Run serves until the context ends.
func Run(ctx context.Context, config *Config, log *slog.Logger) error {
	return New(config, log).Run(ctx)
}

// Option changes how a gateway is made.
type Option func(*Gateway)

// WithLevel has the log's level follow the configuration when it is reloaded.
func WithLevel(level *slog.LevelVar) Option {
	return func(g *Gateway) { g.level = level }
}

// New prepares a gateway; Run starts it.
func New(config *Config, log *slog.Logger, options ...Option) *Gateway {
	g := &Gateway{
		assembly: assembly{log: log, failed: make(chan error, 1)}, config: config, inForce: config, registry: metrics.NewRegistry(), level: new(slog.LevelVar),
		startedAt: time.Now(),
	}
	for _, option := range options {
		option(g)
	}
	_ = g.onReload("log", g.setLevel) // nothing was reloaded yet
	return g
}

// Run starts the parts in order, serves until the context ends or a part fails,
// and stops them in the opposite order.
func (g *Gateway) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, g.stop(g.config.StopTimeout)) }()
	if err := g.start(ctx); err != nil {
		if ctx.Err() != nil { // told to stop while it started
			g.log.Info("gateway stopping before it was ready", "reason", err)
			return nil
		}
		return err
	}
	g.running(ctx, "service manager", g.service().run)
	select {
	case err := <-g.failed:
		g.log.Error("gateway failed", "error", err)
		return err
	case <-ctx.Done():
		g.log.Info("gateway stopping")
		return nil
	}
}

// start starts the parts in order.
func (g *Gateway) start(ctx context.Context) error {
	for _, part := range []func(context.Context) error{
		g.findRoom,
		g.openTracing,
		g.openMetrics,
		g.openChannel,
		g.openIndex,
		g.openKeyring,
		g.openErasures,
		g.openTally,
		g.openView,
		g.openConsents,
		g.openJournal,
		g.openPipeline,
		g.openSigners,
		g.openKeys,
		g.openTrail,
		g.openHealth,
		g.openServer,
		g.openREST,
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// leastFree is what must be free where the state is kept: below it some stores cannot
// be opened, and say so badly or not at all.
const leastFree = 16 << 20

// findRoom refuses to start on a full disk.
func (g *Gateway) findRoom(context.Context) error {
	if err := os.MkdirAll(g.config.StateDir, 0o700); err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(g.config.StateDir, &disk); err != nil {
		return fmt.Errorf("look for space in the state folder: %w", err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < leastFree { //nolint:gosec // sizes are positive
		return fmt.Errorf("the disk of %s is full, %d KiB are free and %d are needed to start: make room; what was accepted is in the journal", g.config.StateDir, free>>10, leastFree>>10)
	}
	return nil
}

// Catalogue starts a gateway, describes what of its own it measures, and stops it.
func (g *Gateway) Catalogue(ctx context.Context) (all []metrics.Description, err error) {
	defer func() { err = errors.Join(err, g.stop(g.config.StopTimeout)) }()
	if err := g.start(ctx); err != nil {
		return nil, err
	}
	return g.registry.Catalogue("callseal_", "grpc_")
}

// openTracing has spans sent where there is a collector.
func (g *Gateway) openTracing(ctx context.Context) (err error) {
	if !g.config.Tracing.On() {
		return nil
	}
	version, _, _ := metrics.Version()
	if g.tracing, err = tracing.Start(ctx, g.config.Tracing, tracing.Who{MSP: g.config.MSP, Operator: g.config.Operator, Version: version}, g.log); err != nil {
		return fmt.Errorf("start tracing: %w", err)
	}
	g.closing("tracing", func() error {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushFor)
		defer cancel()
		if err := g.tracing.Stop(stopping); err != nil {
			g.log.Warn("the last spans are lost", "error", err) // a collector that is away fails nothing
		}
		return nil
	})
	return nil
}

func (g *Gateway) openMetrics(ctx context.Context) error {
	if g.config.Metrics.Listen == "" {
		return nil
	}
	serving, err := metrics.Listen(ctx, g.config.Metrics, g.registry, metrics.Pages{Live: g.page((*health.Monitor).Live), Ready: g.page((*health.Monitor).Ready)}, g.log)
	if err != nil {
		return err
	}
	g.running(ctx, "metrics", serving.Run)
	return nil
}

func (g *Gateway) openChannel(context.Context) (err error) {
	if g.channel, err = fabric.Open(g.config.Fabric, fabric.WithLog(g.log), fabric.WithMetrics(fabric.NewMetrics(g.registry))); err != nil {
		return fmt.Errorf("open the channel: %w", err)
	}
	g.closing("channel", g.channel.Close)
	return nil
}

// openIndex has the index follow the channel.
func (g *Gateway) openIndex(ctx context.Context) (err error) {
	if g.index, err = OpenIndex(ctx, g.config, g.log, index.NewMetrics(g.registry)); err != nil {
		return err
	}
	g.closing("index", g.index.Close)
	g.running(ctx, "index's projection", forever(func(ctx context.Context) { g.index.Run(ctx, g.channel) }))
	return nil
}

// OpenIndex opens the index of a gateway, which may be running.
func OpenIndex(ctx context.Context, config *Config, log *slog.Logger, metrics *index.Metrics) (*index.Index, error) {
	where := config.Index
	if where.SQLiteFile == "" && where.Postgres.DSN == "" {
		where.SQLiteFile = filepath.Join(config.StateDir, "index.db")
	}
	opened, err := index.Open(ctx, where, index.Subject{MSP: config.MSP, Channel: config.Fabric.Channel, Chaincode: config.Fabric.Chaincode}, log, metrics)
	if err != nil {
		return nil, fmt.Errorf("open the index: %w", err)
	}
	return opened, nil
}

func (g *Gateway) openKeyring(ctx context.Context) (err error) {
	if g.keyring, err = seal.Open(filepath.Join(g.config.StateDir, "keyring.db")); err != nil {
		return fmt.Errorf("open the keyring: %w", err)
	}
	g.closing("keyring", g.keyring.Close)
	g.running(ctx, "keyring's watch", unless(g.keyring.Failed(), g.keyring.Err))
	return nil
}

func (g *Gateway) openErasures(ctx context.Context) error {
	steps, err := erasure.OpenJournal(filepath.Join(g.config.StateDir, "erasures.db"))
	if err != nil {
		return err
	}
	g.closing("erasures' journal", steps.Close)
	g.eraser = erasure.New(g.channel, g.keyring, steps, g.log)
	g.running(ctx, "erasures", forever(g.eraser.Run))
	return nil
}

// openTally has evidence counted if the gateway has the consortium's key.
func (g *Gateway) openTally(ctx context.Context) error {
	if g.config.Reputation.KeyFile == "" {
		return nil
	}
	config := g.config.Reputation
	if err := config.ReadKeys(); err != nil {
		return err
	}
	g.tally = reputation.New(g.channel, config, g.log)
	kept, err := journal.Open(filepath.Join(g.config.StateDir, "evidence"), reputation.JournalConfig(), g.log)
	if err != nil {
		return fmt.Errorf("open the journal of evidence: %w", err)
	}
	g.closing("journal of evidence", kept.Close)
	if err := g.tally.Keep(kept); err != nil {
		return err
	}
	g.running(ctx, "journal of evidence", unless(kept.Failed(), kept.Err))
	g.running(ctx, "reputation", forever(g.tally.Run))
	return nil
}

// openView has adapters told what decides on calls.
func (g *Gateway) openView(context.Context) (err error) {
	config := g.config.Reputation
	if err := config.ReadKeys(); err != nil {
		return err
	}
	g.view, err = view.NewAdmission(g.index, g.config.MSP, config.PreviousKey, config.Key)
	return err
}

func (g *Gateway) openConsents(ctx context.Context) error {
	g.consents = consent.New(g.channel, g.log)
	g.running(ctx, "consents", forever(g.consents.Run))
	g.running(ctx, "consents' place", func(ctx context.Context) error {
		return g.consents.Follow(ctx, g.index, g.config.MSP, filepath.Join(g.config.StateDir, "consents.json"))
	})
	return nil
}

func (g *Gateway) openJournal(context.Context) (err error) {
	if g.journal, err = journal.Open(filepath.Join(g.config.StateDir, "journal"), g.config.Journal, g.log); err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	g.closing("journal", g.journal.Close)
	journal.NewMetrics(g.registry, g.journal)
	return nil
}

// openPipeline takes up what the journal holds, and takes segments from then on.
func (g *Gateway) openPipeline(ctx context.Context) (err error) {
	g.pipeline, err = anchor.New(anchor.Parts{
		Channel: g.channel, Journal: g.journal, Keyring: g.keyring, Metrics: anchor.NewMetrics(g.registry), Log: g.log,
	}, g.config.Anchor)
	if err != nil {
		return fmt.Errorf("prepare the pipeline: %w", err)
	}
	g.running(ctx, "pipeline", g.pipeline.Run)
	g.running(ctx, "journal's receipts", forever(g.dropReceipts))
	g.running(ctx, "journal's watch", unless(g.journal.Failed(), g.journal.Err))
	return nil
}

// dropReceiptsEvery is how often the journal forgets what the index has.
const dropReceiptsEvery = 5 * time.Second

// dropReceipts has the journal forget what was settled in blocks that the index has.
func (g *Gateway) dropReceipts(ctx context.Context) {
	ticker := time.NewTicker(dropReceiptsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		height := g.index.Height()
		if height == 0 {
			continue
		}
		if _, err := g.journal.Drop(ctx, height-1); err != nil && ctx.Err() == nil {
			g.log.Warn("the journal does not forget what was settled", "error", err)
		}
	}
}

// openSigners opens the channel for the identities that sign for people.
func (g *Gateway) openSigners(context.Context) (err error) {
	if g.signers, err = server.OpenSigners(g.config.Signers, g.config.Fabric, fabric.WithLog(g.log)); err != nil {
		return err
	}
	g.closing("signers", g.signers.Close)
	return nil
}

func (g *Gateway) openKeys(ctx context.Context) (err error) {
	if g.keys, err = idempotency.Open(filepath.Join(g.config.StateDir, "idempotency.db"), g.config.Idempotency, idempotency.NewMetrics(g.registry)); err != nil {
		return err
	}
	g.closing("idempotency keys", g.keys.Close)
	g.running(ctx, "idempotency keys", g.keys.Run)
	return nil
}

// openTrail opens the audit trail before there is anything to audit.
func (g *Gateway) openTrail(ctx context.Context) (err error) {
	config := g.config.Audit
	if config.Dir == "" {
		config.Dir = filepath.Join(g.config.StateDir, "audit")
	}
	if g.trail, err = trail.Open(config, trail.NewMetrics(g.registry), g.log); err != nil {
		return err
	}
	g.closing("audit trail", g.trail.Close)
	g.running(ctx, "audit trail", forever(g.trail.Run))
	g.running(ctx, "audit trail's watch", unless(g.trail.Failed(), g.trail.Problem))
	return nil
}

func (g *Gateway) openServer(ctx context.Context) (err error) {
	config := g.config.Server
	if config.Tokens.ReferenceKeyFile == "" {
		config.Tokens.ReferenceKeyFile = filepath.Join(g.config.StateDir, "callers.key")
	}
	if g.server, err = server.New(config, server.Parts{
		Channel:  g.channel,
		Keyring:  g.keyring,
		Pipeline: g.pipeline,
		Journal:  g.journal,
		Window:   g.config.Anchor.Window,
		Eraser:   g.eraser,
		Tally:    g.tally,
		View:     g.view,
		Index:    g.index,
		Signers:  g.signers,
		Keys:     g.keys,
		Metrics:  server.NewMetrics(g.registry),
		Health:   g.health,
		Status:   g.status,
		Options:  g.tracing.ServerOption(),
		Trail:    g.trail,
	}, g.log); err != nil {
		return fmt.Errorf("assemble the server: %w", err)
	}
	if err := g.onReload("limits", func(config *Config) error {
		g.server.SetLimits(config.Server.Limits)
		return nil
	}); err != nil {
		return err
	}
	g.running(ctx, "health", g.health.Run)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", g.config.Server.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", g.config.Server.Listen, err)
	}
	g.running(ctx, "server", func(ctx context.Context) error { return g.server.Serve(ctx, listener) })
	g.log.Info("gateway ready", "operator", g.config.Operator, "msp", g.config.MSP, "listen", listener.Addr().String(), "peers", g.config.Fabric.Addresses())
	return nil
}

// openREST serves REST beside gRPC, where it is configured.
func (g *Gateway) openREST(ctx context.Context) error {
	if g.config.REST.Listen == "" {
		return nil
	}
	serving, err := rest.New(g.config.REST, g.server, g.log)
	if err != nil {
		return fmt.Errorf("assemble REST: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", g.config.REST.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", g.config.REST.Listen, err)
	}
	g.running(ctx, "REST", func(ctx context.Context) error { return serving.Serve(ctx, listener) })
	g.log.Info("REST ready", "listen", listener.Addr().String())
	return nil
}

// unless makes a part that ends, with the reason, when the disk failed a store: only a
// new process can go on then.
func unless(failed <-chan struct{}, why func() error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-failed:
			return why()
		}
	}
}

// forever makes a part of what runs until its context ends.
func forever(run func(context.Context)) func(context.Context) error {
	return func(ctx context.Context) error {
		run(ctx)
		return nil
	}
}
