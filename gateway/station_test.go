package gateway_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/renameio/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/gateway"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/gateway/setting"
	"github.com/callseal/callseal/network/msp"
	"github.com/callseal/callseal/network/networktest"
)

// station is a gateway's own program with its state on a disk, without a network:
// what it accepts stays in its journal.
type station struct {
	t       *testing.T
	program string
	config  *gateway.Config
	file    string // where its configuration is
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
		t: t, config: config, program: filepath.Join(networktest.Build(t, "callseal-gateway"), "callseal-gateway"), issuer: issuer,
		folder: t.TempDir(), as: map[string]connect.Config{},
	}
	config.StateDir = filepath.Join(dir, "state")
	config.Journal.ReserveBytes, config.Journal.MinFreeBytes, config.Audit.Reserve = 4*setting.MiB, 4*setting.MiB, 16*setting.MiB
	config.Server.StopTimeout, config.Anchor.DrainFor = 2*time.Second, time.Second
	s.file = filepath.Join(s.folder, "gateway.yaml")
	s.configure()
	s.identity("adapter", map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: atlasPBX}, config.Server.ClientCAFile)
	s.identity("admin", map[string]string{msp.AttributeRole: "admin"}, config.Server.ClientCAFile)
	s.adapter = gatewaytest.Load(t, "AtlasMSP", atlasPBX, s.as["adapter"].CertFile, s.as["adapter"].KeyFile)
	return s
}

// configure writes the configuration's file, as a whole.
func (s *station) configure() {
	s.t.Helper()
	var text bytes.Buffer
	require.NoError(s.t, gateway.Options.Write(&text, s.config, nil))
	require.NoError(s.t, renameio.WriteFile(s.file, text.Bytes(), 0o600))
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
	s.Process = gatewaytest.Run(s.t, s.program, s.file)
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

// segmentName is a segment's name within its PBX.
type segmentName struct{ epoch, first int64 }

// flow sends one segment after the other and notes which were accepted, until the
// stream ends.
type flow struct {
	mu       sync.Mutex
	accepted []segmentName
	rejected *pb.Problem // the last
	ended    chan error
}

func (f *flow) taken() []segmentName {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.accepted)
}

func (f *flow) count() int { return len(f.taken()) }

func (f *flow) problem() *pb.Problem {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rejected
}

func (s *station) flow() *flow {
	s.t.Helper()
	stream, err := pb.NewAnchorServiceClient(dial(s.t, s.as["adapter"])).Deliver(within(s.t, 3*patience), grpc.WaitForReady(true))
	require.NoError(s.t, err)
	f, adapter := &flow{ended: make(chan error, 1)}, s.adapter.Reborn(s.t)
	go func() {
		for {
			segment := adapter.Segment(s.t, gatewaytest.Calls(s.t, 3))
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
				f.accepted = append(f.accepted, segmentName{response.GetEpoch(), response.GetFirstSeq()})
			} else {
				f.rejected = response.GetProblem()
			}
			f.mu.Unlock()
		}
	}()
	return f
}

// queued are the segments that wait in the journal.
func (s *station) queued() map[segmentName]bool {
	s.t.Helper()
	outbox := pb.NewOutboxServiceClient(dial(s.t, s.as["admin"]))
	all, token := map[segmentName]bool{}, ""
	for {
		page, err := outbox.ListEntries(within(s.t, patience), &pb.ListEntriesRequest{PageSize: 500, PageToken: token})
		require.NoError(s.t, err)
		for _, entry := range page.GetEntries() {
			all[segmentName{entry.GetEpoch(), entry.GetFirstSeq()}] = true
		}
		if token = page.GetNextPageToken(); token == "" {
			return all
		}
	}
}
