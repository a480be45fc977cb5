package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
)

// onReload has a part told of a configuration in which something changed that it
// can take up while it runs, at once where that was before the part was there. It is
// told of valid configurations only.
func (g *Gateway) onReload(part string, take func(*Config) error) error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	g.reloads = append(g.reloads, reload{part, take})
	if g.inForce == g.config {
		return nil
	}
	return take(g.inForce)
}

type reload struct {
	part string
	take func(*Config) error
}

// Reload takes up what may change while the gateway runs, answers the names of the
// options it took up, and says in the log which changes wait for a restart.
func (g *Gateway) Reload(next *Config) ([]string, error) {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	notifyReloading()
	defer notifyReloaded()
	taken, waiting := changes(g.inForce, next)
	if len(waiting) > 0 {
		g.log.Warn("these changes of the configuration wait for a restart", "options", waiting)
	}
	effective := *g.inForce
	for _, name := range taken {
		Options.Copy(&effective, next, name)
	}
	var failures []error
	for _, part := range g.reloads {
		if err := part.take(&effective); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", part.part, err))
		}
	}
	if len(failures) > 0 {
		return nil, fmt.Errorf("reload the configuration: %w", errors.Join(failures...))
	}
	g.inForce = &effective
	g.log.Info("configuration reloaded", "options", taken)
	return taken, nil
}

// changes are the names of options that differ: those that can be taken up now and
// those that wait for a restart.
func changes(now, next *Config) (taken, waiting []string) {
	for _, option := range Options.Options() {
		if reflect.DeepEqual(option.In(now), option.In(next)) {
			continue
		}
		if option.Reload {
			taken = append(taken, option.Name)
		} else {
			waiting = append(waiting, option.Name)
		}
	}
	slices.Sort(taken)
	slices.Sort(waiting)
	return taken, waiting
}

// setLevel sets the log's level.
func (g *Gateway) setLevel(config *Config) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(config.Log.Level)); err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	g.level.Set(level)
	return nil
}
