package adapter

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/asterisk-adapter/recording"
	"github.com/callseal/callseal/chaincode/ledger"
)

const (
	// maxDigesting bounds the files that are read at once.
	maxDigesting = 2
	// growingTries and growingWait bound how long a file that is still written
	// is waited for, after some sign said that it was closed.
	growingTries = 20
	growingWait  = 250 * time.Millisecond
	// unfinishedTries is the same for a file whose header has no lengths and that
	// nobody writes: a crash left it.
	unfinishedTries = 3
)

// quiet is how long a file whose header has no lengths must not have been written to
// before it is taken as a crash's, where the kernel does not say whether somebody has it
// open: only its owner may ask.
const quiet = 10 * time.Minute

// recordingFolders are where recordings come to lie: MixMonitor's, and ARI's.
func (a *Adapter) recordingFolders() []string {
	var folders []string
	if a.config.Recordings.Folder != "" {
		folders = append(folders, a.config.Recordings.Folder)
	}
	if a.config.ARI != nil && a.config.ARI.Recordings != "" && !within(a.config.Recordings.Folder, a.config.ARI.Recordings) {
		folders = append(folders, a.config.ARI.Recordings)
	}
	return folders
}

// watchRecordings makes the watcher; files the journal knows are left out.
func (a *Adapter) watchRecordings() (*recording.Watcher, error) {
	return recording.NewWatcher(recording.Options{
		Folders: a.recordingFolders(), ClosedFolder: a.config.Recordings.Closed,
		Done: func(path string, size int64, modified time.Time) bool {
			file, known, err := a.journal.FileKnown(path)
			return err == nil && known && file.Size == size && file.Modified == modified.UnixNano()
		},
	})
}

// takeRecordings digests what is closed and hands it to the pairing.
func (a *Adapter) takeRecordings(ctx context.Context, watcher *recording.Watcher) error {
	digesting, digestCtx := errgroup.WithContext(ctx)
	digesting.SetLimit(maxDigesting)
	err := watcher.Run(digestCtx, func(closed recording.Closed) error {
		digesting.Go(func() error { return a.takeRecording(digestCtx, watcher, closed) })
		return nil
	})
	return errors.Join(err, digesting.Wait())
}

// origin is what a recording's file is of.
type origin struct {
	uniqueID, method, track string
	// recorded is the channel that ARI saw recorded into it last; empty where it did not.
	recorded string
}

// originOf tells what a file is of: by its name, or by what ARI told when it was begun.
func (a *Adapter) originOf(ctx context.Context, closed *recording.Closed) (origin, error) {
	of := origin{uniqueID: closed.UniqueID, track: recording.TrackOf(closed.Track)}
	ofARI := a.config.ARI != nil && a.config.ARI.Recordings != "" && within(a.config.ARI.Recordings, closed.Path)
	if !ofARI {
		of.method = ari.ByMixMonitor
	}
	for deadline := time.Now().Add(observeWait); ; {
		binding, known, err := a.journal.Binding(closed.Path)
		if err != nil {
			return of, err
		}
		if known {
			of.method, of.recorded = binding.Method, binding.UniqueID
			if of.uniqueID == "" {
				of.uniqueID = binding.UniqueID
			}
		}
		// The file's end may be noticed before ARI's event is.
		if known || !ofARI || closed.Source != recording.CloseWrite || a.observer == nil || time.Now().After(deadline) || !pauseFor(ctx, growingWait/10) {
			return of, nil
		}
	}
}

// bind keeps what a file is of that is being recorded into, unless its name says so.
func (a *Adapter) bind(bound ari.Bound) error {
	path := bound.File
	if bound.Method != ari.ByMixMonitor {
		if a.config.ARI.Recordings == "" {
			return nil
		}
		path = filepath.Join(a.config.ARI.Recordings, filepath.FromSlash(bound.File))
	} else if id, _ := recording.ParseName(path); id == bound.Channel || !within(a.config.Recordings.Folder, path) {
		return nil
	}
	return a.journal.Bind(path, journal.Binding{UniqueID: bound.Channel, Method: bound.Method})
}

