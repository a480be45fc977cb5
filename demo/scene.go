package demo

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/asterisk-adapter/lab/sample"
)

// callLength is how long the demo's caller talks.
const callLength = 3 * time.Second

// otherHz is the tone of the second call's caller, in hertz.
const otherHz = 660

// scene is two calls that were recorded and anchored, and where their files lie.
type scene struct {
	csv        string
	recordings string
	// calls are the two, the first being the one that is proved.
	calls []anchored
	// disclosure is what the owner disclosed of the first, once.
	disclosure [][]byte
	adapter    *adapterProcess
}

// startPBX starts an Asterisk with its phones, and the owner's adapter beside it.
func (s *show) startPBX(ctx context.Context, installation *lab.Installation) (*lab.Asterisk, *scene, error) {
	asterisk, err := installation.Start(ctx, lab.Options{Dir: filepath.Join(s.folder, "pbx")})
	if err != nil {
		return nil, nil, fmt.Errorf("start Asterisk: %w", err)
	}
	s.stops = append(s.stops, func(context.Context) error { asterisk.Stop(); return nil })
	version, err := asterisk.Command(ctx, "core show version")
	if err != nil {
		return nil, nil, fmt.Errorf("ask Asterisk: %w", err)
	}
	version, _, _ = strings.Cut(strings.TrimSpace(version), " built by")
	s.say("%s on %s", version, asterisk.IP())
	where := &scene{csv: asterisk.CSV(), recordings: asterisk.RecordingDir()}
	where.adapter, err = s.startAdapter(ctx, map[string]any{
		"cdr":        map[string]any{"csv": asterisk.CSV()},
		"ami":        map[string]any{"address": asterisk.AMI(), "user": "callseal", "secret": asterisk.Secret()},
		"ari":        map[string]any{"url": asterisk.ARI(), "user": "callseal", "password": asterisk.Secret()},
		"recordings": map[string]any{"folder": asterisk.RecordingDir(), "closed": asterisk.ClosedDir(), "due": "answered"},
	})
	if err != nil {
		return nil, nil, err
	}
	s.say("adapter of %s's PBX %s running", s.owner.Name, s.owner.PBXs[0])
	if err := asterisk.RegisterPhones(ctx); err != nil {
		return nil, nil, fmt.Errorf("register the phones: %w", err)
	}
	s.say("two SIPp phones registered")
	return asterisk, where, nil
}

// liveScene has a real Asterisk record two calls between SIPp's phones.
func (s *show) liveScene(ctx context.Context, installation *lab.Installation) (*scene, error) {
	asterisk, where, err := s.startPBX(ctx, installation)
	if err != nil {
		return nil, err
	}
	s.title("Place two calls of %s from phone to phone, with two tones, recorded by MixMonitor", callLength)
	// Two tones of the caller's, or the two recordings could be the same.
	for _, tone := range []int{lab.CallerHz, otherHz} {
		report, err := asterisk.PlaceCall(ctx, lab.Call{Duration: callLength, ToneHz: tone})
		if err != nil {
			return nil, fmt.Errorf("place a call: %w", err)
		}
		call, err := where.adapter.next(ctx)
		if err != nil {
			return nil, err
		}
		where.calls = append(where.calls, call)
		s.say("call %s: answered, hung up, committed %d ms after the phone sent BYE", call.LinkedID, call.CommittedAt.Sub(report.HungUp).Milliseconds())
		s.sayCommit(call)
	}
	return where, nil
}

// bundledScene anchors the two calls that the lab recorded once.
func (s *show) bundledScene(ctx context.Context) (*scene, error) {
	where := &scene{csv: filepath.Join(s.folder, "pbx", "log", "cdr-csv", "Master.csv"), recordings: filepath.Join(s.folder, "pbx", "spool", "monitor")}
	for _, folder := range []string{where.recordings, filepath.Dir(where.csv)} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, fmt.Errorf("lay the bundled calls out: %w", err)
		}
	}
	err := fs.WalkDir(sample.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		target := filepath.Join(where.recordings, filepath.Base(name))
		if filepath.Ext(name) == ".csv" {
			target = where.csv
		}
		content, err := fs.ReadFile(sample.Files, name)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o600)
	})
	if err != nil {
		return nil, fmt.Errorf("lay the bundled calls out: %w", err)
	}
	s.title("Start the adapter of %s's PBX %s on their CDR file and recordings", s.owner.Name, s.owner.PBXs[0])
	where.adapter, err = s.startAdapter(ctx, map[string]any{
		"cdr":        map[string]any{"csv": where.csv},
		"recordings": map[string]any{"folder": where.recordings, "due": "answered"},
	})
	if err != nil {
		return nil, err
	}
	for range 2 {
		call, err := where.adapter.next(ctx)
		if err != nil {
			return nil, err
		}
		where.calls = append(where.calls, call)
		s.say("call %s", call.LinkedID)
		s.sayCommit(call)
	}
	slices.SortFunc(where.calls, func(a, b anchored) int { return strings.Compare(a.LinkedID, b.LinkedID) })
	return where, nil
}

func (s *show) sayCommit(call anchored) {
	s.say("  transaction %s", call.Transaction)
	s.say("  block %d, endorsed by %s; recording SHA-256 %s…", call.Block, strings.Join(call.Endorsers, " and "), call.Recordings[0][:16])
}

// wav is the file of a call's recording.
func (w *scene) wav(call anchored) string {
	return filepath.Join(w.recordings, call.UniqueID+".wav")
}
