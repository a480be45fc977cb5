package adapter

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/callseal/callseal/asterisk-adapter/clock"
	"github.com/callseal/callseal/asterisk-adapter/conf"
)

// This file examines what is below the configuration: modules, the clock, disks, and
// what the kernel allows.

// need is a module of Asterisk and what is missed without it.
type need struct {
	module string
	used   bool
	why    string
}

func (e *examination) needs() []need {
	c := e.config
	table := c.CDR.Table != nil
	return append(e.consentNeeds(), []need{
		{"cdr_csv", c.CDR.CSV != "", "there is no file of CDRs"},
		{"cdr_manager", c.AMI != nil, "there are no Cdr events"},
		{"res_odbc", table, "nothing is written to the table of CDRs"},
		{"res_odbc_transaction", table, "res_odbc does not load"},
		{"cdr_adaptive_odbc", table, "nothing is written to the table of CDRs"},
		{"res_stasis", c.ARI != nil, "ARI does not load"},
		{"res_ari", c.ARI != nil, "ARI does not load"},
		{"res_ari_events", c.ARI != nil, "ARI tells no events"},
		{"res_ari_asterisk", c.ARI != nil, "Asterisk's version and start stay unknown"},
		{"res_ari_channels", c.ARI != nil, "channels cannot be listed after a gap"},
		{"app_mixmonitor", c.Recordings.Folder != "", "nothing is recorded"},
		{"func_env", c.Recordings.Closed != "" && !e.freePBX, "the dialplan leaves no markers when files are closed"},
	}...)
}

// modulesConf sees that what is configured is loaded.
func (e *examination) modulesConf() {
	file := e.read("modules.conf", "Asterisk loads nothing without it")
	if file == nil {
		return
	}
	autoload, found := file.Get("modules", "autoload")
	loads := found && conf.True(autoload.Value)
	for _, need := range e.needs() {
		if !need.used {
			continue
		}
		told := false
		for _, key := range []string{"noload", "load", "preload", "require", "preload-require"} {
			for _, line := range file.All("modules", key) {
				if strings.TrimSuffix(line.Value, ".so") != need.module {
					continue
				}
				told = true
				if key == "noload" {
					e.add(Wrong, line.Place(), "noload => "+line.Value, "remove the line: without the module "+need.why)
				} else {
					e.add(Right, line.Place(), key+" => "+line.Value, "")
				}
			}
		}
		switch {
		case told:
		case loads:
			e.add(Right, autoload.Place(), need.module+" is loaded with the rest", "")
		default:
			e.add(Wrong, file.Name, "autoload is off and "+need.module+" is not named", "add load => "+need.module+".so: without the module "+need.why)
		}
	}
}

// freePBXFiles say where FreePBX wants what belongs into a section of a file that it
// writes itself.
var freePBXFiles = map[string]string{
	"cdr.conf[general]": "cdr_general_custom.conf", "cdr.conf[csv]": "cdr_non_general_custom.conf",
	"cdr_manager.conf[general]": "cdr_manager_general_custom.conf", "cdr_manager.conf[mappings]": "cdr_manager_mapping_custom.conf",
	"ari.conf[general]": "ari_general_custom.conf", "http.conf[general]": "http_custom.conf",
}

// isFreePBX says whether FreePBX writes the configuration.
func isFreePBX(folder string) bool {
	for _, path := range []string{filepath.Join(folder, "..", "freepbx.conf"), filepath.Join(folder, "extensions_additional.conf"), filepath.Join(folder, "freepbx_menu.conf")} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

// where says where a setting is to be made.
func (e *examination) where(file, section string) string {
	if to, known := freePBXFiles[file+"["+section+"]"]; known && e.freePBX {
		if to == "cdr_non_general_custom.conf" {
			return "[" + section + "] of " + to + ", since FreePBX writes " + file + " itself"
		}
		return to + ", since FreePBX writes " + file + " itself"
	}
	return "[" + section + "]"
}

// may says whether the adapter's user may do with a path what is asked, "r", "w" or "x"
// each: for another user, whom root examines for, the kernel is asked as that user.
func (e *examination) may(path, what string) error {
	if e.config.User == "" || os.Geteuid() != 0 || e.config.User == "root" {
		mode := map[byte]uint32{'r': unix.R_OK, 'w': unix.W_OK, 'x': unix.X_OK}
		for i := range len(what) {
			if err := unix.Access(path, mode[what[i]]); err != nil {
				return err //nolint:wrapcheck // the caller says what it is about
			}
		}
		return nil
	}
	credential, err := credentialOf(e.config.User)
	if err != nil {
		return err
	}
	for i := range len(what) {
		test := exec.Command("test", "-"+what[i:i+1], path) //nolint:noctx // it answers at once
		test.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
		if err := test.Run(); err != nil {
			return fmt.Errorf("the user %s may not: %w", e.config.User, fs.ErrPermission)
		}
	}
	return nil
}

func credentialOf(name string) (*syscall.Credential, error) {
	who, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("user: %w", err)
	}
	ids, err := who.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("user: %w", err)
	}
	credential := &syscall.Credential{}
	for _, one := range []struct {
		text string
		to   *uint32
	}{{who.Uid, &credential.Uid}, {who.Gid, &credential.Gid}} {
		id, err := strconv.ParseUint(one.text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user: %w", err)
		}
		*one.to = uint32(id)
	}
	for _, text := range ids {
		id, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user: %w", err)
		}
		credential.Groups = append(credential.Groups, uint32(id))
	}
	return credential, nil
}

