package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/callseal/callseal/gateway"
)

// settle is how long a file has to be left alone before it is read: editors and
// configuration tools write in several steps.
const settle = 200 * time.Millisecond

// reloads reads the configuration again on SIGHUP and when its file changes, until
// the context ends. One that cannot be used changes nothing.
func reloads(ctx context.Context, called *invocation, serving *gateway.Gateway, log *slog.Logger) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	changes, stop := watch(called.file, log)
	defer stop()
	quiet := time.NewTimer(0)
	<-quiet.C
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			reloadOnce(called, serving, log)
		case event := <-changes:
			if filepath.Clean(event.Name) == filepath.Clean(called.file) && !event.Has(fsnotify.Chmod) {
				quiet.Reset(settle)
			}
		case <-quiet.C:
			reloadOnce(called, serving, log)
		}
	}
}

func reloadOnce(called *invocation, serving *gateway.Gateway, log *slog.Logger) {
	config, _, err := called.load()
	if err == nil {
		_, err = serving.Reload(config)
	}
	if err != nil {
		log.Error("the configuration is not reloaded, the old one stays in force", "error", err)
	}
}

// watch follows the file's folder: editors replace files.
func watch(file string, log *slog.Logger) (<-chan fsnotify.Event, func()) {
	if file == "" {
		return nil, func() {}
	}
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		if err = watcher.Add(filepath.Dir(file)); err == nil {
			return watcher.Events, func() { _ = watcher.Close() }
		}
		_ = watcher.Close()
	}
	log.Warn("the configuration's file is not watched: send SIGHUP after a change", "error", err)
	return nil, func() {}
}
