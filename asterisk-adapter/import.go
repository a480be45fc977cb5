package adapter

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/asterisk-adapter/backfill"
	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/asterisk-adapter/recording"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/verify"
)

const (
	sourceImport = "import"
	// maxImporting is how many segments may be under way when an import brings more: the
	// rest of the places is for calls that end now.
	maxImporting = 8
	// importPatience is how long an import waits for the gateway before it says so.
	importPatience = time.Minute
	// importAsk is how many legs of the ledger are asked for at once.
	importAsk = 1000
)

// ImportOptions says what is imported, beside the adapter's configuration.
type ImportOptions struct {
	backfill.Options
	// UseTable takes the configured table of CDRs.
	UseTable bool
}

// Import brings old CDRs and recordings into a PBX's history: by the adapter, where it
// runs, and otherwise by itself, with the adapter's journal and certificate. There is
// never a second writer to the history. What is known is left as it is, so that an import
// that was cut off is run again.
func Import(ctx context.Context, config *Config, options ImportOptions, log *slog.Logger) (*backfill.Summary, error) {
	if options.UseTable {
		if config.CDR.Table == nil {
			return nil, errors.New("the configuration has no cdr.table to import from")
		}
		db, err := config.CDR.Table.open()
		if err != nil {
			return nil, err
		}
		defer db.Close() //nolint:errcheck // it was only read
		zone, err := config.location()
		if err != nil {
			return nil, err
		}
		if config.CDR.Table.UTCTimes {
			zone = time.UTC
		}
		options.Table = &cdr.Table{DB: db, Name: config.CDR.Table.Name, Zone: zone, Refused: refused}
	}
	connection, err := dialControl(ctx, config.StateDir)
	switch {
	case err == nil:
		_ = connection.Close() // it was only tried
		client := backfill.NewClient(func(ctx context.Context) (net.Conn, error) { return dialControl(ctx, config.StateDir) })
		return backfill.Run(ctx, options.Options, client)
	case !errors.Is(err, errNotRunning):
		return nil, err
	}
	return importAlone(ctx, config, options.Options, log)
}

// importAlone imports while no adapter runs.
func importAlone(ctx context.Context, config *Config, options backfill.Options, log *slog.Logger) (summary *backfill.Summary, err error) {
	if _, err := os.Stat(filepath.Join(config.StateDir, journalFile)); options.DryRun && errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no journal in %s yet, so that nothing is known: start the adapter once, or import without a dry run", config.StateDir)
	}
	a, err := open(config, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	working, stop := context.WithCancel(ctx)
	var closing errgroup.Group
	if !options.DryRun {
		closing.Go(func() error {
			defer stop() // without it nothing is ever closed
			return a.closer.run(working)
		})
		if err := a.resumeImport(); err != nil {
			stop()
			return nil, errors.Join(err, closing.Wait())
		}
	}
	summary, err = backfill.Run(working, options, &importer{adapter: a, alone: true})
	if err == nil && !options.DryRun {
		err = a.drained(working)
	}
	stop()
	if closed := closing.Wait(); closed != nil && !errors.Is(closed, context.Canceled) {
		err = errors.Join(closed, err)
	}
	if !options.DryRun {
		a.farewell(context.WithoutCancel(ctx))
	}
	return summary, err
}

// resumeImport closes what an import kept that was cut off.
func (a *Adapter) resumeImport() error {
	legs, err := a.journal.Unsettled()
	if err != nil {
		return err
	}
	for _, leg := range legs {
		if leg.Source == sourceImport {
			a.pairing.imported(leg, func() {})
		}
	}
	return nil
}

// drained waits until all that was closed is on the ledger.
func (a *Adapter) drained(ctx context.Context) error {
	return a.awaitUplink(ctx, 1)
}

// errBehind says that the gateway takes nothing.
var errBehind = errors.New("the gateway has taken nothing for a minute; what was imported so far waits in the adapter's journal: run the import again when the gateway is back")

