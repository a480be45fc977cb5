package adapter

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/callseal/callseal/asterisk-adapter/ami"
	"github.com/callseal/callseal/asterisk-adapter/pause"
	"github.com/callseal/callseal/chaincode/ledger"
)

const (
	// mixWithin bounds what is done to a conversation's recordings.
	mixWithin = 5 * time.Second
	// pausedVariable tells the dialplan that the recordings are mute.
	pausedVariable = "CALLSEAL_PAUSED"
)

// Labels of mixerCounts.pauses.
const (
	pauseBegun   = "begun"
	pauseAlarmed = "alarmed"
	pauseHeard   = "not silent"
)

// mixer mutes and ends recordings, and knows when they were mute.
type mixer struct {
	session *ami.Session
	pauses  *pause.Keeper
	// forbidden says that a call may not be recorded any more.
	forbidden func(linkedID string) bool
	stands    func(error)
	counts    *mixerCounts
	log       *slog.Logger
	acting    sync.WaitGroup
}

// mixerCounts are what is counted of recordings that are asked for, paused or ended.
type mixerCounts struct {
	statements, consents, pauses *prometheus.CounterVec
	ended                        prometheus.Counter
}

func newMixerCounts(registry prometheus.Registerer) *mixerCounts {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "callseal_adapter_" + name, Help: help}, labels)
		registry.MustRegister(v)
		return v
	}
	counts := &mixerCounts{
		statements: counters("consent_statements_total", "What parties said of their calls' recording, by what they said and how.", "status", "method"),
		consents:   counters("consents_total", "Statements of consent, by what came of them, and calls that could not be asked.", "outcome"),
		pauses:     counters("pauses_total", "Pauses of recordings, by what became of them.", "outcome"),
		ended:      prometheus.NewCounter(prometheus.CounterOpts{Name: "callseal_adapter_recordings_ended_total", Help: "Recordings that the adapter ended because consent was withdrawn."}),
	}
	registry.MustRegister(counts.ended)
	return counts
}

// openMixer opens what acting on recordings takes, as configured.
func (a *Adapter) openMixer() error {
	config := a.config.Control
	if config == nil {
		return nil
	}
	password, err := secret(config.SecretFile, config.Secret)
	if err != nil {
		return err
	}
	keeper, err := pause.Open(filepath.Join(a.config.StateDir, "pauses.db"), a.log)
	if err != nil {
		return err
	}
	counts := newMixerCounts(a.metrics.registry)
	keeper.Alarm = a.config.Recordings.pauseAlarm
	keeper.Began = func() { counts.pauses.WithLabelValues(pauseBegun).Inc() }
	keeper.Alarmed = func() { counts.pauses.WithLabelValues(pauseAlarmed).Inc() }
	a.metrics.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "callseal_adapter_paused_recordings", Help: "Recordings that are paused now."},
		func() float64 { return float64(keeper.Going()) }))
	a.mixer = &mixer{
		session: ami.New(ami.Options{Address: config.Address, User: config.User, Secret: password, Events: "call,user"}),
		pauses:  keeper, forbidden: func(string) bool { return false }, stands: func(err error) { a.stands(sourceMixer, err) },
		counts: counts, log: a.log,
	}
	a.standings.expect(sourceMixer)
	return a.openConsents()
}

func (a *Adapter) closeMixer() error {
	if a.mixer == nil {
		return nil
	}
	return errors.Join(a.mixer.pauses.Close(), a.closeConsents())
}

// mixing are the parts that act on recordings.
func (a *Adapter) mixing() []func(context.Context) error {
	if a.mixer == nil {
		return nil
	}
	return append([]func(context.Context) error{a.mixer.run, a.mixer.pauses.Run}, a.asks()...)
}

// run keeps the session until the context ends.
func (m *mixer) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer m.acting.Wait()
	err := m.session.Run(ctx, ami.Handler{
		Connected: func(attempt int) {
			m.stands(nil)
			m.log.Info("AMI connected for control", "attempt", attempt)
			m.acting.Go(func() {
				if err := m.reconcile(ctx); err != nil {
					m.log.Warn("what became of recordings while AMI was away is not known", "error", err)
				}
			})
		},
		Lost: func(err error) {
			m.stands(err)
			m.log.Warn("AMI lost for control: recordings can neither be paused nor ended until it is back", "error", err)
		},
		Event: func(event ami.Event) {
			if err := m.take(ctx, event); err != nil {
				stop(err)
			}
		},
	})
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// take takes an event. What needs an answer of Asterisk's is done aside.
func (m *mixer) take(ctx context.Context, event ami.Event) error {
	told, known := pause.ParseEvent(event.Name, event.Get, event.Received)
	if !known {
		return nil
	}
	switch {
	case told.Kind == pause.PauseKey, told.Kind == pause.ResumeKey:
		m.acting.Go(func() { m.mute(ctx, &told, told.Kind == pause.PauseKey) })
	case told.Kind == pause.Started && m.forbidden(told.LinkedID):
		m.acting.Go(func() { m.end(ctx, told.LinkedID) })
	}
	return m.pauses.Take(&told)
}

