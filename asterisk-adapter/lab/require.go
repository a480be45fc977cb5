package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// LeftOutEnv names a file to which Require appends a line when it leaves a
// test out, so that the end of a test run can say what it did not test.
const LeftOutEnv = "CALLSEAL_LEFT_OUT"

// HowToSupply is the sentence for a machine on which Find fails.
const HowToSupply = "To run it, use Debian or Ubuntu with apt (and the package debian-archive-keyring), or " + howTo + "."

// Require returns an installation to test with. Where none can be had it
// leaves the test out and says so, except in CI (CI=true), where that is a
// failure. It is the only reason for which a test of Callseal is left out.
func Require(t TestingT) *Installation {
	t.Helper()
	inst, err := Find(t.Context(), os.Stderr)
	if err == nil {
		return inst
	}
	if os.Getenv("CI") == "true" || !errors.Is(err, ErrUnavailable) {
		t.Fatalf("%v", err)
	}
	if path := os.Getenv(LeftOutEnv); path != "" {
		line := fmt.Sprintf("%s was left out: %v. %s\n", t.Name(), err, HowToSupply)
		if err := appendLine(path, line); err != nil {
			t.Fatalf("note what was left out: %v", err)
		}
	}
	t.Skipf("%v. %s", err, HowToSupply)
	return nil
}

// TestingT is the part of testing.TB that Require uses.
type TestingT interface {
	Helper()
	Name() string
	Context() context.Context
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

func appendLine(path, line string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(line)
	return errors.Join(err, file.Close())
}
