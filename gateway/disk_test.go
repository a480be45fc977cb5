package gateway_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/gateway"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/gateway/setting"
	"github.com/callseal/callseal/network/msp"
	"github.com/callseal/callseal/network/networktest"
)

// disk is a filesystem of its own on a device whose blocks come out of a store, as a
// thinly provisioned volume's do: the filesystem has room and the store may have none.
type disk struct {
	t     *testing.T
	dir   string // where it is mounted
	store string
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
}

// mend has the store give blocks again, and the filesystem looked through, as an
// operator would.
func (d *disk) mend() {
	d.t.Helper()
	d.run("umount", d.dir)
	_ = os.Remove(filepath.Join(d.store, "another-program's"))
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

// stuff fills a filesystem to the last byte, as another program would.
func stuff(t *testing.T, dir string) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(dir, "another-program's"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	require.NoError(t, err)
	for size := 1 << 20; size > 0; {
		if _, err := file.Write(make([]byte, size)); err != nil {
			require.ErrorIs(t, err, unix.ENOSPC)
			size /= 2
		}
	}
	require.NoError(t, file.Close())
}

// station is a gateway's own program with its state on a disk, without a network:
// what it accepts stays in its journal.
type station struct {
	t       *testing.T
	program string
	config  string
	issuer  *msp.Issuer
	folder  string
	adapter *gatewaytest.Adapter
	as      map[string]connect.Config // by role

	*gatewaytest.Process
}

func newStation(t *testing.T, dir string) *station {
	t.Helper()
	config, issuer := aloneBy(t)
	s := &station{
		t: t, program: filepath.Join(networktest.Build(t, "callseal-gateway"), "callseal-gateway"), issuer: issuer,
		folder: t.TempDir(), as: map[string]connect.Config{},
	}
	config.StateDir = filepath.Join(dir, "state")
	config.Journal.ReserveBytes, config.Journal.MinFreeBytes, config.Audit.Reserve = 4*setting.MiB, 4*setting.MiB, 16*setting.MiB
	config.Server.StopTimeout, config.Anchor.DrainFor = 2*time.Second, time.Second
	s.config = filepath.Join(s.folder, "gateway.yaml")
	file, err := os.Create(s.config)
	require.NoError(t, err)
	require.NoError(t, gateway.Options.Write(file, config, nil))
	require.NoError(t, file.Close())
	s.identity("adapter", map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: atlasPBX}, config.Server.ClientCAFile)
	s.identity("admin", map[string]string{msp.AttributeRole: "admin"}, config.Server.ClientCAFile)
	s.adapter = gatewaytest.Load(t, "AtlasMSP", atlasPBX, s.as["adapter"].CertFile, s.as["adapter"].KeyFile)
	return s
}

func (s *station) identity(role string, attributes map[string]string, authority string) {
	s.t.Helper()
	pair, err := s.issuer.Issue(msp.Request{CommonName: role, Unit: msp.UnitClient, Attributes: attributes})
	require.NoError(s.t, err)
	access := connect.Config{CAFile: authority, CertFile: filepath.Join(s.folder, role+".pem"), KeyFile: filepath.Join(s.folder, role+"-key.pem")}
	require.NoError(s.t, os.WriteFile(access.CertFile, pair.CertPEM, 0o600))
	require.NoError(s.t, os.WriteFile(access.KeyFile, pair.KeyPEM, 0o600))
	s.as[role] = access
}

// start runs the program and waits until it accepts.
func (s *station) start() {
	s.t.Helper()
	s.Process = gatewaytest.Run(s.t, s.program, s.config)
	var address string
	require.Eventually(s.t, func() bool {
		for line := range strings.Lines(s.Log()) {
			var said struct{ Msg, Listen string }
			if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "gateway ready" {
				address = said.Listen
			}
		}
		return address != ""
	}, patience, 10*time.Millisecond)
	for role, access := range s.as {
		access.Address = address
		s.as[role] = access
	}
}

