package result

import (
	"errors"
	"fmt"
	"os"
)

// Prepare makes the folder for results where it is missing, and finds out before the
// measuring that it can be written to, which would be known only after it.
func Prepare(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the folder for the results: %w", err)
	}
	probe, err := os.CreateTemp(folder, ".writable-")
	if err != nil {
		return fmt.Errorf("results cannot be written: %w", err)
	}
	_, err = probe.Write(make([]byte, 1<<20))
	if err = errors.Join(err, probe.Close(), os.Remove(probe.Name())); err != nil {
		return fmt.Errorf("results cannot be written to %s: %w", folder, err)
	}
	return nil
}
