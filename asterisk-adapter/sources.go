package adapter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/ami"
	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/conversation"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/asterisk-adapter/recording"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/verify"
)

const (
	sourceCSV   = "csv"
	sourceTable = "table"
	sourceAMI   = "ami"
	// askTimeout bounds a question to the gateway at the start of an epoch, and
	// maxAsking is how many are asked at once.
	askTimeout = 10 * time.Second
	maxAsking  = 8
	// maxAhead is what clocks may differ by; time zones differ by more.
	maxAhead = 14 * time.Minute
)

// sources are the parts that watch Asterisk, as configured.
func (a *Adapter) sources() ([]func(context.Context) error, error) {
	var parts []func(context.Context) error
	a.standings.expect(peerGateway)
	if a.config.CDR.CSV != "" {
		part, err := a.followCSV()
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	if a.config.CDR.Table != nil {
		part, err := a.followTable()
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
	if len(a.recordingFolders()) > 0 {
		var err error
		if watcher, err = a.watchRecordings(); err != nil {
			return nil, err
		}
		a.standings.up(sourceRecordings) // the folders are watched
		parts = append(parts, func(ctx context.Context) error { return a.takeRecordings(ctx, watcher) })
	}
	if a.observer != nil {
		a.standings.expect(sourceARI)
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
	tail := &cdr.Tail{Path: a.config.CDR.CSV, Zone: a.zoneOf(sourceCSV)}
	if len(stored) > 0 {
		if err := json.Unmarshal(stored, &tail.From); err != nil {
			return nil, fmt.Errorf("read the CDR file's checkpoint: %w", err)
		}
	}
	a.standings.expect(sourceCSV)
	return func(ctx context.Context) error {
		return tail.Run(ctx, func(entry cdr.Entry) error {
			state, err := json.Marshal(entry.Checkpoint)
			if err != nil {
				return fmt.Errorf("encode the CDR file's checkpoint: %w", err)
			}
			checkpoint := &journal.Checkpoint{Source: sourceCSV, State: state}
			if entry.Err != nil {
				if errors.Is(entry.Err, cdr.ErrMissingColumn) {
					return fmt.Errorf("%w, then rotate %s: its old lines stay as they are", entry.Err, a.config.CDR.CSV)
				}
				a.log.Error("a line of the CDR file cannot be taken", "error", entry.Err)
				a.metrics.unfit.WithLabelValues(sourceCSV).Inc()
				return a.journal.SetCheckpoint(checkpoint)
			}
			return a.receive(ctx, &entry.Row, sourceCSV, checkpoint)
		}, func() { a.stands(sourceCSV, nil) })
	}, nil
}

// zoneOf is the zone of a source's times.
func (a *Adapter) zoneOf(source string) *time.Location {
	if source == sourceCSV && !a.config.CDR.LocalTimes || source == sourceTable && a.config.CDR.Table.UTCTimes {
		return time.UTC
	}
	return a.zone
}

// listenAMI takes Cdr events.
func (a *Adapter) listenAMI() (func(context.Context) error, error) {
	password, err := secret(a.config.AMI.SecretFile, a.config.AMI.Secret)
	if err != nil {
		return nil, err
	}
	a.manager = ami.New(ami.Options{Address: a.config.AMI.Address, User: a.config.AMI.User, Secret: password, Events: "cdr," + conversation.AMIClasses})
	a.standings.expect(sourceAMI)
	return func(ctx context.Context) error {
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		err := a.manager.Run(ctx, ami.Handler{
			Connected: func(attempt int) {
				a.stands(sourceAMI, nil)
				a.log.Info("AMI connected", "attempt", attempt)
			},
			Lost: func(err error) {
				a.conversations.heard(false)
				a.stands(sourceAMI, err)
				a.log.Warn("AMI lost: CDRs come from the other sources until it is back", "error", err)
			},
			Event: func(event ami.Event) {
				if event.Name != "Cdr" {
					happened := conversation.FromAMI(&event)
					for i := range happened {
						a.conversations.heard(true)
						a.conversations.take(&happened[i])
					}
					return
				}
				row, err := cdr.ParseEvent(event.Get, a.zoneOf(sourceAMI))
				if err == nil {
					err = a.receive(ctx, &row, sourceAMI, nil)
				} else if !errors.Is(err, cdr.ErrMissingColumn) {
					a.log.Error("a Cdr event cannot be taken", "error", err)
					a.metrics.unfit.WithLabelValues(sourceAMI).Inc()
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

// receive takes a row from any source: the first to tell of a leg has it kept
// and closed, every other is compared with it.
func (a *Adapter) receive(ctx context.Context, row *cdr.Row, source string, checkpoint *journal.Checkpoint) error {
	// Nothing is kept of a row in another zone: it is read again once that is right.
	ahead := time.Until(row.End)
	if ahead > maxAhead && !clockAhead(row) {
		return fmt.Errorf("a call of the %s ends %s in the future, so its times are not in %s: set timezone, cdr.local_times and cdr.table.utc_times to what Asterisk uses, or its clock right", source, ahead.Round(time.Second), a.zoneOf(source))
	}
	call, details, err := a.newCall(row)
	if err != nil {
		return err
	}
	leg, known, err := a.journal.Receive(&journal.Leg{Call: *call, Details: *details, Source: source, Cut: row.Cut()}, checkpoint)
	if err != nil {
		return err
	}
	a.metrics.told(source, row.End, known)
	if known {
		return a.disagreements.compare(row, leg, source)
	}
	if a.devices != nil {
		a.devices.Call(row.UniqueID, row.Channel)
	}
	if ahead > maxAhead {
		a.log.Warn("Asterisk's clock runs ahead: the call stands as Asterisk tells it", "uniqueid", row.UniqueID, "ahead", ahead.Round(time.Second))
	}
	a.log.Debug("leg received", "uniqueid", row.UniqueID, "sequence", row.Sequence, "source", source)
	a.settle(ctx, leg)
	return nil
}

// clockAhead says whether a row from the future is so because Asterisk's clock runs
// ahead, and not because its zone is another: then the channel's creation, which has no
// zone, together with how long the call took lies ahead too.
func clockAhead(row *cdr.Row) bool {
	created, known := row.Created()
	return known && time.Until(created.Add(row.End.Sub(row.Start))) > maxAhead
}

// settle sees to a leg that is in the journal and not closed: unless the ledger
// has it already, ARI's times are added and it goes to the pairing. It returns at
// once but for legs from before the epoch, of which there may be a million.
func (a *Adapter) settle(ctx context.Context, leg *journal.Leg) {
	if leg.Source == sourceImport {
		a.pairing.imported(leg, func() {}) // the ledger was asked before it was kept
		return
	}
	old := leg.Call.End.UnixMilli() < a.journal.Epoch()
	if old && !a.beginAsking(ctx) {
		return // stopping: the leg stays unsettled
	}
	a.background.Go(func() {
		if old {
			elsewhere := a.elsewhere(ctx, leg)
			<-a.asking
			if elsewhere || ctx.Err() != nil {
				return
			}
		}
		a.observeLeg(ctx, leg)
		if err := a.enrich(ctx, leg); err != nil {
			a.log.Error("what is known beside the record cannot be added to a leg", "error", err, "uniqueid", leg.Call.Leg.UniqueID)
		}
		a.pairing.leg(ctx, leg)
	})
}

// beginAsking takes one of the slots for questions; give it back by receiving
// from a.asking.
func (a *Adapter) beginAsking(ctx context.Context) bool {
	select {
	case a.asking <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// fieldsOf are the columns that differ, without their values: those may be
// personal.
func fieldsOf(differences []verify.Difference) []string {
	var names []string
	for _, difference := range differences {
		names = append(names, difference.Field)
	}
	return names
}

// elsewhere asks, for a leg from before this journal's epoch, whether the ledger
// has it by a journal that was lost: its salt is lost too, and anchoring it anew
// would look like another content. It is true also when the adapter is stopping.
func (a *Adapter) elsewhere(ctx context.Context, leg *journal.Leg) bool {
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
		a.pairing.elsewhere(ctx, id)
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
		log.Error("the ledger has other content for an old leg: it was changed on the PBX, or since", "columns", fieldsOf(differences))
	} else {
		log.Info("the ledger has an old leg from an earlier epoch")
	}
	if err := a.journal.MarkElsewhere(leg.Call.Leg); err != nil {
		log.Error("the journal could not note it", "error", err)
	}
}
