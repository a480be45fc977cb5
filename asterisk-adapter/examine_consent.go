package adapter

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/callseal/callseal/asterisk-adapter/ami"
	"github.com/callseal/callseal/asterisk-adapter/conf"
	"github.com/callseal/callseal/asterisk-adapter/consent"
)

// This file examines what asking for consent, and pausing and ending recordings, take.

// consentNeeds are modules for it.
func (e *examination) consentNeeds() []need {
	asks, keys := e.config.Consent != nil, e.config.Control != nil
	return []need{
		{"app_userevent", keys, "the keys for pauses do nothing"},
		{"app_stack", asks, "the dialplan cannot ask"},
		{"app_system", asks, "the dialplan leaves no marks of what was withdrawn"},
		{"app_stasis", asks, "nobody is asked"},
		{"func_timeout", asks, "an adapter that hangs holds calls up"},
		{"func_cdr", asks, "what listens to the announcement becomes a record of its own"},
		{"res_stasis_answer", asks, "nobody is asked"},
		{"res_stasis_playback", asks, "the announcement cannot be played"},
		{"res_stasis_recording", asks, "the evidence has no audio"},
		{"res_stasis_snoop", asks, "the evidence has no audio"},
		{"res_ari_recordings", asks, "the evidence's audio is not closed"},
	}
}

// controlConf sees that recordings can be paused and ended, and that no card's number
// is told.
func (e *examination) controlConf() {
	if e.config.Control == nil {
		return
	}
	if file := e.read("manager.conf", "Asterisk's manager interface needs it"); file != nil {
		e.controlUser(file, e.config.Control.User)
	}
	if file := e.read("features.conf", "without it there are no keys"); file != nil {
		keys := []string{"callseal-pause", "callseal-resume", "callseal-called-pause", "callseal-called-resume"}
		if e.config.Consent != nil {
			keys = append(keys, "callseal-revoke", "callseal-called-revoke")
		}
		for _, key := range keys {
			if line, found := file.Get("applicationmap", key); found {
				e.add(Right, line.Place(), key+" => "+line.Value, "")
			} else {
				e.add(Wrong, file.Name, fmt.Sprintf("[applicationmap] has no %s", key), "include asterisk-adapter/pbx/features_callseal.conf in features.conf")
			}
		}
	}
	if file := e.read("logger.conf", "see that no channel has dtmf"); file != nil {
		e.logsNoKeys(file)
	}
}

// controlUser sees what the account may do.
func (e *examination) controlUser(file *conf.Config, who string) {
	if !file.Has(who) {
		e.add(Wrong, file.Name, fmt.Sprintf("there is no user [%s]", who), "add it as in asterisk-adapter/pbx/manager_callseal_control.conf, or set control.user to one that is there")
		return
	}
	classes := func(key string) (conf.Line, []string) {
		line, _ := file.Get(who, key)
		return line, strings.Split(strings.ReplaceAll(line.Value, " ", ""), ",")
	}
	for _, one := range []struct{ key, class, why string }{
		{"read", "call", "pauses are not seen otherwise"}, {"read", "user", "the keys for pauses are not heard otherwise"}, {"write", "call", "recordings can be neither paused nor ended otherwise"},
	} {
		line, has := classes(one.key)
		said := fmt.Sprintf("[%s] %s = %s", who, one.key, line.Value)
		if contains(has, one.class) {
			e.add(Right, line.Place(), said, "")
		} else {
			e.add(Wrong, line.Place(), said, fmt.Sprintf("add %s to %s: %s", one.class, one.key, one.why))
		}
	}
	if line, has := classes("read"); contains(has, "dtmf") {
		e.add(Better, line.Place(), fmt.Sprintf("[%s] read = %s", who, line.Value), "take dtmf away: the keys of a card's number are told with it")
	}
	if line, has := classes("write"); len(has) > 1 || contains(has, "all") && has[0] != "call" {
		e.add(Better, line.Place(), fmt.Sprintf("[%s] write = %s", who, line.Value), "leave call alone: the adapter needs no more")
	}
}

// logsNoKeys sees that keys are not logged.
func (e *examination) logsNoKeys(file *conf.Config) {
	for _, section := range file.Sections() {
		if !strings.EqualFold(section, "logfiles") {
			continue
		}
		for _, line := range file.Lines(section) {
			if slices.Contains(strings.FieldsFunc(strings.ToLower(line.Value), func(r rune) bool { return r == ',' || r == ' ' }), "dtmf") {
				e.add(Wrong, line.Place(), line.Key+" => "+line.Value, "take dtmf away: the keys of a card's number are written there")
				return
			}
		}
	}
	e.add(Right, file.Name, "no log has the keys that are pressed", "")
}

// consentConf sees that the dialplan asks and that the adapter may.
func (e *examination) consentConf() {
	config := e.config.Consent
	if config == nil {
		return
	}
	if file := e.read("ari.conf", "copy the lines of asterisk-adapter/pbx/ari_callseal_consent.conf into it"); file != nil {
		if kind, found := file.Get(config.ARI.User, "type"); !found || kind.Value != "user" {
			e.add(Wrong, file.Name, fmt.Sprintf("there is no user [%s]", config.ARI.User), "add it as in asterisk-adapter/pbx/ari_callseal_consent.conf, or set consent.ari.user to one that is there")
		} else {
			e.wants(file, wish{config.ARI.User, "read_only", "no", "no", Wrong, "the adapter cannot ask otherwise"})
		}
	}
	if file := e.read("extensions.conf", "the dialplan asks nobody"); file != nil {
		for _, section := range []string{"callseal-consent", "callseal-called", "callseal-revoke", "callseal-pause", "callseal-resume"} {
			if file.Has(section) {
				e.add(Right, file.Name, "it has ["+section+"]", "")
			} else {
				e.add(Wrong, file.Name, "there is no ["+section+"]", "#include extensions_callseal_consent.conf, as in asterisk-adapter/pbx")
			}
		}
	}
	if _, err := consent.FileDigest(config.Announcement); err != nil {
		e.add(Wrong, "consent.announcement", err.Error(), "record what callers are told, and let Asterisk and the adapter's user read it")
	} else {
		e.add(Right, "consent.announcement", config.Announcement, "")
	}
	if above := filepath.Base(filepath.Dir(config.Evidence)); above != "recording" {
		e.add(Better, "consent.evidence", config.Evidence, "it has to be right below Asterisk's folder for ARI's recordings, which is called recording unless somebody changed that")
	}
}

// askControl logs in as the account that may act.
func (e *examination) askControl(ctx context.Context) (string, error) {
	config := e.config.Control
	password, err := secret(config.SecretFile, config.Secret)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	session := ami.New(ami.Options{Address: config.Address, User: config.User, Secret: password, Events: "off"})
	asked := make(chan error, 1)
	var last error
	err = session.Run(ctx, ami.Handler{
		Connected: func(int) {
			go func() {
				_, err := session.List(ctx, "Status")
				asked <- err
				cancel()
			}()
		},
		Lost: func(err error) { last = err },
	})
	select {
	case refused := <-asked:
		if refused != nil {
			return "", refused
		}
		return "it takes the user " + config.User, nil
	default:
	}
	if errors.Is(err, ami.ErrLogin) || last == nil {
		return "", err
	}
	return "", last
}

// askConsentARI asks as the user that may act.
func (e *examination) askConsentARI(ctx context.Context) (string, error) {
	found, err := (&Adapter{config: &Config{ARI: &e.config.Consent.ARI}}).askRunning(ctx)
	if err != nil {
		return "", err
	}
	return found.version + " answers", nil
}
