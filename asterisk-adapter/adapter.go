// Package adapter turns what one Asterisk 22 does into signed records: every CDR
// leg once, whichever sources tell of it, and every recording once it is closed,
// paired and sent to the operator's gateway. A call is followed through one file
// a step:
//
//	sources.go        AMI Cdr events, the CDR file, ARI, closed recordings
//	leg.go            a CDR row becomes what the ledger holds
//	disagreements.go  what two sources tell differently of one leg
//	progress.go    a call that was answered is told of before its leg
//	pairing.go        a leg and its recording come together
//	closer.go         what is ready becomes a signed segment in the journal
//	history.go        how a history begins, goes on in silence, and is closed
//	uplink.go         the segment travels until it is on the ledger
//
// Where it acts on recordings, that is in mixer.go (pauses, ends) and consents.go
// (who is asked, and what is done with the answer).
//
// What it knows of the ledger in memory is kept up to date by view.go, and the PBX's devices are compared with it by devices.go. What it stands
// on is in standing.go, what it counts in metrics.go, and both are
// told by inspect.go.
package adapter

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/asterisk-adapter/admission"
	"github.com/callseal/callseal/asterisk-adapter/ami"
	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/asterisk-adapter/device"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
)

// journalFile is the journal's name in the state folder.
const journalFile = "journal.db"

// Adapter is one PBX's adapter.
type Adapter struct {
	config     *Config
	zone       *time.Location
	journal    *journal.Journal
	pseudonyms *pseudonyms
	connection *grpc.ClientConn
	calls      pb.CallServiceClient
	recordings pb.RecordingServiceClient
	ledger     pb.LedgerServiceClient
	search     pb.SearchServiceClient
	observer   *ari.Observer // nil without ARI
	// view is the ledger's scores, devices and keys in memory; nil where nothing needs it.
	view *admission.View
	// devices compares the PBX's with the ledger's; nil where they are not.
	devices *device.Watch
	// progress tells the ledger of calls before they end; nil where it is not told.
	progress      *progress
	manager       *ami.Session // nil without AMI
	software      software
	pairing       *pairing
	conversations *conversations
	omissions     *omissions
	disagreements *disagreements
	closer        *closer
	metrics       *metrics
	mixer         *mixer    // nil where the adapter acts on no recording
	consents      *consents // nil where nobody is asked
	standings     *standings
	log           *slog.Logger
	// started is when this run began: what ended before, ARI cannot tell of.
	started time.Time
	// inForce is the configuration since the last reload; nil before.
	inForce     atomic.Pointer[Config]
	reloadAsked <-chan os.Signal
	load        func() (*Config, error)
	level       *slog.LevelVar // nil where the log's level is not the adapter's
	beatChanged chan struct{}
	// background are the questions and waits of single legs.
	background sync.WaitGroup
	asking     chan struct{} // bounds the questions to the gateway
}

// Run runs an adapter until the context ends, or until it finds that it cannot
// do its work: then the error says what to change.
func Run(ctx context.Context, config *Config, log *slog.Logger, options ...Option) (err error) {
	adapter, err := open(config, log)
	if err != nil {
		return err
	}
	for _, option := range options {
		option(adapter)
	}
	adapter.setLevel(config)
	defer func() { err = errors.Join(err, adapter.close()) }()
	err = adapter.run(ctx)
	if ctx.Err() != nil {
		log.Info("adapter stopped")
		return nil
	}
	return err
}

func open(config *Config, log *slog.Logger) (_ *Adapter, err error) {
	signer, err := loadSigner(config)
	if err != nil {
		return nil, err
	}
	a := &Adapter{config: config, log: log, started: time.Now(), asking: make(chan struct{}, maxAsking), beatChanged: make(chan struct{}, 1), metrics: newMetrics()}
	a.standings = newStandings(func(name string, connected bool) {
		a.metrics.connected.WithLabelValues(name).Set(map[bool]float64{true: 1}[connected])
	})
	if a.zone, err = config.location(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(config.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("create the state folder: %w", err)
	}
	if a.pseudonyms, err = openPseudonyms(config.PartyKeyFile, config.StateDir, config.PBX); err != nil {
		return nil, err
	}
	a.connection, err = connect.Dial(connect.Config{
		Address: config.Gateway.Address, ServerName: config.Gateway.ServerName, CAFile: config.Gateway.CAFile,
		CertFile: config.Identity.CertFile, KeyFile: config.Identity.KeyFile,
	})
	if err != nil {
		return nil, fmt.Errorf("reach the gateway: %w", err)
	}
	a.journal, err = journal.Open(filepath.Join(config.StateDir, journalFile), config.MSP, config.PBX)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the journal: %w", err), a.connection.Close())
	}
	if config.ARI != nil {
		password, err := secret(config.ARI.PasswordFile, config.ARI.Password)
		if err != nil {
			return nil, errors.Join(err, a.close())
		}
		a.observer = ari.New(ari.Options{URL: config.ARI.URL, User: config.ARI.User, Password: password, App: config.ARI.Application})
	}
	a.calls = pb.NewCallServiceClient(a.connection)
	a.recordings = pb.NewRecordingServiceClient(a.connection)
	a.ledger = pb.NewLedgerServiceClient(a.connection)
	a.search = pb.NewSearchServiceClient(a.connection)
	a.journal.Promise(beatsPromised * config.beat)
	uplink := newUplink(pb.NewAnchorServiceClient(a.connection), a.journal, a.metrics, log)
	uplink.reached = func(err error) { a.stands(peerGateway, err) }
	a.closer = newCloser(a.journal, signer, uplink, a.opening, log)
	if a.conversations, err = newConversations(a.journal, a.closer, a.metrics, log); err != nil {
		return nil, errors.Join(err, a.close())
	}
	a.pairing = newPairing(a.journal, a.closer, config.Recordings.pairWait, log)
	a.pairing.old, a.pairing.conversation = a.oldRecording, a.conversation
	a.pairing.setWait(config.Recordings.pairWait, config.Recordings.omissionAfter)
	a.disagreements = newDisagreements(a.journal, a.closer, a.metrics, log)
	a.pairing.after = a.disagreements.settled
	a.omissions = newOmissions(a.journal, a.closer, config.Recordings.omissionAfter, a.metrics)
	a.omissions.folder = config.Recordings.Folder
	a.metrics.registry.MustRegister(newDepths(a.journal, a.pairing, log))
	if err := a.openMixer(); err != nil {
		return nil, errors.Join(err, a.close())
	}
	if config.needsView() {
		a.view = admission.New()
		a.metrics.registry.MustRegister(newViewed(a.view))
	}
	if config.Devices.Domain != "" {
		if a.devices, err = a.newDeviceWatch(); err != nil {
			return nil, errors.Join(err, a.close())
		}
	}
	if config.Progress == progressAnswered {
		a.progress = newProgress(a)
	}
	return a, nil
}

