package gateway

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/callseal/callseal/gateway/health"
)

// service tells the service manager how the gateway is: ready once it accepts,
// alive while it truly is, reloading, stopping. Without systemd none of it does
// anything.
type service struct {
	health   *health.Monitor
	log      *slog.Logger
	watchdog time.Duration
}

func (g *Gateway) service() *service {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		g.log.Warn("the service manager's watchdog is not served", "error", err)
	}
	return &service{health: g.health, log: g.log, watchdog: interval}
}

// readyPoll is how often the first acceptance is looked for.
const readyPoll = 50 * time.Millisecond

// run notifies until the context ends.
func (s *service) run(ctx context.Context) error {
	ready := time.NewTicker(readyPoll)
	defer ready.Stop()
	var alive <-chan time.Time
	if s.watchdog > 0 {
		ticker := time.NewTicker(s.watchdog / 2)
		defer ticker.Stop()
		alive = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			notify(daemon.SdNotifyStopping)
			return nil
		case <-ready.C:
			if s.health.Serving() {
				notify(daemon.SdNotifyReady + "\nSTATUS=accepting")
				ready.Stop()
			}
		case <-alive:
			if err := s.health.Alive(); err != nil {
				s.log.Error("the watchdog is not told that all is well", "error", err)
				continue
			}
			notify(daemon.SdNotifyWatchdog)
		}
	}
}

// notifyReloading tells that a reload begins; notifyReloaded that it is over.
func notifyReloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return
	}
	notify(daemon.SdNotifyReloading + "\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10))
}

func notifyReloaded() { notify(daemon.SdNotifyReady) }

func notify(state string) { _, _ = daemon.SdNotify(false, state) }
