package adapter

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// The service manager is told when the adapter is ready, that it is alive while it
// truly is, and that it reloads or stops (sd_notify(3), Type=notify-reload). Without
// systemd none of it does anything.

// alive keeps the service manager's watchdog from ending the adapter, until the context
// ends.
func (a *Adapter) alive(ctx context.Context) error {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		a.log.Warn("the service manager's watchdog is not served", "error", err)
	}
	if interval == 0 {
		return nil
	}
	ticker := time.NewTicker(interval / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if err := a.works(); err != nil {
			a.log.Error("the watchdog is not told that all is well", "error", err)
			continue
		}
		notify(daemon.SdNotifyWatchdog)
	}
}

// works goes the way that a call goes through the adapter's memory and its journal. A
// part that hangs has it hang too, and the watchdog hears nothing.
func (a *Adapter) works() error {
	a.pairing.waiting()
	a.closer.uplink.underway()
	a.closer.waiting()
	if _, err := a.journal.Opened(); err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	return nil
}

// notifyReloading says that a reload begins, and when.
func notifyReloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return
	}
	notify(daemon.SdNotifyReloading + "\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10))
}

// notifyReady says that the adapter works, after a start or a reload.
func notifyReady() { notify(daemon.SdNotifyReady + "\nSTATUS=following Asterisk") }

func notifyStopping() { notify(daemon.SdNotifyStopping + "\nSTATUS=closing the history") }

func notify(state string) { _, _ = daemon.SdNotify(false, state) }
