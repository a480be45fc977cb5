package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Logs copies a node's log to w. With follow it goes on copying what is added
// until the context ends, which is no error.
func (n *Network) Logs(ctx context.Context, name string, follow bool, w io.Writer) error {
	one, err := n.node(name)
	if err != nil {
		return err
	}
	log, err := os.Open(n.layout.LogFile(one.logName()))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s has no log yet: it was never started", one.name)
	}
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", one.name, err)
	}
	defer func() { _ = log.Close() }()
	for {
		if _, err := io.Copy(w, log); err != nil {
			return fmt.Errorf("read the log of %s: %w", one.name, err)
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}