// awaitUplink waits until fewer segments are under way.
func (a *Adapter) awaitUplink(ctx context.Context, fewer int) error {
	began, least := time.Now(), a.closer.uplink.underway()
	for {
		now := a.closer.uplink.underway()
		if now < fewer {
			return nil
		}
		if now < least {
			began, least = time.Now(), now
		}
		if time.Since(began) > importPatience {
			return errBehind
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// importer takes what an import brings. One batch is taken at a time, so that two
// imports cannot take the same thing.
type importer struct {
	adapter *Adapter
	// alone says that no source is watched.
	alone bool
	mu    sync.Mutex
}

// Legs implements [backfill.Adapter].
func (i *importer) Legs(ctx context.Context, rows []cdr.Row, dry bool) ([]backfill.Result, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	a := i.adapter
	results := make([]backfill.Result, len(rows))
	fresh, at := make([]*journal.Leg, 0, len(rows)), map[ledger.LegID]int{}
	for n := range rows {
		leg, result, err := i.leg(&rows[n])
		if err != nil {
			return nil, err
		}
		if leg != nil {
			if first, twice := at[leg.Call.Leg]; twice {
				result = judge(verify.CDR(rows[n].Columns(), &fresh[first].Call, fresh[first].Details.Call))
			} else {
				at[leg.Call.Leg] = len(fresh)
				fresh = append(fresh, leg)
			}
		}
		results[n] = result
	}
	if len(fresh) == 0 {
		if !dry {
			a.countImported("records", results)
		}
		return results, nil
	}
	anchored, err := i.onLedger(ctx, fresh)
	if err != nil {
		return nil, err
	}
	outcomes := map[ledger.LegID]backfill.Result{}
	for _, leg := range fresh {
		if call, there := anchored[leg.Call.Leg]; there {
			leg.Elsewhere = true
			outcomes[leg.Call.Leg] = judge(verify.CDR(verify.CDRFields(&leg.Call, nil), call, nil))
		}
	}
	for n := range rows {
		id := ledger.LegID{LinkedID: rows[n].LinkedID, UniqueID: rows[n].UniqueID, Sequence: rows[n].Sequence}
		if result, there := outcomes[id]; there && results[n].Outcome == backfill.Imported {
			results[n] = result
		}
	}
	if dry {
		return results, nil
	}
	if err := a.closeImported(ctx, fresh); err != nil {
		return nil, err
	}
	a.countImported("records", results)
	return results, nil
}

func (a *Adapter) countImported(what string, results []backfill.Result) {
	for _, result := range results {
		a.metrics.imported.WithLabelValues(what, string(result.Outcome)).Inc()
	}
}

// leg makes a leg of a row; nil where it is known or cannot be taken.
func (i *importer) leg(row *cdr.Row) (*journal.Leg, backfill.Result, error) {
	a := i.adapter
	if ahead := time.Until(row.End); ahead > maxAhead && !clockAhead(row) {
		return nil, backfill.Result{Outcome: backfill.LeftOut, Reason: fmt.Sprintf("the call ends %s in the future: the time zone is wrong", ahead.Round(time.Second))}, nil
	}
	known, err := a.journal.Known(ledger.LegID{LinkedID: row.LinkedID, UniqueID: row.UniqueID, Sequence: row.Sequence})
	if err != nil {
		return nil, backfill.Result{}, err
	}
	if known != nil {
		return nil, judge(a.differences(row, known)), nil
	}
	call, details, err := a.newCall(row)
	if err != nil {
		return nil, backfill.Result{}, err
	}
	// Of the Asterisk that runs now, and of what was to be recorded then, it tells nothing.
	call.Software, call.Boot, call.RecordingDue, call.Imported = "", 0, false, true
	leg := &journal.Leg{Call: *call, Details: *details, Source: sourceImport, Cut: row.Cut()}
	if _, err := a.closer.fit(&journal.Entry{Call: &leg.Call, Details: leg.Details}); err != nil {
		return nil, backfill.Result{Outcome: backfill.LeftOut, Reason: "it is not fit for the ledger: " + err.Error()}, nil //nolint:nilerr // it is told of
	}
	return leg, backfill.Result{Outcome: backfill.Imported}, nil
}

// differences are what a row says differently of a leg. What one of them had no room for
// is none.
func (a *Adapter) differences(row *cdr.Row, leg *journal.Leg) []verify.Difference {
	cut := append(row.Cut(), leg.Cut...)
	return slices.DeleteFunc(verify.CDR(row.Columns(), &leg.Call, leg.Details.Call), func(d verify.Difference) bool {
		return slices.Contains(cut, d.Field) && cdr.Begins(d.Found, d.Endorsed)
	})
}

// judge says what came of a thing that is known.
func judge(differences []verify.Difference) backfill.Result {
	if len(differences) > 0 {
		return backfill.Result{Outcome: backfill.Differing, Reason: strings.Join(fieldsOf(differences), ", ")}
	}
	return backfill.Result{Outcome: backfill.Known}
}

// closeImported keeps legs and has them closed into segments, and returns when they are.
func (a *Adapter) closeImported(ctx context.Context, legs []*journal.Leg) error {
	if err := a.awaitUplink(ctx, maxImporting); err != nil {
		return err
	}
	fresh, err := a.journal.ReceiveAll(legs)
	if err != nil {
		return err
	}
	var open []*journal.Leg
	for _, leg := range fresh {
		if leg.Elsewhere {
			a.pairing.elsewhere(ctx, leg.Call.Leg)
		} else {
			open = append(open, leg)
		}
	}
	closed := make(chan struct{}, len(open))
	for _, leg := range open {
		a.pairing.imported(leg, func() { closed <- struct{}{} })
	}
	return awaitAll(ctx, closed, len(open))
}

func awaitAll(ctx context.Context, closed <-chan struct{}, count int) error {
	for range count {
		select {
		case <-closed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// onLedger finds the legs that the ledger has, by a journal that was lost: their salts
// are lost too, and anchoring them anew would look like another content.
func (i *importer) onLedger(ctx context.Context, legs []*journal.Leg) (map[ledger.LegID]*ledger.Call, error) {
	from, to := legs[0].Call.Start.Std(), legs[0].Call.Start.Std()
	wanted := make(map[ledger.LegID]bool, len(legs))
	for _, leg := range legs {
		wanted[leg.Call.Leg] = true
		if start := leg.Call.Start.Std(); start.Before(from) {
			from = start
		} else if start.After(to) {
			to = start
		}
	}
	found := map[ledger.LegID]*ledger.Call{}
	request := &pb.SearchCallsRequest{
		Msp: i.adapter.config.MSP, Pbx: i.adapter.config.PBX,
		Start:  &pb.TimeSpan{From: timestamppb.New(from), To: timestamppb.New(to.Add(time.Second))},
		Page:   &pb.PageRequest{PageSize: importAsk, Ascending: true},
		Fields: &fieldmaskpb.FieldMask{Paths: []string{"call.leg", "call.record_json"}},
	}
	for {
		var response *pb.SearchCallsResponse
		err := i.ask(ctx, func(ctx context.Context) (err error) {
			response, err = i.adapter.search.SearchCalls(ctx, request)
			return err
		})
		if status.Code(err) == codes.FailedPrecondition { // the gateway has no index
			return i.onLedgerEach(ctx, legs)
		}
		if err != nil {
			return nil, err
		}
		for _, one := range response.GetCalls() {
			leg := one.GetCall().GetLeg()
			id := ledger.LegID{LinkedID: leg.GetLinkedid(), UniqueID: leg.GetUniqueid(), Sequence: leg.GetSequence()}
			if wanted[id] {
				if err := note(found, id, one.GetCall().GetRecordJson()); err != nil {
					return nil, err
				}
			}
		}
		if request.Page.PageToken = response.GetNextPageToken(); request.Page.PageToken == "" {
			return found, nil
		}
	}
}

func note(found map[ledger.LegID]*ledger.Call, id ledger.LegID, canonical []byte) error {
	var record ledger.Record
	if err := ledger.DecodeStrict(canonical, &record); err != nil {
		return fmt.Errorf("read the ledger's record of a leg: %w", err)
	}
	if record.Call == nil {
		return errors.New("the ledger's record of a leg is of something else")
	}
	found[id] = record.Call
	return nil
}

// onLedgerEach asks for one leg after the other, some at a time.
func (i *importer) onLedgerEach(ctx context.Context, legs []*journal.Leg) (map[ledger.LegID]*ledger.Call, error) {
	found := map[ledger.LegID]*ledger.Call{}
	var mu sync.Mutex
	asking, ctx := errgroup.WithContext(ctx)
	asking.SetLimit(maxAsking)
	for _, leg := range legs {
		asking.Go(func() error {
			id := leg.Call.Leg
			var response *pb.GetCallResponse
			err := i.ask(ctx, func(ctx context.Context) (err error) {
				response, err = i.adapter.calls.GetCall(ctx, &pb.GetCallRequest{
					Msp: i.adapter.config.MSP, Pbx: i.adapter.config.PBX, Leg: &pb.LegId{Linkedid: id.LinkedID, Uniqueid: id.UniqueID, Sequence: id.Sequence},
				})
				return err
			})
			if status.Code(err) == codes.NotFound {
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			return note(found, id, response.GetCall().GetRecordJson())
		})
	}
	if err := asking.Wait(); err != nil {
		return nil, err
	}
	return found, nil
}

// ask asks the gateway until it answers, or for so long.
func (i *importer) ask(ctx context.Context, question func(context.Context) error) error {
	for began := time.Now(); ; {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		err := question(asking)
		cancel()
		switch status.Code(err) {
		case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted:
		default:
			return err
		}
		if time.Since(began) > importPatience || ctx.Err() != nil {
			return fmt.Errorf("the gateway cannot say what the ledger has, run the import again when it can: %s", connect.ProblemOf(err).Message)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// Files implements [backfill.Adapter].
func (i *importer) Files(_ context.Context, files []backfill.File) ([]backfill.Result, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	results := make([]backfill.Result, len(files))
	for n := range files {
		var err error
		if results[n], err = i.file(&files[n]); err != nil {
			return nil, err
		}
	}
	return results, nil
}

func (i *importer) file(file *backfill.File) (backfill.Result, error) {
	a := i.adapter
	known, found, err := a.journal.FileKnown(file.Path)
	if err != nil {
		return backfill.Result{}, err
	}
	if found && known.Size == file.Size && known.Modified == file.Modified.UnixNano() {
		return backfill.Result{Outcome: backfill.Known}, nil
	}
	if watched := a.config.Recordings.Folder; !i.alone && watched != "" && within(watched, file.Path) {
		return backfill.Result{Outcome: backfill.Watched}, nil
	}
	legs, err := a.journal.ByUniqueID(file.UniqueID)
	if err != nil {
		return backfill.Result{}, err
	}
	if len(legs) == 0 {
		return backfill.Result{Outcome: backfill.LeftOut, Reason: "no record of its call is known: import the file or table of CDRs that has it"}, nil
	}
	return backfill.Result{Outcome: backfill.Wanted}, nil
}

// within says whether a file lies below a folder.
func within(folder, path string) bool {
	relative, err := filepath.Rel(folder, path)
	return err == nil && relative != ".." && !strings.HasPrefix(relative, ".."+string(filepath.Separator))
}

// Recordings implements [backfill.Adapter].
func (i *importer) Recordings(ctx context.Context, recordings []backfill.Recording) ([]backfill.Result, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	a := i.adapter
	if err := a.awaitUplink(ctx, maxImporting); err != nil {
		return nil, err
	}
	results := make([]backfill.Result, len(recordings))
	closed, count := make(chan struct{}, len(recordings)), 0
	var mu sync.Mutex
	asking, asked := errgroup.WithContext(ctx)
	asking.SetLimit(maxAsking)
	for n := range recordings {
		asking.Go(func() error {
			made, result, err := i.recording(asked, &recordings[n])
			if err != nil {
				return err
			}
			results[n] = result
			if made == nil {
				return nil
			}
			made.done = func() { closed <- struct{}{} }
			mu.Lock()
			defer mu.Unlock()
			count++
			return i.pair(ctx, made)
		})
	}
	if err := asking.Wait(); err != nil {
		return nil, err
	}
	if err := awaitAll(ctx, closed, count); err != nil {
		return nil, err
	}
	a.countImported("recordings", results)
	return results, nil
}

// recording makes the record of a recording; nil where it is known or cannot be taken.
func (i *importer) recording(ctx context.Context, brought *backfill.Recording) (*finished, backfill.Result, error) {
	a := i.adapter
	result, err := i.file(&brought.File)
	if err != nil || result.Outcome != backfill.Wanted {
		return nil, result, err
	}
	known, found, err := a.journal.FileKnown(brought.Path)
	switch {
	case err != nil:
		return nil, backfill.Result{}, err
	case found && known.SHA256 != brought.SHA256:
		return nil, backfill.Result{Outcome: backfill.Differing, Reason: "the recording was changed after it was anchored"}, nil
	case found:
		return nil, backfill.Result{Outcome: backfill.Known}, nil
	}
	digests := recording.Digests{Bytes: brought.Size, Modified: brought.Modified, MediaType: brought.MediaType}
	if err := errors.Join(decodeHex(digests.SHA256[:], brought.SHA256), decodeHex(digests.SHA512[:], brought.SHA512)); err != nil {
		return nil, backfill.Result{Outcome: backfill.LeftOut, Reason: err.Error()}, nil //nolint:nilerr // it is told of
	}
	_, word := recording.ParseName(brought.Path)
	of := origin{uniqueID: brought.UniqueID, method: ari.ByMixMonitor, track: recording.TrackOf(word)}
	// The file was closed when it was last written, as far as anybody can tell now.
	made, err := a.finished(&recording.Closed{Path: brought.Path, UniqueID: brought.UniqueID, Size: brought.Size, Modified: brought.Modified, Source: recording.Found, Noticed: brought.Modified}, of, &digests, crash{}, nil)
	if err != nil {
		return nil, backfill.Result{}, err
	}
	made.recording.Imported = true
	return i.unlessOnLedger(ctx, made)
}

// unlessOnLedger leaves a recording out that the ledger has, by a journal that was lost,
// or by another file of the same content.
func (i *importer) unlessOnLedger(ctx context.Context, made *finished) (*finished, backfill.Result, error) {
	a := i.adapter
	legs, err := a.journal.ByUniqueID(made.uniqueID)
	if err != nil {
		return nil, backfill.Result{}, err
	}
	leg := recordedLeg(legs)
	var response *pb.ListRecordingsResponse
	err = i.ask(ctx, func(ctx context.Context) (err error) {
		response, err = a.recordings.ListRecordings(ctx, &pb.ListRecordingsRequest{Msp: a.config.MSP, Pbx: a.config.PBX, Linkedid: leg.Call.Leg.LinkedID})
		return err
	})
	if err != nil {
		return nil, backfill.Result{}, err
	}
	var other *pb.Recording
	for _, anchored := range response.GetRecordings() {
		if anchored.GetLeg().GetUniqueid() != made.uniqueID {
			continue
		}
		if anchored.GetSha256() == made.recording.SHA256 {
			made.file.RecordingID, made.file.Revision = anchored.GetId(), anchored.GetRevision()
			return nil, backfill.Result{Outcome: backfill.Known}, a.journal.SetFile(&made.file)
		}
		var record ledger.Record
		if err := ledger.DecodeStrict(anchored.GetRecordJson(), &record); err != nil || record.Recording == nil || record.Recording.Track == made.recording.Track {
			other = anchored
		}
	}
	if other != nil {
		// Anchoring it beside would launder the change.
		return nil, backfill.Result{Outcome: backfill.Differing, Reason: "it has another recording of the channel, and this is not that one"}, nil
	}
	return made, backfill.Result{Outcome: backfill.Imported}, nil
}

// pair brings a recording to its leg.
func (i *importer) pair(ctx context.Context, made *finished) error {
	legs, err := i.adapter.journal.ByUniqueID(made.uniqueID)
	if err != nil {
		return err
	}
	if leg := recordedLeg(legs); leg.Elsewhere {
		i.adapter.pairing.send(leg.Call.Leg, made)
		return nil
	}
	for {
		busy, err := i.adapter.pairing.recording(ctx, made)
		if busy == nil {
			return err
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func decodeHex(to []byte, text string) error {
	read, err := hex.DecodeString(text)
	if err != nil || len(read) != len(to) {
		return fmt.Errorf("a digest has %d bytes in hexadecimal", len(to))
	}
	copy(to, read)
	return nil
}
