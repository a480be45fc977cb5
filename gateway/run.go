// Package gateway is one operator's gateway: it takes signed segments from the
// operator's adapters to the ledger and answers questions about what stands
// there. It is assembled here from its parts:
//
//	server/  the gRPC face: callers, permissions, messages, health
//	anchor/  a segment's way to the ledger
//	consent/ recordings that stand against a party's objection
//	seal/    the keys of personal details
//	erasure/ the steps that erase them
//	fabric/  the channel, stage by stage
//	fault/   the one domain error
//	reputation/ counts evidence on numbers, addresses and accounts
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/callseal/callseal/gateway/anchor"
	"github.com/callseal/callseal/gateway/consent"
	"github.com/callseal/callseal/gateway/erasure"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/seal"
	"github.com/callseal/callseal/gateway/server"
)

// Run serves until the context ends.
func Run(ctx context.Context, config *Config, log *slog.Logger) (err error) {
	channel, err := fabric.Open(config.Fabric, fabric.WithLog(log))
	if err != nil {
		return fmt.Errorf("open the channel: %w", err)
	}
	defer func() { err = errors.Join(err, channel.Close()) }()
	keyring, err := seal.Open(filepath.Join(config.StateDir, "keyring.db"))
	if err != nil {
		return fmt.Errorf("open the keyring: %w", err)
	}
	defer func() { err = errors.Join(err, keyring.Close()) }()
	erasures, err := erasure.OpenJournal(filepath.Join(config.StateDir, "erasures.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, erasures.Close()) }()
	eraser := erasure.New(channel, keyring, erasures, log)
	tally, err := newTally(config, channel, log)
	if err != nil {
		return err
	}
	consents := consent.New(channel, log)
	serving, err := server.New(config.Server, server.Parts{
		Channel: channel, Keyring: keyring, Anchorer: anchor.New(channel, keyring), Eraser: eraser, Tally: tally, Consents: consents,
	}, log)
	if err != nil {
		return fmt.Errorf("assemble the server: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", config.Server.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", config.Server.Listen, err)
	}
	log.Info("gateway ready", "operator", config.Operator, "msp", config.MSP, "listen", listener.Addr().String(), "peers", config.Fabric.Addresses())
	// Without systemd this does nothing.
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	erasing, stopErasing := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { eraser.Run(erasing) })
	background.Go(func() { consents.Run(erasing) })
	// Running reports may end while the server stops.
	counting, stopCounting := context.WithCancel(context.WithoutCancel(ctx))
	if tally != nil {
		background.Go(func() { tally.Run(counting) })
	}
	// Before the journals are closed.
	defer background.Wait()
	defer stopErasing()
	defer stopCounting()
	if err := serving.Serve(ctx, listener); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	log.Info("gateway stopped")
	return nil
}
