package gateway_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/network/msp"
)

// alone is a gateway whose peer is away: it accepts all the same.
func alone(t *testing.T) *gateway.Config {
	t.Helper()
	config, _ := aloneBy(t)
	return config
}

// aloneBy answers who issues certificates, too.
func aloneBy(t *testing.T) (*gateway.Config, *msp.Issuer) {
	t.Helper()
	folder := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	issuer, err := msp.NewIssuer("CA", "Atlas")
	require.NoError(t, err)
	pair, err := issuer.Issue(msp.Request{CommonName: "gateway", Hosts: []string{"127.0.0.1"}})
	require.NoError(t, err)
	authority, cert, key := file("ca.pem", issuer.Pair().CertPEM), file("cert.pem", pair.CertPEM), file("key.pem", pair.KeyPEM)
	config := gateway.DefaultConfig()
	config.MSP, config.StateDir = "AtlasMSP", folder
	config.Server.Listen, config.Server.CertFile, config.Server.KeyFile, config.Server.ClientCAFile = "127.0.0.1:0", cert, key, authority
	config.Fabric.MSP, config.Fabric.Channel, config.Fabric.Chaincode = "AtlasMSP", "calls", "callseal"
	config.Fabric.Peers = []fabric.PeerConfig{{Address: "127.0.0.1:1", CAFile: authority}}
	config.Fabric.TLSCertFile, config.Fabric.TLSKeyFile, config.Fabric.CertFile, config.Fabric.KeyFile = cert, key, cert, key
	config.Metrics.Listen = "127.0.0.1:0"
	config.Health.DiskFree, config.StopTimeout = 0, 15*time.Second
	return &config, issuer
}

// manager is the service manager's end of NOTIFY_SOCKET.
type manager struct {
	mu       sync.Mutex
	messages []string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	folder, err := os.MkdirTemp("", "notify")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	address := &net.UnixAddr{Name: filepath.Join(folder, "s"), Net: "unixgram"}
	socket, err := net.ListenUnixgram("unixgram", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = socket.Close() })
	t.Setenv("NOTIFY_SOCKET", address.Name)
	m := &manager{}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := socket.Read(buffer)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.messages = append(m.messages, string(buffer[:n]))
			m.mu.Unlock()
		}
	}()
	return m
}

func (m *manager) count(message string) (count int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.messages {
		for line := range strings.Lines(one) {
			if strings.TrimSpace(line) == message {
				count++
			}
		}
	}
	return count
}

func (m *manager) await(t *testing.T, message string, times int) {
	t.Helper()
	require.Eventually(t, func() bool { return m.count(message) >= times }, patience, 10*time.Millisecond, "%s", message)
}

func TestTheServiceManagerIsTold(t *testing.T) {
	m := newManager(t)
	t.Setenv("WATCHDOG_USEC", "200000")
	level := new(slog.LevelVar)
	config := alone(t)
	var log lockedBuffer
	g := gateway.New(config, slog.New(slog.NewTextHandler(&log, nil)), gateway.WithLevel(level))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	m.await(t, "READY=1", 1)
	m.await(t, "WATCHDOG=1", 3)

	next := *config
	next.Log.Level, next.Server.Listen, next.Server.Limits.Client.Read.Rate = "debug", "127.0.0.1:9", 7
	taken, err := g.Reload(&next)
	require.NoError(t, err)
	require.Equal(t, []string{"log.level", "server.limits.client.read.rate"}, taken, "the address waits for a restart")
	require.Regexp(t, `wait for a restart" options=\[server.listen\]`, string(log.Bytes()))
	require.Equal(t, slog.LevelDebug, level.Level())
	m.await(t, "RELOADING=1", 1)
	m.await(t, "READY=1", 2)
	require.Zero(t, m.count("STOPPING=1"))

	stop()
	require.NoError(t, <-ended)
	m.await(t, "STOPPING=1", 1)
}

// A journal that cannot be written is no readiness.
func TestNotReadyWhileNothingIsAccepted(t *testing.T) {
	m := newManager(t)
	config := alone(t)
	config.Journal.MinFreeBytes = 1 << 50 // the disk counts as full
	g := gateway.New(config, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	time.Sleep(2 * time.Second)
	require.Zero(t, m.count("READY=1"))
	stop()
	require.NoError(t, <-ended)
}

func TestRunLeavesNothingBehind(t *testing.T) {
	run := func() {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		var log lockedBuffer
		config := alone(t)
		go func() { ended <- gateway.Run(ctx, config, slog.New(slog.NewTextHandler(&log, nil))) }()
		require.Eventually(t, func() bool { return bytes.Contains(log.Bytes(), []byte("gateway ready")) }, patience, 10*time.Millisecond)
		stop()
		require.NoError(t, <-ended, "%s", stacks{})
	}
	run() // what Go's libraries start once stays
	before := runtime.NumGoroutine()
	for range 3 {
		run()
	}
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "%s", stacks{})
	}
}

// Who stops a gateway that is starting gets no failure, however far it is.
func TestStoppedWhileItStarts(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond} {
		ctx, stop := context.WithTimeout(t.Context(), after)
		require.NoError(t, gateway.Run(ctx, alone(t), slog.New(slog.DiscardHandler)))
		stop()
	}
}

// stacks prints what runs when it is needed.
type stacks struct{}

func (stacks) String() string {
	buffer := make([]byte, 1<<20)
	return string(buffer[:runtime.Stack(buffer, true)])
}

// A part that cannot start ends the start, and what was started before is stopped.
func TestWhatCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	config := alone(t)
	config.Server.Listen = taken.Addr().String()
	require.ErrorContains(t, gateway.Run(t.Context(), config, slog.New(slog.DiscardHandler)), "listen on "+config.Server.Listen)
	config.Server.Listen = "127.0.0.1:0"
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	require.NoError(t, gateway.Run(ctx, config, slog.New(slog.DiscardHandler)), "the journal was let go")
}
