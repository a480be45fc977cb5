package inspection

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/coreos/go-oidc/v3/oidc"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"golang.org/x/sys/unix"

	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/setting"
)

// silent is where parts that are only tried log to.
var silent = slog.New(slog.DiscardHandler)

// peers asks each peer by itself, and then the chaincode.
func (i *inspector) peers() {
	for at, peer := range i.config.Fabric.Peers {
		height, err := i.ask(peer, func(ctx context.Context, channel *fabric.Channel) (string, error) {
			height, err := channel.Height(ctx)
			return fmt.Sprintf("%s, channel %s has %d blocks", peer.Address, i.config.Fabric.Channel, height), err
		})
		i.found(fmt.Sprintf("fabric.peers[%d]", at), height, err)
		if err != nil {
			continue
		}
		version, err := i.ask(peer, func(ctx context.Context, channel *fabric.Channel) (string, error) {
			answer, err := channel.Evaluate(ctx, "about:Version")
			return fmt.Sprintf("%s answers version %s", i.config.Fabric.Chaincode, answer), err
		})
		i.found(fmt.Sprintf("fabric.peers[%d].chaincode", at), version, err)
	}
}

func (i *inspector) ask(peer fabric.PeerConfig, question func(context.Context, *fabric.Channel) (string, error)) (string, error) {
	config := i.config.Fabric
	config.Peers = []fabric.PeerConfig{peer}
	channel, err := fabric.Open(config)
	if err != nil {
		return "", fmt.Errorf("open the channel: %w", err)
	}
	ctx, cancel := context.WithTimeout(i.ctx, i.config.Health.Timeout)
	defer cancel()
	says, err := question(ctx, channel)
	return says, errors.Join(err, channel.Close())
}

// services looks at what is not of the consortium, where it is configured.
func (i *inspector) services() {
	if dsn := i.config.Index.Postgres.DSN; dsn != "" {
		says, err := i.postgres(dsn)
		i.found("index.postgres.dsn", says, err)
	}
	if i.config.Server.Tokens.Issuer != "" {
		says, err := i.issuer()
		i.found("server.tokens.issuer", says, err)
	}
}

func (i *inspector) postgres(dsn setting.Secret) (says string, err error) {
	database, err := sql.Open("pgx", dsn.Reveal())
	if err != nil {
		return "", errors.New("the connection string cannot be read: see PostgreSQL's documentation") // it has a password
	}
	defer func() { err = errors.Join(err, database.Close()) }()
	ctx, cancel := context.WithTimeout(i.ctx, i.config.Health.Timeout)
	defer cancel()
	var version string
	if err := database.QueryRowContext(ctx, "SHOW server_version").Scan(&version); err != nil {
		return "", fmt.Errorf("PostgreSQL does not answer: %w", err)
	}
	return "PostgreSQL " + version, nil
}

// issuer reads the issuer's discovery document.
func (i *inspector) issuer() (string, error) {
	config := i.config.Server.Tokens
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	if config.CAFile != "" {
		text, err := os.ReadFile(config.CAFile)
		if err != nil {
			return "", fmt.Errorf("the issuer's CA cannot be read: %w", err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return "", fmt.Errorf("%s holds no PEM certificate", config.CAFile)
		}
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(i.ctx, &http.Client{Transport: transport}), i.config.Health.Timeout)
	defer cancel()
	if _, err := oidc.NewProvider(ctx, config.Issuer); err != nil {
		return "", fmt.Errorf("the issuer does not answer as one: %w", err)
	}
	return config.Issuer + " answers", nil
}

// writable sees whether files can be made in a folder, or the folder in the nearest
// one above it that is there.
func writable(folder string) error {
	for {
		_, err := os.Stat(folder)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(folder) == folder {
			return fmt.Errorf("the folder cannot be looked at: %w", err)
		}
		folder = filepath.Dir(folder)
	}
	made, err := os.CreateTemp(folder, ".callseal-check-*")
	if err != nil {
		return fmt.Errorf("nothing can be written into %s: %w", folder, err)
	}
	if err := errors.Join(made.Close(), os.Remove(made.Name())); err != nil {
		return fmt.Errorf("write into %s: %w", folder, err)
	}
	return nil
}

// room sees how much is free in a folder, or in the nearest one above it.
func room(folder string, least setting.Bytes) (string, error) {
	var stat unix.Statfs_t
	for errors.Is(unix.Statfs(folder, &stat), unix.ENOENT) && filepath.Dir(folder) != folder {
		folder = filepath.Dir(folder)
	}
	free := setting.Bytes(stat.Bavail) * setting.Bytes(stat.Bsize) //nolint:gosec // a disk's size
	if free < least {
		return "", fmt.Errorf("%d MiB are free in %s, less than %s: make room", free/setting.MiB, folder, least)
	}
	return fmt.Sprintf("%d MiB are free", free/setting.MiB), nil
}