func (a *Adapter) takeRecording(ctx context.Context, watcher *recording.Watcher, closed recording.Closed) error {
	if a.config.Consent != nil && within(a.config.Consent.Evidence, closed.Path) {
		return nil // what a party said to the question of consent is no recording of the call
	}
	of, err := a.originOf(ctx, &closed)
	if err != nil {
		return err
	}
	log := a.log.With("uniqueid", of.uniqueID, "sign", string(closed.Source))
	if of.uniqueID == "" {
		a.metrics.recordings.WithLabelValues(recordingUnbound).Inc()
		log.Error("nothing tells which channel a recording is of, and it is not anchored: name it by ${UNIQUEID}, as pbx/ shows, or let the adapter listen to ARI while it is made")
		return nil
	}
	log.Debug("recording closed", "noticed", closed.Noticed)
	for {
		busy, err := a.take(ctx, watcher, &closed, of, log)
		if busy == nil || err != nil {
			return err
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil // stopping: it is told of again at the next start
		}
	}
}

// take digests a file and hands it on, unless that has to wait.
func (a *Adapter) take(ctx context.Context, watcher *recording.Watcher, closed *recording.Closed, of origin, log *slog.Logger) (busy <-chan struct{}, err error) {
	known, _, err := a.journal.FileKnown(closed.Path)
	if err != nil {
		return nil, err
	}
	digests, crash, err := a.digest(ctx, closed, known, log)
	if ctx.Err() != nil {
		return nil, nil //nolint:nilerr,nilnil // stopping: it is told of again at the next start
	}
	if err != nil {
		return nil, a.noRecording(watcher, closed, of, known, err, log)
	}
	sha256 := hex.EncodeToString(digests.SHA256[:])
	switch {
	case known == nil:
	case known.SHA256 == sha256:
		watcher.Acknowledge(*closed)
		return nil, nil //nolint:nilnil // nothing to wait for
	case !digests.Begins[0]:
		// Anchoring it anew would launder the change.
		a.changed(log, known.RecordingID, known.SHA256, sha256)
		return nil, nil //nolint:nilnil // as above
	default:
		log.Info("a recording was appended to: it is the same, in another revision", "recording", known.RecordingID, "revision", known.Revision+1)
		if of.recorded != "" {
			of.uniqueID = of.recorded // it may be another call that was, into the same file
		}
	}
	finished, err := a.finished(closed, of, digests, crash, known)
	if err != nil {
		return nil, err
	}
	finished.done = func() { watcher.Acknowledge(*closed) }
	if known == nil {
		if elsewhere, err := a.recordingElsewhere(ctx, finished); err != nil || elsewhere {
			return nil, err
		}
	}
	if busy, err = a.pairing.recording(ctx, finished); busy != nil || err != nil {
		return busy, err
	}
	a.metrics.recordings.WithLabelValues(recordingDigested).Inc()
	log.Debug("recording digested", "bytes", digests.Bytes)
	return nil, nil //nolint:nilnil // taken
}

// conversation is the linkedid of a channel that has no leg: that of the call in progress,
// else its own uniqueid.
func (a *Adapter) conversation(uniqueID string) string {
	ongoing, err := a.journal.Ongoing()
	if err != nil {
		a.log.Error("the calls in progress are not known", "error", err)
	}
	for _, one := range ongoing {
		if one.Progress.UniqueID == uniqueID {
			return one.Progress.LinkedID
		}
	}
	return uniqueID
}

// changed says that what was anchored is not what is there.
func (a *Adapter) changed(log *slog.Logger, recordingID, anchored, found string) {
	a.metrics.recordings.WithLabelValues(recordingChanged).Inc()
	log.Error("a recording was changed after it was anchored: what was made and what is there now differ", "recording", recordingID, "anchored_sha256", anchored, "found_sha256", found)
}

