package adapter

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/ami"
	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/asterisk-adapter/recording"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/verify"
)

const (
	sourceCSV = "csv"
	sourceAMI = "ami"

	// observeWait is how long a leg waits for ARI's last word on its channel,
	// which comes within milliseconds of the CDR.
	observeWait = 100 * time.Millisecond
	// askTimeout bounds a question to the gateway at the start of an epoch.
	askTimeout = 10 * time.Second
)

// software is the PBX's version, learned while running.
type software struct {
	mu    sync.Mutex
	value string
}

func (s *software) get() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value
}

func (s *software) set(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value = value
}

// sources are the parts that watch Asterisk, as configured.
func (a *Adapter) sources() ([]func(context.Context) error, error) {
	var parts []func(context.Context) error
	if a.config.CDR.CSV != "" {
		part, err := a.followCSV()
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	if a.config.AMI != nil {
		part, err := a.listenAMI()
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	var watcher *recording.Watcher
	if a.config.Recordings.Folder != "" {
		var err error
		if watcher, err = a.watchRecordings(); err != nil {
			return nil, err
		}
		parts = append(parts, func(ctx context.Context) error { return a.takeRecordings(ctx, watcher) })
	}
	if a.observer != nil {
		parts = append(parts, func(ctx context.Context) error { return a.observeARI(ctx, watcher) })
	}
	return parts, nil
}

// followCSV follows the CDR file from where the journal left it.
func (a *Adapter) followCSV() (func(context.Context) error, error) {
	stored, err := a.journal.Checkpoint(sourceCSV)
	if err != nil {
		return nil, err
	}
	tail := &cdr.Tail{Path: a.config.CDR.CSV, Zone: time.UTC}
	if a.config.CDR.LocalTimes {
		tail.Zone = a.zone
	}
	if len(stored) > 0 {
		if err := json.Unmarshal(stored, &tail.From); err != nil {
			return nil, fmt.Errorf("read the CDR file's checkpoint: %w", err)
		}
	}
	return func(ctx context.Context) error {
		return tail.Run(ctx, func(entry cdr.Entry) error {
			state, err := json.Marshal(entry.Checkpoint)
			if err != nil {
				return fmt.Errorf("encode the CDR file's checkpoint: %w", err)
			}
			checkpoint := &journal.Checkpoint{Source: sourceCSV, State: state}
			if entry.Err != nil {
				if errors.Is(entry.Err, cdr.ErrMissingColumn) {
					return entry.Err
				}
				a.log.Error("a line of the CDR file cannot be taken", "error", entry.Err)
				return a.journal.SetCheckpoint(checkpoint)
			}
			return a.receive(ctx, &entry.Row, sourceCSV, checkpoint)
		}, nil)
	}, nil
}

// listenAMI takes Cdr events.
func (a *Adapter) listenAMI() (func(context.Context) error, error) {
	password, err := secret(a.config.AMI.SecretFile, a.config.AMI.Secret)
	if err != nil {
		return nil, err
	}
	session := ami.New(ami.Options{Address: a.config.AMI.Address, User: a.config.AMI.User, Secret: password, Events: "cdr"})
	return func(ctx context.Context) error {
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		err := session.Run(ctx, ami.Handler{
			Connected: func(attempt int) { a.log.Info("AMI connected", "attempt", attempt) },
			Lost:      func(err error) { a.log.Warn("AMI lost: CDRs come from the file until it is back", "error", err) },
			Event: func(event ami.Event) {
				if event.Name != "Cdr" {
					return
				}
				row, err := cdr.ParseEvent(event.Get, a.zone)
				if err == nil {
					err = a.receive(ctx, &row, sourceAMI, nil)
				} else if !errors.Is(err, cdr.ErrMissingColumn) {
					a.log.Error("a Cdr event cannot be taken", "error", err)
					return
				}
				if err != nil {
					stop(err)
				}
			},
		})
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			return cause
		}
		return err
	}, nil
}

// observeARI learns precise times, and recordings that ARI made.
func (a *Adapter) observeARI(ctx context.Context, watcher *recording.Watcher) error {
	return a.observer.Run(ctx, ari.Handler{
		Connected: func(attempt int) { a.log.Info("ARI connected", "attempt", attempt) },
		Lost: func(err error) {
			a.log.Warn("ARI lost: times have the CDR's one second until it is back", "error", err)
		},
		Recording: func(done ari.Recording) {
			if watcher != nil && a.config.ARI.Recordings != "" {
				watcher.Finished(ctx, filepath.Join(a.config.ARI.Recordings, filepath.FromSlash(done.File())))
			}
		},
	})
}

// receive takes a row from any source: the first to tell of a leg has it kept
// and closed, every other is compared with it.
func (a *Adapter) receive(ctx context.Context, row *cdr.Row, source string, checkpoint *journal.Checkpoint) error {
	call, details, err := a.newCall(row)
	if err != nil {
		return err
	}
	leg, known, err := a.journal.Receive(&journal.Leg{Call: *call, Details: *details, Source: source}, checkpoint)
	if err != nil {
		return err
	}
	if known {
		a.compare(row, leg, source)
		return nil
	}
	a.log.Debug("leg received", "uniqueid", row.UniqueID, "sequence", row.Sequence, "source", source)
	go func() {
		if a.elsewhere(ctx, leg) {
			return
		}
		if a.observer != nil {
			if times, ended := a.observer.Observe(leg.Call.Leg.UniqueID, observeWait); ended {
				observe(&leg.Call, times)
			}
		}
		a.pairing.leg(ctx, leg)
	}()
	return nil
}

// compare reports what two sources say differently of one leg, by column name.
func (a *Adapter) compare(row *cdr.Row, leg *journal.Leg, source string) {
	differences := verify.CDR(columns(row), &leg.Call, leg.Details.Call)
	if len(differences) == 0 {
		return
	}
	var names []string
	for _, difference := range differences {
		names = append(names, difference.Field)
	}
	a.log.Error("two sources disagree about a leg: the first was anchored", "uniqueid", row.UniqueID, "sequence", row.Sequence, "first", leg.Source, "second", source, "columns", names)
}

// elsewhere asks, for a leg from before this journal's epoch, whether the ledger
// has it by a journal that was lost: its salt is lost too, and anchoring it anew
// would look like another content.
func (a *Adapter) elsewhere(ctx context.Context, leg *journal.Leg) bool {
	if leg.Call.End.UnixMilli() >= a.journal.Epoch() {
		return false
	}
	id := leg.Call.Leg
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		response, err := a.calls.GetCall(asking, &pb.GetCallRequest{
			Msp: a.config.MSP, Pbx: a.config.PBX, Leg: &pb.LegId{Linkedid: id.LinkedID, Uniqueid: id.UniqueID, Sequence: id.Sequence},
		})
		cancel()
		if status.Code(err) == codes.NotFound {
			return false
		}
		if err != nil {
			a.log.Warn("the gateway cannot say whether the ledger has an old leg; asking again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		a.noteElsewhere(leg, response.GetCall().GetRecordJson())
		return true
	}
	return true // stopping: the leg stays unsettled
}

func (a *Adapter) noteElsewhere(leg *journal.Leg, canonical []byte) {
	log := a.log.With("uniqueid", leg.Call.Leg.UniqueID, "sequence", leg.Call.Leg.Sequence)
	var anchored ledger.Record
	if err := ledger.DecodeStrict(canonical, &anchored); err != nil || anchored.Call == nil {
		log.Error("the ledger's record of an old leg cannot be read", "error", err)
		return
	}
	if differences := verify.CDR(verify.CDRFields(&leg.Call, nil), anchored.Call, nil); len(differences) > 0 {
		log.Error("the ledger has other content for an old leg: it was changed on the PBX, or since", "columns", differences)
	} else {
		log.Info("the ledger has an old leg from an earlier epoch")
	}
	if err := a.journal.MarkElsewhere(leg.Call.Leg); err != nil {
		log.Error("the journal could not note it", "error", err)
	}
}