// conversation are the names of the channels of a call.
func (m *mixer) conversation(ctx context.Context, linkedID string) ([]string, error) {
	listed, err := m.session.List(ctx, "Status")
	var names []string
	for _, event := range listed {
		if of, _ := event.Get("Linkedid"); of == linkedID {
			name, _ := event.Get("Channel")
			names = append(names, name)
		}
	}
	return names, err
}

// mute makes every recording of a conversation mute, or not any more, and tells the
// dialplan so. A channel that is not recorded refuses.
func (m *mixer) mute(ctx context.Context, key *pause.Event, on bool) {
	ctx, cancel := context.WithTimeout(ctx, mixWithin)
	defer cancel()
	log := m.log.With("uniqueid", key.UniqueID)
	channels, err := m.conversation(ctx, key.LinkedID)
	if err != nil {
		log.Error("a recording could not be paused or let go on", "pause", on, "error", err)
		return
	}
	state, muted := map[bool]string{true: "1", false: "0"}[on], 0
	for _, channel := range channels {
		_, err := m.session.Action(ctx, "MixMonitorMute", ami.Header{Name: "Channel", Value: channel}, ami.Header{Name: "Direction", Value: "both"}, ami.Header{Name: "State", Value: state})
		switch {
		case err == nil:
			muted++
		case !errors.Is(err, ami.ErrAction):
			log.Error("a recording could not be paused or let go on", "pause", on, "error", err)
		}
	}
	if muted == 0 {
		log.Warn("somebody pressed the key for pauses, and nothing is recorded", "pause", on)
		return
	}
	if _, err := m.session.Action(ctx, "Setvar", ami.Header{Name: "Channel", Value: key.Channel}, ami.Header{Name: "Variable", Value: pausedVariable}, ami.Header{Name: "Value", Value: state}); err != nil {
		log.Warn("the dialplan could not be told of a pause: it ends the recording", "error", err)
	}
}

// end ends every recording of a conversation. Where it cannot now, reconcile does.
func (m *mixer) end(ctx context.Context, linkedID string) {
	ctx, cancel := context.WithTimeout(ctx, mixWithin)
	defer cancel()
	log := m.log.With("linkedid", linkedID)
	channels, err := m.conversation(ctx, linkedID)
	if err != nil {
		log.Error("consent was withdrawn and the recording could not be ended; it is when AMI is back", "error", err)
		return
	}
	for _, channel := range channels {
		_, err := m.session.Action(ctx, "StopMixMonitor", ami.Header{Name: "Channel", Value: channel})
		switch {
		case err == nil:
			m.counts.ended.Inc()
			log.Info("consent was withdrawn: the recording was ended")
		case !errors.Is(err, ami.ErrAction): // else it is not recorded
			log.Error("consent was withdrawn and the recording could not be ended; it is when AMI is back", "error", err)
		}
	}
}

// reconcile does what could not be done, or was not seen, while there was no
// connection.
func (m *mixer) reconcile(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, mixWithin)
	defer cancel()
	listed, err := m.session.List(ctx, "Status")
	if err != nil {
		return err
	}
	up, conversations := map[string]bool{}, map[string]bool{}
	for _, event := range listed {
		uniqueID, _ := event.Get("Uniqueid")
		linkedID, _ := event.Get("Linkedid")
		up[uniqueID], conversations[linkedID] = true, true
	}
	for linkedID := range conversations {
		if m.forbidden(linkedID) {
			m.end(ctx, linkedID)
		}
	}
	return m.pauses.Live(up)
}

// pausesIn are the pauses of a channel's recording; nil where there are none.
func (a *Adapter) pausesIn(uniqueID, path string) []ledger.Pause {
	if a.mixer == nil {
		return nil
	}
	log := a.log.With("uniqueid", uniqueID)
	channel, err := a.mixer.pauses.Of(uniqueID)
	if err != nil {
		log.Error("the pauses of a recording are not known", "error", err)
		return nil
	}
	if channel == nil {
		return nil
	}
	pauses, err := channel.Locate(path)
	if errors.Is(err, pause.ErrHeard) {
		a.mixer.counts.pauses.WithLabelValues(pauseHeard).Inc()
		log.Error("a recording was paused for a payment card and is not silent there: erase it")
	} else if err != nil {
		log.Error("the pauses of a recording are not known", "error", err)
	}
	return pauses
}

// isEvidence says whether an ARI recording is evidence of consent, and no call's.
func (a *Adapter) isEvidence(name string) bool {
	return a.config.Consent != nil && strings.HasPrefix(name, filepath.Base(a.config.Consent.Evidence)+"/")
}
