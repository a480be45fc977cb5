package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// RootEnv names an environment variable that points at a Debian file tree that
// already holds Asterisk and SIPp, instead of the cached one.
const RootEnv = "CALLSEAL_ASTERISK_ROOT"

// ErrUnavailable is what Find wraps when no Asterisk can be had; the error's
// text says how to supply one.
var ErrUnavailable = errors.New("no Asterisk 22 and SIPp on this machine")

// minMajor is the oldest Asterisk the lab accepts: CANCEL as a disposition and
// several AMI headers are younger than 20.
const minMajor = 22

// Installation is an Asterisk and a SIPp that can be started.
type Installation struct {
	// Version is Asterisk's own, such as "22.10.1".
	Version string
	// Source says where they came from, for people.
	Source string

	asterisk []string // command line prefix
	sipp     []string
	tree     string // root of the file tree, "" for what is installed in /
	lib      string // the tree's multiarch library folder
}

// Find returns the Asterisk 22 and SIPp on PATH, else those of the file tree
// named by RootEnv, else those of a tree it makes from Debian packages in the
// user's cache folder, once, telling progress in whole lines. An error is or
// wraps ErrUnavailable when the machine cannot have them, or the context's.
func Find(ctx context.Context, progress io.Writer) (*Installation, error) {
	if progress == nil {
		progress = io.Discard
	}
	if root := os.Getenv(RootEnv); root != "" {
		inst, err := fromTree(ctx, root)
		if err != nil {
			return nil, fmt.Errorf("%w: %s=%s: %w", ErrUnavailable, RootEnv, root, err)
		}
		return inst, nil
	}
	found, pathErr := fromPath(ctx)
	if pathErr == nil {
		return found, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("%w: %w, and no folder to cache one in: %w", ErrUnavailable, pathErr, err)
	}
	root := filepath.Join(cache, "callseal", "asterisk-forky")
	if err := makeTree(ctx, root, progress); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("fetch Asterisk: %w", ctx.Err())
		}
		return nil, fmt.Errorf("%w: %w; %w", ErrUnavailable, pathErr, err)
	}
	inst, err := fromTree(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("%w: the cached tree %s does not work, remove it and try again: %w", ErrUnavailable, root, err)
	}
	return inst, nil
}

func fromPath(ctx context.Context) (*Installation, error) {
	asterisk, err := exec.LookPath("asterisk")
	if err != nil {
		// Debian's is in sbin, which an ordinary user's PATH lacks.
		if asterisk, err = exec.LookPath("/usr/sbin/asterisk"); err != nil {
			return nil, errors.New("asterisk is not on PATH")
		}
	}
	sipp, err := exec.LookPath("sipp")
	if err != nil {
		return nil, errors.New("sipp is not on PATH")
	}
	inst := &Installation{asterisk: []string{asterisk}, sipp: []string{sipp}, Source: asterisk}
	return inst, inst.check(ctx)
}

// fromTree uses the tree without a chroot: its own dynamic loader with its own
// libraries. So no privilege is needed, and paths mean the same to Asterisk as
// to everyone else.
func fromTree(ctx context.Context, root string) (*Installation, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	triplet, loader, err := multiarch()
	if err != nil {
		return nil, err
	}
	lib := filepath.Join(root, "usr", "lib", triplet)
	prefix := []string{filepath.Join(lib, loader), "--library-path", lib}
	if _, err := os.Stat(prefix[0]); err != nil {
		return nil, fmt.Errorf("it has no dynamic loader: %w", err)
	}
	inst := &Installation{
		asterisk: append(prefix[:3:3], filepath.Join(root, "usr", "sbin", "asterisk")),
		sipp:     append(prefix[:3:3], filepath.Join(root, "usr", "bin", "sipp")),
		tree:     root,
		lib:      lib,
		Source:   root,
	}
	return inst, inst.check(ctx)
}

func multiarch() (triplet, loader string, err error) {
	switch {
	case runtime.GOOS == "linux" && runtime.GOARCH == "amd64":
		return "x86_64-linux-gnu", "ld-linux-x86-64.so.2", nil
	case runtime.GOOS == "linux" && runtime.GOARCH == "arm64":
		return "aarch64-linux-gnu", "ld-linux-aarch64.so.1", nil
	}
	return "", "", fmt.Errorf("Debian's Asterisk does not run on %s/%s", runtime.GOOS, runtime.GOARCH)
}

var versionRE = regexp.MustCompile(`Asterisk (?:certified/)?((\d+)[.\d]*)`)

func (i *Installation) check(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, i.asterisk[0], append(i.asterisk[1:], "-V")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("asterisk -V: %w: %s", err, strings.TrimSpace(string(out)))
	}
	m := versionRE.FindSubmatch(out)
	if m == nil {
		return fmt.Errorf("asterisk -V says %q", strings.TrimSpace(string(out)))
	}
	if major, err := strconv.Atoi(string(m[2])); err != nil || major < minMajor {
		return fmt.Errorf("%s is Asterisk %s, and Callseal is tested with %d and later", i.Source, m[1], minMajor)
	}
	i.Version = string(m[1])
	// sipp -v exits 99 by design: only a failure to run counts.
	var exit *exec.ExitError
	if err := exec.CommandContext(ctx, i.sipp[0], append(i.sipp[1:], "-v")...).Run(); err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("sipp -v: %w", err)
	}
	return nil
}

// InOtherZones says whether an Asterisk can be given another time zone than the
// machine's: with util-linux's unshare, where user namespaces are allowed.
func InOtherZones(ctx context.Context) bool {
	return exec.CommandContext(ctx, "unshare", "--map-root-user", "--mount", "true").Run() == nil
}

// inZone is what to put before a command to have it see another /etc/localtime.
func (i *Installation) inZone(name string) ([]string, error) {
	for _, root := range []string{i.tree, "/"} {
		if root == "" {
			continue
		}
		path := filepath.Join(root, "usr", "share", "zoneinfo", name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return []string{"unshare", "--map-root-user", "--mount", "sh", "-c", `mount --bind "$0" /etc/localtime && exec "$@"`, path}, nil
		}
	}
	return nil, fmt.Errorf("no time zone %q in /usr/share/zoneinfo: install the package tzdata", name)
}
