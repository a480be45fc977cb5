package adapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Option changes how an adapter runs.
type Option func(*Adapter)

// WithReload has the adapter load its configuration again whenever it is asked: what is
// tagged reload:"true" in [Config] takes effect, with what secret files hold now; what is
// not waits for a restart, and is named in the log. A configuration that cannot be used
// changes nothing.
func WithReload(asked <-chan os.Signal, load func() (*Config, error)) Option {
	return func(a *Adapter) { a.reloadAsked, a.load = asked, load }
}

// WithLevel has log_level set the log's level.
func WithLevel(level *slog.LevelVar) Option { return func(a *Adapter) { a.level = level } }

// now is the configuration in force. What cannot be changed while the adapter runs may
// be read from a.config as well.
func (a *Adapter) now() *Config {
	if config := a.inForce.Load(); config != nil {
		return config
	}
	return a.config
}

// reloads takes up configurations until the context ends.
func (a *Adapter) reloads(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.reloadAsked:
		}
		notifyReloading()
		if err := a.reload(); err != nil {
			a.log.Error("the configuration is not reloaded, the old one stays in force", "error", err)
		}
		notifyReady()
	}
}

// reload takes up what may change.
func (a *Adapter) reload() error {
	next, err := a.load()
	if err != nil {
		return err
	}
	effective := *a.now()
	taken, waiting := changes(&effective, next)
	// What follows from it is worked out anew.
	if err := effective.check(); err != nil {
		return err
	}
	secrets, err := a.readSecrets()
	if err != nil {
		return err
	}
	a.inForce.Store(&effective)
	a.takeUp(&effective, secrets)
	if len(waiting) > 0 {
		a.log.Warn("these changes of the configuration wait for a restart", "options", waiting)
	}
	a.log.Info("configuration reloaded", "options", taken)
	return nil
}

// takeUp tells the parts.
func (a *Adapter) takeUp(config *Config, secrets secrets) {
	a.setLevel(config)
	a.pairing.setWait(config.Recordings.pairWait, config.Recordings.omissionAfter)
	a.omissions.setAfter(config.Recordings.omissionAfter)
	a.journal.Promise(beatsPromised * config.beat)
	select {
	case a.beatChanged <- struct{}{}:
	default: // it will look
	}
	if a.manager != nil {
		a.manager.SetSecret(secrets.manager)
	}
	if a.mixer != nil {
		a.mixer.session.SetSecret(secrets.control)
	}
	if a.observer != nil {
		a.observer.SetPassword(secrets.rest)
	}
}

func (a *Adapter) setLevel(config *Config) {
	var level slog.Level
	if a.level != nil && level.UnmarshalText([]byte(config.LogLevel)) == nil {
		a.level.Set(level)
	}
}

// secrets are what the files hold now.
type secrets struct{ manager, rest, control string }

func (a *Adapter) readSecrets() (read secrets, err error) {
	var wrong []error
	if manager := a.config.AMI; manager != nil {
		read.manager, err = secret(manager.SecretFile, manager.Secret)
		wrong = append(wrong, err)
	}
	if rest := a.config.ARI; rest != nil {
		read.rest, err = secret(rest.PasswordFile, rest.Password)
		wrong = append(wrong, err)
	}
	if control := a.config.Control; control != nil {
		read.control, err = secret(control.SecretFile, control.Secret)
		wrong = append(wrong, err)
	}
	return read, errors.Join(wrong...)
}

// changes gives a configuration what may change of another, and answers the names of
// the options that differ: those that were taken and those that wait for a restart.
func changes(now, next *Config) (taken, waiting []string) {
	walk(reflect.ValueOf(now).Elem(), reflect.ValueOf(next).Elem(), "", func(name string, reload bool, to, from reflect.Value) {
		switch {
		case reflect.DeepEqual(to.Interface(), from.Interface()):
		case reload:
			to.Set(from)
			taken = append(taken, name)
		default:
			waiting = append(waiting, name)
		}
	})
	slices.Sort(taken)
	slices.Sort(waiting)
	return taken, waiting
}

// walk visits the options of two configurations: members that are no sections, and
// sections that may be left out, which are one option.
func walk(now, next reflect.Value, within string, visit func(name string, reload bool, now, next reflect.Value)) {
	for i := range now.NumField() {
		field := now.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if name == "" || name == "-" || !field.IsExported() {
			continue
		}
		if within != "" {
			name = within + "." + name
		}
		reload := field.Tag.Get("reload") == "true"
		if field.Type.Kind() == reflect.Struct && !reload {
			walk(now.Field(i), next.Field(i), name, visit)
			continue
		}
		visit(name, reload, now.Field(i), next.Field(i))
	}
}

// checkLevel is an error where a log's level is none.
func checkLevel(text string) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return fmt.Errorf("log_level is %q, use debug, info, warn or error", text)
	}
	return nil
}