// noRecording deals with a file that cannot be anchored.
func (a *Adapter) noRecording(watcher *recording.Watcher, closed *recording.Closed, of origin, known *journal.File, why error, log *slog.Logger) error {
	missing, bare := errors.Is(why, recording.ErrMissing), errors.Is(why, recording.ErrNoAudio) || errors.Is(why, recording.ErrEmpty)
	if known != nil && !missing && !errors.Is(why, recording.ErrGrowing) {
		a.changed(log.With("error", why), known.RecordingID, known.SHA256, "")
		return nil
	}
	if missing && closed.Source == recording.Marker {
		// The marker is a channel's, whatever its file is called.
		if has, err := a.journal.HasRecording(of.uniqueID); err != nil || has {
			watcher.Acknowledge(*closed)
			return err
		}
	}
	a.omissions.failed(of.uniqueID, why, filepath.Dir(closed.Path))
	if bare {
		// An unanswered call leaves such a file: there is nothing to prove.
		log.Info("a recording holds no audio and is not anchored", "error", why)
		a.metrics.recordings.WithLabelValues(recordingNoAudio).Inc()
		watcher.Acknowledge(*closed)
		return nil
	}
	a.metrics.recordings.WithLabelValues(recordingFailed).Inc()
	log.Error("a recording cannot be anchored; it is tried again at the next start", "error", why)
	return nil
}

// crash is what a crash did to a file; the zero value is nothing.
type crash struct{ recovered, foundSHA256 string }

// digest reads the file, waiting while someone still writes it, and repairs what a crash
// left. Where the file was anchored before, the first of the digests' Begins says
// whether it was only appended to since.
func (a *Adapter) digest(ctx context.Context, closed *recording.Closed, known *journal.File, log *slog.Logger) (*recording.Digests, crash, error) {
	var earlier []recording.Earlier
	if known != nil {
		earlier = append(earlier, recording.Earlier{Bytes: known.Size, SHA256: known.SHA256})
	}
	remains, err := a.journal.Remains(closed.Path)
	if err != nil {
		return nil, crash{}, err
	}
	if remains != nil {
		earlier = append(earlier, remains.Earlier())
	}
	for try := 1; ; try++ {
		digests, err := recording.Digest(ctx, closed.Path, earlier...)
		tries := 1
		switch {
		case err == nil && remains != nil && digests.Begins[len(earlier)-1]:
			return &digests, crash{ledger.RecoveredRepaired, remains.SHA256}, nil
		case err == nil:
			return &digests, crash{}, nil
		case errors.Is(err, recording.ErrGrowing), errors.Is(err, recording.ErrReplaced):
			tries = growingTries
		case errors.Is(err, recording.ErrUnfinished):
			tries = unfinishedTries
		}
		if try >= tries && errors.Is(err, recording.ErrUnfinished) {
			return a.recover(ctx, closed, known, remains, log)
		}
		if try >= tries || !pauseFor(ctx, growingWait) {
			return nil, crash{}, err
		}
	}
}

// recover repairs a file whose header has no lengths and that nobody writes, or takes it
// as it is where it may not be written to.
func (a *Adapter) recover(ctx context.Context, closed *recording.Closed, known *journal.File, remains *recording.Remains, log *slog.Logger) (*recording.Digests, crash, error) {
	var earlier []recording.Earlier
	if known != nil {
		earlier = append(earlier, recording.Earlier{Bytes: known.Size, SHA256: known.SHA256})
	}
	err := recording.Repair(ctx, closed.Path, remains, func(found *recording.Remains) error {
		remains = found
		return a.journal.KeepRemains(closed.Path, found)
	})
	if err == nil {
		digests, err := recording.Digest(ctx, closed.Path, append(earlier, remains.Earlier())...)
		if err != nil {
			return nil, crash{}, err
		}
		a.metrics.recordings.WithLabelValues(recordingRepaired).Inc()
		log.Warn("a recording that Asterisk did not finish is repaired: its lengths are written into its header, its audio is as it was")
		return &digests, crash{ledger.RecoveredRepaired, remains.SHA256}, nil
	}
	if !errors.Is(err, recording.ErrNotWritable) {
		return nil, crash{}, err
	}
	for {
		digests, foundErr := recording.DigestAsFound(ctx, closed.Path, earlier...)
		if foundErr != nil {
			return nil, crash{}, foundErr
		}
		wait := quiet - time.Since(digests.Modified)
		if digests.Closed || wait <= 0 {
			log.Warn("a recording that Asterisk did not finish cannot be repaired: it is anchored as it was found", "error", err)
			return &digests, crash{recovered: ledger.RecoveredAsFound}, nil
		}
		if !pauseFor(ctx, wait) {
			return nil, crash{}, ctx.Err()
		}
	}
}

