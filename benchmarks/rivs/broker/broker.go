// Package broker starts a real RabbitMQ for benchmarks and tests: private, in a
// temporary folder, on loopback ports of its own, its epmd included, and stopped at the
// end. A machine without RabbitMQ fails the test; nothing is skipped.
package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/callseal/callseal/benchmarks/daemon"
)

// patience bounds the start of a broker, which takes seconds on a quiet machine.
const patience = 2 * time.Minute

// Broker is a running broker.
type Broker struct {
	tb     testing.TB
	folder string
	ports  ports
	// server is RabbitMQ, mapper Erlang's epmd.
	server, mapper *daemon.Daemon
}

// ports are where it listens: clients, Erlang's distribution, and epmd.
type ports struct{ clients, nodes, mapper int }

// programs are where Debian and others put RabbitMQ's own script. What stands on PATH
// changes over to the user rabbitmq and loses the environment.
var programs = []string{"/usr/lib/rabbitmq/bin/rabbitmq-server"}

// find is the script, or an error that says what to install.
func find() (string, error) {
	if at := slices.IndexFunc(programs, func(one string) bool { _, err := os.Stat(one); return err == nil }); at >= 0 {
		if _, err := exec.LookPath("epmd"); err != nil {
			return "", errors.New("RabbitMQ needs Erlang's epmd, and there is none on PATH: install Debian's package erlang-base")
		}
		return programs[at], nil
	}
	return "", fmt.Errorf("this needs RabbitMQ, and there is no %s: install Debian's package rabbitmq-server", strings.Join(programs, " or "))
}

// Installed answers an error that says what to install, unless RabbitMQ is there.
func Installed() error {
	_, err := find()
	return err
}

// Start starts a broker and stops it at the end.
func Start(tb testing.TB) *Broker {
	tb.Helper()
	program, err := find()
	if err != nil {
		tb.Fatal(err)
	}
	free, err := daemon.Ports(tb.Context(), 3)
	if err != nil {
		tb.Fatal(err)
	}
	b := &Broker{tb: tb, folder: tb.TempDir(), ports: ports{clients: free[0], nodes: free[1], mapper: free[2]}}
	tb.Cleanup(b.Stop)
	// An epmd that the broker starts itself would outlive it.
	if b.mapper, err = b.run("epmd", "epmd", "-port", strconv.Itoa(b.ports.mapper), "-address", "127.0.0.1", "-relaxed_command_check"); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(b.path("enabled_plugins"), []byte("[].\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	if b.server, err = b.run("rabbitmq", program); err != nil {
		tb.Fatal(err)
	}
	b.await()
	return b
}

func (b *Broker) path(name string) string { return filepath.Join(b.folder, name) }

// environment keeps everything of the broker within its folder and its ports, whatever
// the machine's own RabbitMQ is told.
func (b *Broker) environment() []string {
	settings := map[string]string{
		"LANG":          "C.UTF-8",
		"ERL_EPMD_PORT": strconv.Itoa(b.ports.mapper), "ERL_EPMD_ADDRESS": "127.0.0.1",
		"RABBITMQ_NODENAME": fmt.Sprintf("callseal-%d@localhost", b.ports.clients), "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
		"RABBITMQ_NODE_PORT": strconv.Itoa(b.ports.clients), "RABBITMQ_DIST_PORT": strconv.Itoa(b.ports.nodes),
		"RABBITMQ_MNESIA_BASE": b.path("mnesia"), "RABBITMQ_LOG_BASE": b.path("log"), "RABBITMQ_LOGS": "-",
		"RABBITMQ_CONFIG_FILE": b.path("rabbitmq"), "RABBITMQ_ADVANCED_CONFIG_FILE": b.path("advanced"), "RABBITMQ_GENERATED_CONFIG_DIR": b.path("config"),
		"RABBITMQ_CONF_ENV_FILE": os.DevNull, "RABBITMQ_ENABLED_PLUGINS_FILE": b.path("enabled_plugins"), "RABBITMQ_PID_FILE": b.path("pid"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
		// The script becomes the broker, so that a signal reaches it.
		"RABBITMQ_ALLOW_INPUT": "true", "RABBITMQ_SERVER_START_ARGS": "-noinput",
	}
	all := make([]string, 0, len(settings))
	for name, value := range settings {
		all = append(all, name+"="+value)
	}
	return all
}

func (b *Broker) run(name, program string, arguments ...string) (*daemon.Daemon, error) {
	return daemon.Start(daemon.Command{Name: name, Program: program, Arguments: arguments, Folder: b.folder, Environment: b.environment()}) //nolint:wrapcheck // says what it was
}

// URL is how clients reach it.
func (b *Broker) URL() string {
	return fmt.Sprintf("amqp://guest:guest@127.0.0.1:%d/", b.ports.clients)
}

// PID is the broker's process.
func (b *Broker) PID() int { return b.server.PID() }

// Dial opens a connection that is closed at the end.
func (b *Broker) Dial() *amqp.Connection {
	b.tb.Helper()
	connection, err := amqp.Dial(b.URL())
	if err != nil {
		b.tb.Fatalf("reach RabbitMQ: %v", err)
	}
	b.tb.Cleanup(func() { _ = connection.Close() })
	return connection
}

func (b *Broker) await() {
	b.tb.Helper()
	ctx, cancel := context.WithTimeoutCause(b.tb.Context(), patience, fmt.Errorf("it does not answer after %s", patience))
	defer cancel()
	if err := b.server.Await(ctx, func(context.Context) error {
		connection, err := amqp.Dial(b.URL())
		if err == nil {
			err = connection.Close()
		}
		return err
	}); err != nil {
		b.tb.Fatal(err)
	}
}

// Stop ends the broker and its epmd, which knows no other end than being killed.
func (b *Broker) Stop() {
	b.server.Stop()
	b.mapper.Kill()
	b.server, b.mapper = nil, nil
}
