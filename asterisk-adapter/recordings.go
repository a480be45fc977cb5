package adapter

import (
	"context"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	pb "github.com/callseal/callseal/api/callseal/v1"
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

// watchRecordings makes the watcher; files the journal knows are left out.
func (a *Adapter) watchRecordings() (*recording.Watcher, error) {
	folders := []string{a.config.Recordings.Folder}
	return recording.NewWatcher(recording.Options{
		Folders: folders, ClosedFolder: a.config.Recordings.Closed,
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

func (a *Adapter) takeRecording(ctx context.Context, watcher *recording.Watcher, closed recording.Closed) error {
	log := a.log.With("uniqueid", closed.UniqueID, "sign", string(closed.Source))
	if closed.UniqueID == "" {
		log.Warn("a recording's name does not tell its channel: name it by ${UNIQUEID}, as pbx/ shows")
		return nil
	}
	log.Debug("recording closed", "noticed", closed.Noticed)
	digests, err := a.digest(ctx, closed.Path)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // stopping: it is told of again at the next start
	}
	switch {
	case errors.Is(err, recording.ErrNoAudio), errors.Is(err, recording.ErrEmpty):
		// An unanswered call leaves such a file: there is nothing to prove.
		log.Info("a recording holds no audio and is not anchored", "error", err)
		a.metrics.recordings.WithLabelValues(recordingNoAudio).Inc()
		a.omissions.failed(closed.UniqueID, err)
		watcher.Acknowledge(closed)
		return nil
	case err != nil:
		a.metrics.recordings.WithLabelValues(recordingFailed).Inc()
		log.Error("a recording cannot be anchored; it is tried again at the next start", "error", err)
		a.omissions.failed(closed.UniqueID, err)
		return nil
	}
	known, changed, err := a.anchoredBefore(&closed, &digests)
	if err != nil {
		return err
	}
	if changed {
		// Anchoring it anew would launder the change.
		a.metrics.recordings.WithLabelValues(recordingChanged).Inc()
		log.Error("a recording was changed after it was anchored: what was made and what is there now differ", "recording", known.RecordingID, "anchored_sha256", known.SHA256, "found_sha256", hex.EncodeToString(digests.SHA256[:]))
		return nil
	}
	if known != nil {
		watcher.Acknowledge(closed)
		return nil
	}
	finished, err := a.finished(&closed, &digests)
	if err != nil {
		return err
	}
	finished.done = func() { watcher.Acknowledge(closed) }
	if known, err := a.recordingElsewhere(ctx, finished); err != nil || known {
		return err
	}
	a.metrics.recordings.WithLabelValues(recordingDigested).Inc()
	log.Debug("recording digested", "bytes", digests.Bytes)
	return a.pairing.recording(ctx, finished)
}

// digest reads the file, waiting while someone still writes it.
func (a *Adapter) digest(ctx context.Context, path string) (recording.Digests, error) {
	for try := 1; ; try++ {
		digests, err := recording.Digest(ctx, path)
		tries := 1
		switch {
		case errors.Is(err, recording.ErrGrowing):
			tries = growingTries
		case errors.Is(err, recording.ErrUnfinished):
			tries = unfinishedTries
		}
		if try >= tries {
			return digests, err
		}
		select {
		case <-ctx.Done():
			return recording.Digests{}, ctx.Err()
		case <-time.After(growingWait):
		}
	}
}

// anchoredBefore answers what the file was closed into a segment as, nil when it
// was not, and whether its content has changed since.
func (a *Adapter) anchoredBefore(closed *recording.Closed, digests *recording.Digests) (known *journal.File, changed bool, err error) {
	known, found, err := a.journal.FileKnown(closed.Path)
	if err != nil || !found {
		return nil, false, err
	}
	return known, known.SHA256 != hex.EncodeToString(digests.SHA256[:]), nil
}

// finished makes the record of a digested file.
func (a *Adapter) finished(closed *recording.Closed, digests *recording.Digests) (*finished, error) {
	id, revision := randomHex(16), int64(1)
	details := newDetails()
	details.Recording = &ledger.RecordingDetails{File: a.relative(closed.Path)}
	detailsDigest, err := details.Digest()
	if err != nil {
		return nil, err
	}
	method := "mixmonitor"
	if closed.Source == recording.Finished {
		method = "ari-bridge"
	}
	return &finished{
		uniqueID: closed.UniqueID,
		recording: ledger.Recording{
			Bytes: digests.Bytes, ClosedAt: ledger.TimeOf(endOf(closed, digests)), DetailsDigest: detailsDigest, ID: id,
			MediaType: digests.MediaType, Method: method, Revision: revision,
			SHA256: hex.EncodeToString(digests.SHA256[:]), SHA512: hex.EncodeToString(digests.SHA512[:]),
			Pauses: a.pausesIn(closed.UniqueID, closed.Path),
		},
		details: *details,
		file:    journal.File{Path: closed.Path, Size: digests.Bytes, Modified: digests.Modified.UnixNano(), RecordingID: id, Revision: revision, SHA256: hex.EncodeToString(digests.SHA256[:])},
	}, nil
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
	if within, err := filepath.Rel(a.config.Recordings.Folder, path); err == nil && !strings.HasPrefix(within, "..") {
		return within
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
			return
		}
		defer func() { <-a.asking }()
		for ctx.Err() == nil {
			asking, cancel := context.WithTimeout(ctx, askTimeout)
			response, err := a.recordings.ListRecordings(asking, &pb.ListRecordingsRequest{Msp: a.config.MSP, Pbx: a.config.PBX, Linkedid: leg.LinkedID})
			cancel()
			if err == nil {
				a.judgeOldRecording(leg, finished, response.GetRecordings())
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

func (a *Adapter) judgeOldRecording(leg ledger.LegID, finished *finished, anchored []*pb.Recording) {
	for _, recording := range anchored {
		if recording.GetLeg().GetUniqueid() == leg.UniqueID && recording.GetMethod() == finished.recording.Method {
			// Anchoring it anew would launder the change.
			a.metrics.recordings.WithLabelValues(recordingChanged).Inc()
			a.log.Error("a recording was changed after it was anchored: what was made and what is there now differ", "uniqueid", leg.UniqueID,
				"recording", recording.GetId(), "anchored_sha256", recording.GetSha256(), "found_sha256", finished.recording.SHA256)
			return
		}
	}
	a.pairing.emitRecording(leg, finished)
}