// clock sees that the adapter and Asterisk mean the same time, and the right one.
func (e *examination) clock() {
	if zone, err := e.config.location(); err == nil {
		now := time.Now()
		_, configured := now.In(zone).Zone()
		name, here := now.Local().Zone()
		if configured == here {
			e.add(Right, "timezone", fmt.Sprintf("it is now %s from UTC, as on this machine", time.Duration(configured)*time.Second), "")
		} else {
			e.add(Better, "timezone", fmt.Sprintf("it is %s, and this machine's clock shows %s: Asterisk writes local times as this machine has them", zone, name),
				"leave timezone out, unless Asterisk runs elsewhere, in a container with a zone of its own for instance")
		}
	}
	switch ahead, err := clock.Ahead(); {
	case errors.Is(err, clock.ErrUnsynchronised):
		e.add(Better, "clock", "it is not synchronised", "run an NTP client, such as systemd-timesyncd or chrony: times are evidence")
	case err != nil:
		e.add(Better, "clock", "whether it is synchronised cannot be told: "+err.Error(), "run an NTP client")
	default:
		e.add(Right, "clock", fmt.Sprintf("it is synchronised, and %s ahead of its source", ahead), "")
	}
}

// disks sees that there is room.
func (e *examination) disks() {
	for _, one := range []struct{ setting, path string }{{"state_dir", e.config.StateDir}, {"recordings.folder", e.config.Recordings.Folder}} {
		if one.path == "" {
			continue
		}
		path := one.path
		for {
			if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
				break
			}
			path = filepath.Dir(path)
		}
		var disk unix.Statfs_t
		if err := unix.Statfs(path, &disk); err != nil {
			e.add(Better, one.setting, "how much of its disk is free cannot be told: "+err.Error(), "look at the disk")
			continue
		}
		free := disk.Bavail * uint64(disk.Bsize) //nolint:gosec // a block's size is positive
		if free < e.config.diskFree {
			e.add(Wrong, one.setting, fmt.Sprintf("only %s of its disk are free", humanize.IBytes(free)), fmt.Sprintf("make space: %s are the least (disk_free)", humanize.IBytes(e.config.diskFree)))
			continue
		}
		e.add(Right, one.setting, humanize.IBytes(free)+" of its disk are free", "")
	}
}

// watches sees that the kernel lets the adapter watch every folder of recordings.
func (e *examination) watches() {
	folder := e.config.Recordings.Folder
	if folder == "" {
		return
	}
	folders := 0
	err := filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders++
		}
		return nil // what cannot be read is found elsewhere
	})
	if err != nil || folders == 0 {
		return
	}
	const setting = "fs.inotify.max_user_watches"
	most, err := limit("/proc/sys/fs/inotify/max_user_watches")
	if err != nil {
		return // a kernel that keeps it to itself
	}
	said := fmt.Sprintf("folders of recordings that are watched: %d of %d", folders, most)
	switch {
	case folders >= most:
		e.add(Wrong, setting, said, fmt.Sprintf("write %s = %d into /etc/sysctl.d/callseal.conf and run sysctl --system", setting, 4*folders))
	case 2*folders > most:
		e.add(Better, setting, said, fmt.Sprintf("write %s = %d into /etc/sysctl.d/callseal.conf and run sysctl --system, before it is too late", setting, 4*folders))
	default:
		e.add(Right, setting, said, "")
	}
	descriptor, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if errors.Is(err, unix.EMFILE) {
		e.add(Wrong, "fs.inotify.max_user_instances", "all are taken", "raise it in /etc/sysctl.d/callseal.conf and run sysctl --system")
		return
	}
	if err == nil {
		_ = unix.Close(descriptor)
	}
}

func limit(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read a limit: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(string(text))) //nolint:wrapcheck // nobody reads it
}