func (a *Adapter) close() error {
	return errors.Join(a.closeMixer(), a.journal.Close(), a.connection.Close())
}

// run runs every part. An adapter that was told to stop closes its history.
func (a *Adapter) run(ctx context.Context) error {
	err := a.work(ctx)
	a.background.Wait()
	if ctx.Err() != nil {
		notifyStopping()
		a.farewell(context.WithoutCancel(ctx))
	}
	return err
}

// work starts every part; the first that fails ends all.
func (a *Adapter) work(ctx context.Context) error {
	parts, ctx := errgroup.WithContext(ctx)
	sources, err := a.sources()
	if err != nil {
		return err
	}
	unsettled, err := a.journal.Unsettled()
	if err != nil {
		return err
	}
	if err := a.disagreements.recover(); err != nil {
		return err
	}
	parts.Go(func() error { return a.closer.run(ctx) })
	parts.Go(func() error { return a.beat(ctx) })
	parts.Go(func() error { return a.omissions.run(ctx) })
	parts.Go(func() error { return a.conversations.run(ctx) })
	parts.Go(func() error { return a.watchGateway(ctx) })
	parts.Go(func() error { return a.watchDisk(ctx) })
	parts.Go(func() error { return a.control(ctx) })
	parts.Go(func() error { return a.reloads(ctx) })
	parts.Go(func() error { return a.alive(ctx) })
	for _, part := range a.mixing() {
		parts.Go(func() error { return part(ctx) })
	}
	if a.view != nil {
		parts.Go(func() error { return a.keepView(ctx) })
	}
	if a.devices != nil {
		parts.Go(func() error { return a.devices.Run(ctx) })
	}
	if a.progress != nil {
		parts.Go(func() error { return a.progress.run(ctx) })
	}
	if a.config.Metrics.Listen != "" {
		parts.Go(func() error { return a.inspect(ctx) })
	}
	for _, source := range sources {
		parts.Go(func() error { return source(ctx) })
	}
	parts.Go(func() error {
		// What a crash left behind.
		for _, leg := range unsettled {
			a.settle(ctx, leg)
		}
		return nil
	})
	a.log.Info("adapter ready", "msp", a.config.MSP, "pbx", a.config.PBX, "epoch", a.journal.Epoch(),
		"csv", a.config.CDR.CSV != "", "ami", a.config.AMI != nil, "ari", a.config.ARI != nil, "recording_folder", a.config.Recordings.Folder != "", "left_over", len(unsettled))
	notifyReady()
	return parts.Wait()
}

// loadSigner reads the adapter's certificate and refuses one that the ledger
// would refuse: better at start than at the first call.
func loadSigner(config *Config) (*journal.Signer, error) {
	pair, err := tls.LoadX509KeyPair(config.Identity.CertFile, config.Identity.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("load the adapter's identity: %w", err)
	}
	pbx, err := ledger.AdapterPBX(pair.Leaf, time.Now())
	if err != nil {
		return nil, fmt.Errorf("the certificate in %s: %s", config.Identity.CertFile, ledger.AsError(err).Message)
	}
	if pbx != config.PBX {
		return nil, fmt.Errorf("the certificate in %s is for PBX %q, the configuration says %q: they must be the same", config.Identity.CertFile, pbx, config.PBX)
	}
	key, isECDSA := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !isECDSA {
		return nil, fmt.Errorf("the key in %s is not ECDSA: issue the adapter a P-256 key", config.Identity.KeyFile)
	}
	return &journal.Signer{MSP: config.MSP, PBX: pbx, Fingerprint: ledger.Fingerprint(pair.Leaf.Raw), Key: key}, nil
}
