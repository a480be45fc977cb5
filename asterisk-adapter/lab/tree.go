package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gofrs/flock"
)

// release is the Debian release whose Asterisk is 22.
const release = "forky"

// packages are what the tree is made of, with what they need.
var packages = []string{"asterisk", "asterisk-modules", "libfaketime", "odbc-mariadb", "sip-tester", "tzdata"}

// complete says whether a tree was made of all packages.
func complete(root string) bool {
	made, err := os.ReadFile(filepath.Join(root, ".complete"))
	return err == nil && string(made) == strings.Join(packages, " ")
}

// howTo ends every error of makeTree.
const howTo = "put asterisk 22 and sipp on PATH, or point " + RootEnv + " at a Debian " + release + " tree that has them"

// makeTree fills root with Asterisk, SIPp and the libraries they need, unless
// that was done before. It uses the machine's own apt with a private state, so
// the machine's packages stay as they are and no privilege is needed.
func makeTree(ctx context.Context, root string, progress io.Writer) error {
	if complete(root) {
		return nil
	}
	if _, _, err := multiarch(); err != nil {
		return fmt.Errorf("%w: %s", err, howTo)
	}
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("this is no Debian or Ubuntu machine (%s is missing): %s", tool, howTo)
		}
	}
	keyring := "/usr/share/keyrings/debian-archive-keyring.gpg"
	if _, err := os.Stat(keyring); err != nil {
		return fmt.Errorf("Debian's keys are missing: install the package debian-archive-keyring, or %s", howTo)
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return err
	}
	// Several test binaries may come here at once.
	lock := flock.New(root + ".lock")
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("lock %s: %w", root, err)
	}
	defer lock.Unlock() //nolint:errcheck // the process's end frees it anyway
	if complete(root) {
		return nil
	}

	work := root + ".new"
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // the next time begins by removing it
	tell(progress, "Asterisk: fetching Asterisk 22 and SIPp from Debian %s (about 90 MB, once)\n", release)
	apt, err := newApt(work, keyring)
	if err != nil {
		return err
	}
	if err := apt.run(ctx, io.Discard, "update"); err != nil {
		return fmt.Errorf("%w: %s", err, howTo)
	}
	if err := apt.run(ctx, progress, append([]string{"--download-only", "install"}, packages...)...); err != nil {
		return fmt.Errorf("%w: %s", err, howTo)
	}
	debs, err := filepath.Glob(filepath.Join(work, "cache", "archives", "*.deb"))
	if err != nil {
		return err
	}
	tree := filepath.Join(work, "tree")
	for n, deb := range debs {
		if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", deb, tree).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", filepath.Base(deb), err, strings.TrimSpace(string(out)))
		}
		if (n+1)%50 == 0 || n+1 == len(debs) {
			tell(progress, "Asterisk: unpacked %d of %d packages\n", n+1, len(debs))
		}
	}
	if err := os.WriteFile(filepath.Join(tree, ".complete"), []byte(strings.Join(packages, " ")), 0o644); err != nil {
		return err
	}
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	return os.Rename(tree, root)
}

// apt is the machine's apt-get with every folder it writes to moved.
type apt struct{ options []string }

func newApt(work, keyring string) (*apt, error) {
	for _, dir := range []string{"state/lists/partial", "cache/archives/partial", "etc/parts", "tree"} {
		if err := os.MkdirAll(filepath.Join(work, dir), 0o755); err != nil {
			return nil, err
		}
	}
	source := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, debianMirror(), release)
	for name, content := range map[string]string{"etc/sources.list": source, "status": ""} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	at := func(name string) string { return filepath.Join(work, name) }
	return &apt{[]string{
		"-q", "-y",
		"-o", "Dir::Etc::SourceList=" + at("etc/sources.list"),
		"-o", "Dir::Etc::SourceParts=" + at("etc/parts"),
		"-o", "Dir::Etc::PreferencesParts=" + at("etc/parts"),
		"-o", "Dir::State=" + at("state"),
		"-o", "Dir::State::Lists=" + at("state/lists"),
		"-o", "Dir::State::status=" + at("status"),
		"-o", "Dir::Cache=" + at("cache"),
		"-o", "Acquire::Languages=none",
		// A mirror that lags, or a snapshot, is signed all the same.
		"-o", "Acquire::Check-Valid-Until=false",
		"-o", "APT::Install-Recommends=false",
		"-o", "Debug::NoLocking=true",
		// Root's apt downloads as _apt, who may not enter a cache in root's home.
		"-o", "APT::Sandbox::User=",
	}}, nil
}

// run passes every fiftieth download on as a line of progress.
func (a *apt) run(ctx context.Context, progress io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append(a.options[:len(a.options):len(a.options)], args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return err
	}
	got := 0
	var tail []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "Get:") {
			if got++; got%50 == 0 {
				tell(progress, "Asterisk: fetched %d packages\n", got)
			}
			continue
		}
		if strings.HasPrefix(line, "E:") || strings.HasPrefix(line, "Err:") {
			tail = append(tail, line)
		}
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if len(tail) == 0 {
			tail = []string{err.Error()}
		}
		return fmt.Errorf("apt-get could not fetch Asterisk: %w", errors.New(strings.Join(tail, "; ")))
	}
	return nil
}

var mirrorRE = regexp.MustCompile(`(?m)^(?:URIs:|deb(?:\s+\[[^\]]*\])?)\s+(https?://\S*/debian)/?(?:\s|$)`)

// debianMirror returns the mirror this machine's apt was told to use, so that
// a site's own mirror is honoured, else Debian's.
func debianMirror() string {
	files, err := filepath.Glob("/etc/apt/sources.list.d/*")
	if err != nil {
		files = nil
	}
	for _, file := range append([]string{"/etc/apt/sources.list"}, files...) {
		content, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if m := mirrorRE.FindSubmatch(content); m != nil {
			return string(m[1])
		}
	}
	return "http://deb.debian.org/debian"
}

// tell is for a person's eyes: nothing is lost if it cannot be shown.
func tell(progress io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(progress, format, args...)
}
