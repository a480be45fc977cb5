package adapter

import (
	"context"
	"os"
	"path/filepath"
	"time"

	libari "github.com/CyCoreSystems/ari/v6"

	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/asterisk-adapter/conversation"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/asterisk-adapter/recording"
)

// observeWait is how long a leg waits at most for ARI's last word on its channel. It
// comes within milliseconds of the CDR, later where the PBX is busy.
const observeWait = 2 * time.Second

// observeARI learns precise times, and recordings that ARI made.
func (a *Adapter) observeARI(ctx context.Context, watcher *recording.Watcher) error {
	return a.observer.Run(ctx, ari.Handler{
		Connected: func(attempt int, there ari.Listing) {
			found, err := a.askRunning(ctx)
			if err != nil {
				a.log.Warn("Asterisk's version is unknown: calls are anchored without it", "error", err)
			}
			a.software.set(found)
			a.stands(sourceARI, nil)
			a.log.Info("ARI connected", "attempt", attempt, "software", found.version, "started", found.started,
				"channels", len(there.Channels), "bridges", len(there.Bridges), "stored_recordings", len(there.Stored))
			if a.devices != nil {
				a.devices.Connected()
			}
			if a.progress != nil {
				a.progress.connected(there.Channels)
			}
			if watcher != nil && a.config.ARI.Recordings != "" {
				a.background.Go(func() { a.takeStored(ctx, watcher, there.Stored) })
			}
		},
		Lost: func(err error) {
			a.software.forget()
			if a.progress != nil {
				a.progress.lost()
			}
			a.stands(sourceARI, err)
			a.log.Warn("ARI lost: times have the CDR's one second until it is back", "error", err)
		},
		Bound: func(bound ari.Bound) {
			if err := a.bind(bound); err != nil {
				a.log.Error("the journal could not keep whose a recording is", "uniqueid", bound.Channel, "error", err)
			}
		},
		Recording: func(done ari.Recording) {
			if watcher != nil && a.config.ARI.Recordings != "" && !a.isEvidence(done.Name) {
				watcher.Finished(ctx, a.fileOf(done))
			}
		},
		Failed: func(failed ari.Recording) {
			a.metrics.recordings.WithLabelValues(recordingNone).Inc()
			// The state is Asterisk's; the name may be a caller's.
			a.log.Error("a recording of an ARI application came to nothing: if one was due, its omission is anchored", "state", failed.State)
		},
		Event: func(event libari.Event) {
			if a.devices != nil {
				a.devices.Event(event)
			}
			if a.progress != nil {
				a.progress.event(event)
			}
			// Where AMI tells of a channel's end it has told of all before it.
			if happened, is := conversation.FromARI(event); is && (a.config.AMI == nil || !happened.Ends()) {
				a.conversations.take(&happened)
			}
		},
	})
}

// fileOf is where an ARI recording lies.
func (a *Adapter) fileOf(of ari.Recording) string {
	return filepath.Join(a.config.ARI.Recordings, filepath.FromSlash(of.File()))
}

// takeStored takes the ARI recordings that were finished while nobody listened. What the
// journal knows as it is, and what is still being written, is left alone.
func (a *Adapter) takeStored(ctx context.Context, watcher *recording.Watcher, stored []ari.Recording) {
	taken := 0
	for _, one := range stored {
		if a.isEvidence(one.Name) {
			continue
		}
		path := a.fileOf(one)
		info, err := os.Lstat(path)
		if err != nil {
			continue // discarded since
		}
		file, known, err := a.journal.FileKnown(path)
		if err != nil || known && file.Size == info.Size() && file.Modified == info.ModTime().UnixNano() {
			continue
		}
		live, err := a.observer.Live(ctx, one.Name)
		if err != nil {
			return // the connection is lost: they are listed again when it is back
		}
		if !live {
			watcher.Finished(ctx, path)
			taken++
		}
	}
	if taken > 0 {
		a.log.Info("recordings of ARI applications that finished unseen are taken", "count", taken)
	}
}

// observeLeg adds what ARI saw of a leg's channel.
func (a *Adapter) observeLeg(ctx context.Context, leg *journal.Leg) {
	// Of a channel that was gone when the adapter started, ARI says nothing.
	if a.observer == nil || leg.Call.End.Std().Before(a.started.Truncate(time.Second)) {
		return
	}
	times, ended := a.observer.Observe(ctx, leg.Call.Leg.UniqueID, leg.Call.End.Std(), observeWait)
	observe(&leg.Call, times)
	if !ended {
		a.log.Warn("ARI did not tell a channel's end: what it did not tell has the CDR's one second", "uniqueid", leg.Call.Leg.UniqueID)
	}
}
