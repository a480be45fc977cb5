package gateway_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/callseal/callseal/gateway/gatewaytest"
)

// disk is a filesystem of its own on a device of its own, which can fail. Its blocks
// come out of a store, as a thinly provisioned volume's do: the filesystem has room
// and the store may have none.
type disk struct {
	t     *testing.T
	dir   string // where it is mounted
	store string // where the device's image is
}

func newDisk(t *testing.T, size, store string) *disk {
	t.Helper()
	d := &disk{t: t, dir: t.TempDir(), store: t.TempDir()}
	require.NoError(t, unix.Mount("tmpfs", d.store, "tmpfs", 0, "size="+store), "this test needs to mount filesystems: run it as root")
	t.Cleanup(func() { require.NoError(t, unix.Unmount(d.store, unix.MNT_DETACH)) })
	d.run("truncate", "-s", size, d.image())
	d.run("mkfs.ext4", "-q", "-F", "-N", "4096", "-J", "size=4", "-E", "lazy_itable_init=0,nodiscard", d.image())
	d.mount()
	t.Cleanup(func() { require.NoError(t, unix.Unmount(d.dir, unix.MNT_DETACH)) })
	return d
}

func (d *disk) image() string { return filepath.Join(d.store, "image") }

func (d *disk) run(command string, arguments ...string) {
	d.t.Helper()
	output, err := exec.CommandContext(d.t.Context(), command, arguments...).CombinedOutput()
	require.NoError(d.t, err, "%s %v: %s", command, arguments, output)
}

func (d *disk) mount() {
	d.t.Helper()
	d.run("mount", "-o", "loop", d.image(), d.dir)
	// A loop device says of a write whose first pages fit into the store and whose
	// last do not that all of it is done. So it is given one page at a time.
	output, err := exec.CommandContext(d.t.Context(), "losetup", "--associated", d.image(), "--noheadings", "--output", "NAME").Output()
	require.NoError(d.t, err)
	limit := filepath.Join("/sys/block", filepath.Base(strings.TrimSpace(string(output))), "queue/max_sectors_kb")
	require.NoError(d.t, os.WriteFile(limit, []byte("4"), 0o600))
}

// mend has the store give blocks again, and the filesystem looked through, as an
// operator would.
func (d *disk) mend() {
	d.t.Helper()
	d.run("umount", d.dir)
	_ = os.Remove(filepath.Join(d.store, anothers))
	check := exec.CommandContext(d.t.Context(), "fsck.ext4", "-fy", d.image())
	output, _ := check.CombinedOutput()
	require.Less(d.t, check.ProcessState.ExitCode(), 4, "%s", output) // it was whole, or is now
	d.mount()
}

// exhaust takes every block the store has left: writes are taken by the filesystem,
// and their fsync fails.
func (d *disk) exhaust() { stuff(d.t, d.store) }

// shut has every request to the filesystem fail from now on, as when a disk dies.
func (d *disk) shut() {
	d.t.Helper()
	const shutdown, withoutFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN
	folder, err := unix.Open(d.dir, unix.O_RDONLY, 0)
	require.NoError(d.t, err)
	require.NoError(d.t, unix.IoctlSetPointerInt(folder, shutdown, withoutFlush))
	_ = unix.Close(folder)
}

// anothers is a file of another program.
const anothers = "another-program's"

// stuff fills a filesystem to the last byte, as another program would.
func stuff(t *testing.T, dir string) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(dir, anothers), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	require.NoError(t, err)
	for size := 1 << 20; size > 0; {
		if _, err := file.Write(make([]byte, size)); err != nil {
			require.ErrorIs(t, err, unix.ENOSPC)
			size /= 2
		}
	}
	require.NoError(t, file.Close())
}

// A disk that fails ends the gateway: it says NOT_SERVING, ends with another exit
// code than 0 so that it is started again, and has lost nothing it acknowledged.
func TestTheDiskFails(t *testing.T) {
	for name, fails := range map[string]func(*disk){
		"an fsync fails because the volume's store is full": (*disk).exhaust,
		"every request fails":                               (*disk).shut,
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t, "512m", "48m")
			s := newStation(t, d.dir)
			s.start()
			heard := s.watch()
			s.until(heard, serving)
			flow := s.flow()
			require.Eventually(t, func() bool { return flow.count() > 50 }, patience, time.Millisecond)
			fails(d)
			require.Equal(t, 1, s.Exit(patience))
			require.NotEqual(t, codes.OK, status.Code(<-flow.ended))
			require.Contains(t, s.Log(), "gateway failed")
			require.NotContains(t, s.Log(), "did not stop")
			said := heard()
			require.Equal(t, notServing, said[len(said)-1], "it said so before it ended: %v", said)

			d.mend()
			s.start()
			s.until(s.watch(), serving)
			queued := s.queued()
			for _, name := range flow.taken() {
				require.True(t, queued[name], "segment %v was accepted and is lost", name)
			}
			again := s.flow()
			require.Eventually(t, func() bool { return again.count() > 10 }, patience, time.Millisecond)
			s.Signal(unix.SIGTERM)
			require.Equal(t, 0, s.Exit(patience))
		})
	}
}

// A disk that is full ends nothing: nothing more is accepted and it is said so, until
// there is space.
func TestTheDiskIsFull(t *testing.T) {
	d := newDisk(t, "128m", "160m")
	s := newStation(t, d.dir)
	s.start()
	heard := s.watch()
	s.until(heard, serving)
	flow := s.flow()
	require.Eventually(t, func() bool { return flow.count() > 50 }, patience, time.Millisecond)
	stuff(t, d.dir) // the last byte: the reserve is no help to accepting
	s.until(heard, notServing)
	require.Eventually(t, func() bool { return flow.problem() != nil }, patience, time.Millisecond)
	require.True(t, flow.problem().GetRetryable())
	require.Positive(t, flow.problem().GetRetryAfter().AsDuration())
	_, err := sendAs(t, dial(t, s.as["adapter"]), s.adapter.Reborn(t).Segment(t, gatewaytest.Calls(t, 1)))
	require.Equal(t, codes.Unavailable, status.Code(err), "what cannot be audited is not begun: %v", err)
	before := flow.taken()
	require.NoError(t, os.Remove(filepath.Join(d.dir, anothers)))
	s.until(heard, serving)
	again := s.flow()
	require.Eventually(t, func() bool { return again.count() > 50 }, patience, time.Millisecond)
	queued := s.queued()
	for _, name := range before {
		require.True(t, queued[name], "segment %v was accepted and is lost", name)
	}
	// Killed on a full disk it does not start on one, and says why.
	stuff(t, d.dir)
	s.until(heard, notServing)
	s.Kill()
	full := gatewaytest.Run(t, s.program, s.file)
	require.Equal(t, 1, full.Exit(patience))
	require.Contains(t, full.Log(), "the disk of "+filepath.Join(d.dir, "state")+" is full")
	require.NoError(t, os.Remove(filepath.Join(d.dir, anothers)))
	s.start()
	s.until(s.watch(), serving)
	after := s.queued()
	for name := range queued {
		require.True(t, after[name], "segment %v was accepted and is lost", name)
	}
	s.Signal(unix.SIGTERM)
	require.Equal(t, 0, s.Exit(patience))
}