// pauseFor waits; false means that the context ended.
func pauseFor(ctx context.Context, wait time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

// finished makes the record of a digested file: a new recording, or another revision of
// the one that the file is known as.
func (a *Adapter) finished(closed *recording.Closed, of origin, digests *recording.Digests, crash crash, known *journal.File) (*finished, error) {
	details := newDetails()
	details.Recording = &ledger.RecordingDetails{File: a.relative(closed.Path)}
	detailsDigest, err := details.Digest()
	if err != nil {
		return nil, err
	}
	made := &finished{
		uniqueID: of.uniqueID,
		recording: ledger.Recording{
			Bytes: digests.Bytes, ClosedAt: ledger.TimeOf(endOf(closed, digests)), DetailsDigest: detailsDigest, FoundSHA256: crash.foundSHA256, ID: randomHex(16),
			MediaType: digests.MediaType, Method: of.method, Recovered: crash.recovered, Revision: 1,
			SHA256: hex.EncodeToString(digests.SHA256[:]), SHA512: hex.EncodeToString(digests.SHA512[:]), Track: of.track,
			Pauses: a.pausesIn(of.uniqueID, closed.Path),
		},
		details: *details,
		file:    journal.File{Path: closed.Path, Size: digests.Bytes, Modified: digests.Modified.UnixNano(), SHA256: hex.EncodeToString(digests.SHA256[:])},
	}
	switch of.track {
	case ledger.TrackStereo:
		made.recording.MediaType = recording.WithChannels(digests.MediaType, 2)
	case ledger.TrackReceived, ledger.TrackTransmitted:
		made.recording.MediaType = recording.WithChannels(digests.MediaType, 1)
	}
	if known != nil {
		made.recording.ID, made.recording.Revision = known.RecordingID, known.Revision+1
		if made.file.Leg = known.Leg; known.Leg.UniqueID == of.uniqueID {
			made.recording.NoCDR = known.NoCDR
		}
	}
	made.file.RecordingID, made.file.Revision = made.recording.ID, made.recording.Revision
	return made, nil
}

// endOf is when a recording ended: its last write, where the adapter noticed only later
// that it was closed. Consent is judged by it.
func endOf(closed *recording.Closed, digests *recording.Digests) time.Time {
	if digests.Modified.Before(closed.Noticed) {
		return digests.Modified
	}
	return closed.Noticed
}

// relative is the file's path within the recording folder.
func (a *Adapter) relative(path string) string {
	for _, folder := range a.recordingFolders() {
		if inside, err := filepath.Rel(folder, path); err == nil && within(folder, path) {
			return inside
		}
	}
	return filepath.Base(path)
}

// recordingElsewhere asks, for a file from before this journal's epoch, whether
// the ledger has it by a journal that was lost.
func (a *Adapter) recordingElsewhere(ctx context.Context, finished *finished) (bool, error) {
	if finished.file.Modified/int64(time.Millisecond) >= a.journal.Epoch() {
		return false, nil
	}
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		response, err := a.recordings.FindRecordings(asking, &pb.FindRecordingsRequest{Sha256: finished.recording.SHA256})
		cancel()
		if err != nil {
			a.log.Warn("the gateway cannot say whether the ledger has an old recording; asking again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		for _, found := range response.GetRecordings() {
			if found.GetPlace().GetMsp() == a.config.MSP && found.GetPlace().GetPbx() == a.config.PBX && found.GetLeg().GetUniqueid() == finished.uniqueID {
				finished.file.RecordingID, finished.file.Revision = found.GetId(), found.GetRevision()
				if err := a.journal.SetFile(&finished.file); err != nil {
					return false, err
				}
				finished.done()
				return true, nil
			}
		}
		return false, nil
	}
	return true, nil
}

// oldRecording deals with a recording whose leg the ledger has from a journal
// that was lost, while it does not have the file as it is: either the recording
// was never anchored, or it was changed since.
func (a *Adapter) oldRecording(ctx context.Context, leg ledger.LegID, finished *finished) {
	a.background.Go(func() {
		if !a.beginAsking(ctx) {
			return // stopping: it is told of again at the next start
		}
		defer func() { <-a.asking }()
		for ctx.Err() == nil {
			asking, cancel := context.WithTimeout(ctx, askTimeout)
			response, err := a.recordings.ListRecordings(asking, &pb.ListRecordingsRequest{Msp: a.config.MSP, Pbx: a.config.PBX, Linkedid: leg.LinkedID})
			cancel()
			if err == nil {
				a.judgeOldRecording(ctx, leg, finished, response.GetRecordings())
				return
			}
			a.log.Warn("the gateway cannot say which recordings an old leg has; asking again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
}

// lastRevision asks for a recording's: it may be of another call, which was recorded into
// the same file.
func (a *Adapter) lastRevision(ctx context.Context, made *ledger.Recording) (*ledger.Recording, error) {
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		response, err := a.recordings.GetRecording(asking, &pb.GetRecordingRequest{Msp: a.config.MSP, Pbx: a.config.PBX, Id: made.ID, Revision: made.Revision + 1})
		cancel()
		if status.Code(err) == codes.NotFound {
			return made, nil
		}
		var record ledger.Record
		if err == nil {
			err = ledger.DecodeStrict(response.GetRecording().GetRecordJson(), &record)
		}
		if err == nil && record.Recording != nil {
			made = record.Recording
			continue
		}
		a.log.Warn("the gateway cannot say which revisions an old recording has; asking again", "error", err)
		pauseFor(ctx, time.Second)
	}
	return nil, ctx.Err()
}

// judgeOldRecording holds a file against what the ledger has of its leg.
func (a *Adapter) judgeOldRecording(ctx context.Context, leg ledger.LegID, finished *finished, anchored []*pb.Recording) {
	log := a.log.With("uniqueid", leg.UniqueID)
	latest := map[string]*ledger.Recording{}
	for _, one := range anchored {
		var record ledger.Record
		if err := ledger.DecodeStrict(one.GetRecordJson(), &record); err != nil || record.Recording == nil {
			log.Error("the ledger's record of an old recording cannot be read", "error", err)
			continue
		}
		made := record.Recording
		if before := latest[made.ID]; made.Leg.UniqueID == leg.UniqueID && (before == nil || before.Revision < made.Revision) {
			latest[made.ID] = made
		}
	}
	for _, made := range latest {
		if accounted, err := a.journal.Accounted(made.ID, finished.file.Path); err != nil || accounted {
			continue // that is another file
		}
		made, err := a.lastRevision(ctx, made)
		if err != nil {
			return // stopping: it is told of again at the next start
		}
		digests, err := recording.DigestAsFound(ctx, finished.file.Path, recording.Earlier{Bytes: made.Bytes, SHA256: made.SHA256})
		if err == nil && digests.Begins[0] {
			log.Info("a recording was appended to: it is the same, in another revision", "recording", made.ID, "revision", made.Revision+1)
			finished.recording.ID, finished.recording.Revision = made.ID, made.Revision+1
			finished.file.RecordingID, finished.file.Revision = made.ID, made.Revision+1
			a.pairing.send(leg, finished)
			return
		}
	}
	for _, made := range latest {
		accounted, err := a.journal.Accounted(made.ID, finished.file.Path)
		sameKind := made.Track == finished.recording.Track && (made.Method == finished.recording.Method || made.Method == "" || finished.recording.Method == "")
		if err == nil && !accounted && sameKind {
			// Anchoring it anew would launder the change.
			a.changed(log, made.ID, made.SHA256, finished.recording.SHA256)
			a.pairing.ended(finished)
			return
		}
	}
	a.pairing.send(leg, finished)
}
