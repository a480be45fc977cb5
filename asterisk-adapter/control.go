package adapter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/callseal/callseal/asterisk-adapter/backfill"
)

// controlSocket is the name of a running adapter's socket in its state folder. Who may
// write there may use it: the adapter's user, and root.
const controlSocket = "control.sock"

// inFolder has an address of a Unix socket in a folder, however long the folder's path
// is: the kernel takes 107 bytes.
func inFolder(folder string, use func(address string) error) error {
	dir, err := os.Open(folder)
	if err != nil {
		return err //nolint:wrapcheck // the caller says what for
	}
	defer dir.Close() //nolint:errcheck // it was only a place
	return use(filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), controlSocket))
}

// listenControl opens the control socket. The journal is held: a socket that lies there
// is of an adapter that is gone.
func (a *Adapter) listenControl(ctx context.Context) (net.Listener, error) {
	path := filepath.Join(a.config.StateDir, controlSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("clear the control socket: %w", err)
	}
	var listener net.Listener
	err := inFolder(a.config.StateDir, func(address string) (err error) {
		listener, err = (&net.ListenConfig{}).Listen(ctx, "unix", address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	// It is removed by its own name, at the next start at the latest.
	if unixListener, is := listener.(*net.UnixListener); is {
		unixListener.SetUnlinkOnClose(false)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("keep the control socket private: %w", err), listener.Close())
	}
	return listener, nil
}

// control serves the control socket until the context ends.
func (a *Adapter) control(ctx context.Context) error {
	listener, err := a.listenControl(ctx)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: backfill.Handle(&importer{adapter: a}), ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
		// What an import waits for ends with the adapter.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err = server.Serve(listener)
	_ = os.Remove(filepath.Join(a.config.StateDir, controlSocket)) // the next start does, too
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the control socket: %w", err)
	}
	return ctx.Err()
}

// errNotRunning says that no adapter answers.
var errNotRunning = errors.New("no adapter runs on this state folder")

// dialControl reaches the adapter that runs on a state folder.
func dialControl(ctx context.Context, stateDir string) (connection net.Conn, err error) {
	err = inFolder(stateDir, func(address string) (err error) {
		connection, err = (&net.Dialer{}).DialContext(ctx, "unix", address)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, errNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("reach the adapter's control socket: %w", err)
	}
	return connection, nil
}