// watch follows the health of accepting; the answer is all that was said until the
// connection ended.
func (s *station) watch() (heard func() []healthpb.HealthCheckResponse_ServingStatus) {
	s.t.Helper()
	stream, err := healthpb.NewHealthClient(dial(s.t, s.as["admin"])).Watch(within(s.t, 3*patience), &healthpb.HealthCheckRequest{})
	require.NoError(s.t, err)
	var mu sync.Mutex
	var said []healthpb.HealthCheckResponse_ServingStatus
	go func() {
		for {
			answer, err := stream.Recv()
			if err != nil {
				return
			}
			mu.Lock()
			said = append(said, answer.GetStatus())
			mu.Unlock()
		}
	}()
	return func() []healthpb.HealthCheckResponse_ServingStatus {
		mu.Lock()
		defer mu.Unlock()
		return append([]healthpb.HealthCheckResponse_ServingStatus{}, said...)
	}
}

func (s *station) until(heard func() []healthpb.HealthCheckResponse_ServingStatus, wanted healthpb.HealthCheckResponse_ServingStatus) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		said := heard()
		return len(said) > 0 && said[len(said)-1] == wanted
	}, patience, 10*time.Millisecond, "accepting must become %s", wanted)
}

// flow sends one segment after the other and notes which were accepted, until the
// stream ends.
type flow struct {
	mu       sync.Mutex
	accepted []int64
	rejected *pb.Problem // the last
	ended    chan error
}

func (f *flow) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.accepted)
}

func (f *flow) problem() *pb.Problem {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rejected
}

func (s *station) flow() *flow {
	s.t.Helper()
	stream, err := pb.NewAnchorServiceClient(dial(s.t, s.as["adapter"])).Deliver(within(s.t, 3*patience), grpc.WaitForReady(true))
	require.NoError(s.t, err)
	f := &flow{ended: make(chan error, 1)}
	go func() {
		for {
			segment := s.adapter.Segment(s.t, gatewaytest.Calls(s.t, 3))
			if stream.Send(&pb.DeliverRequest{Segment: segment}) != nil {
				return // Recv says why
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	go func() {
		for {
			response, err := stream.Recv()
			if err != nil {
				f.ended <- err
				return
			}
			f.mu.Lock()
			if response.GetState() == pb.DeliveryState_DELIVERY_STATE_ACCEPTED {
				f.accepted = append(f.accepted, response.GetFirstSeq())
			} else {
				f.rejected = response.GetProblem()
			}
			f.mu.Unlock()
		}
	}()
	return f
}

// queued are the first numbers of the segments that wait in the journal.
func (s *station) queued() map[int64]bool {
	s.t.Helper()
	outbox := pb.NewOutboxServiceClient(dial(s.t, s.as["admin"]))
	all, token := map[int64]bool{}, ""
	for {
		page, err := outbox.ListEntries(within(s.t, patience), &pb.ListEntriesRequest{PageSize: 500, PageToken: token})
		require.NoError(s.t, err)
		for _, entry := range page.GetEntries() {
			all[entry.GetFirstSeq()] = true
		}
		if token = page.GetNextPageToken(); token == "" {
			return all
		}
	}
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
			for _, first := range flow.accepted {
				require.True(t, queued[first], "segment %d was accepted and is lost", first)
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
	before := flow.count()
	require.NoError(t, os.Remove(filepath.Join(d.dir, "another-program's")))
	s.until(heard, serving)
	again := s.flow()
	require.Eventually(t, func() bool { return again.count() > 50 }, patience, time.Millisecond)
	queued := s.queued()
	for _, first := range flow.accepted[:before] {
		require.True(t, queued[first], "segment %d was accepted and is lost", first)
	}
	// Killed on a full disk it does not start on one, and says why.
	stuff(t, d.dir)
	s.until(heard, notServing)
	s.Kill()
	full := gatewaytest.Run(t, s.program, s.config)
	require.Equal(t, 1, full.Exit(patience))
	require.Contains(t, full.Log(), "the disk of "+filepath.Join(d.dir, "state")+" is full")
	require.NoError(t, os.Remove(filepath.Join(d.dir, "another-program's")))
	s.start()
	s.until(s.watch(), serving)
	after := s.queued()
	for first := range queued {
		require.True(t, after[first], "segment %d was accepted and is lost", first)
	}
	s.Signal(unix.SIGTERM)
	require.Equal(t, 0, s.Exit(patience))
}
