package report

import (
	"errors"
	"fmt"
	"image/color"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// ErrForeignFolder is a folder that holds something else than a report.
var ErrForeignFolder = errors.New("this folder holds something else than a report")

// reportFiles are all that a report's folder has.
var reportFiles = []string{"report.md", "report.html", "plots"}

// Write leaves the report in a folder, whole or not at all: report.md, report.html and
// plots. A report that is there is replaced once the new one is complete.
func (r *Report) Write(folder string) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return fmt.Errorf("the report's folder: %w", err)
	}
	if err := replaceable(folder); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return fmt.Errorf("make the report's folder: %w", err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(folder), ".report-")
	if err != nil {
		return fmt.Errorf("make the report's folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	if err := r.fill(fresh); err != nil {
		return err
	}
	return put(fresh, folder)
}

// replaceable answers ErrForeignFolder unless a folder is missing, empty or a report.
func replaceable(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the report's folder: %w", err)
	}
	for _, entry := range entries {
		if !slices.Contains(reportFiles, entry.Name()) {
			return fmt.Errorf("%w: %s has %s: name another, or an empty one", ErrForeignFolder, folder, entry.Name())
		}
	}
	return nil
}

// fill writes all files.
func (r *Report) fill(folder string) error {
	files, err := r.files()
	if err != nil {
		return err
	}
	for name, text := range files {
		file := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

// put has a folder take another's place.
func put(fresh, folder string) error {
	if err := os.Chmod(fresh, 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	// The two change places at once, so that there is a whole report at any instant; the
	// old one is then removed by who made fresh.
	err := unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, folder, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOENT) {
		err = os.Rename(fresh, folder)
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return replace(fresh, folder)
	}
	if err != nil {
		return fmt.Errorf("put the report in its place: %w", err)
	}
	return nil
}

// replace is put on filesystems that cannot exchange names.
func replace(fresh, folder string) error {
	old := fresh + ".old"
	if err := os.Rename(folder, old); err != nil {
		return fmt.Errorf("replace the last report: %w", err)
	}
	if err := os.Rename(fresh, folder); err != nil {
		return fmt.Errorf("put the report in its place: %w", errors.Join(err, os.Rename(old, folder)))
	}
	if err := os.RemoveAll(old); err != nil {
		return fmt.Errorf("remove the last report: %w", err)
	}
	return nil
}

// files are the report's, by their paths.
func (r *Report) files() (map[string][]byte, error) {
	markdown, err := r.Markdown()
	if err != nil {
		return nil, err
	}
	html, err := r.HTML()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"report.md": markdown, "report.html": html}
	for _, one := range r.plots {
		if files["plots/"+one.Name+".svg"], err = one.chart.svg(color.White); err != nil {
			return nil, err
		}
		if files["plots/"+one.Name+".png"], err = one.chart.png(); err != nil {
			return nil, err
		}
	}
	return files, nil
}
