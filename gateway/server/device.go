package server

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/device"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/idempotency"
	"github.com/callseal/callseal/gateway/mirror"
	"github.com/callseal/callseal/gateway/reputation"
)

type deviceService struct {
	pb.UnimplementedDeviceServiceServer
	writer
	tally *reputation.Tally // nil without a consortium key
}

// deviceDetailsReaders may see what their own operator's devices are in clear.
var deviceDetailsReaders = []ledger.Role{ledger.RoleCompliance, ledger.RoleAdmin}

// sealedDevice is what a request to register or rotate a device makes of what is
// personal: pseudonyms, and the details sealed.
type sealedDevice struct {
	ID          string                   `json:"id"`
	Credentials ledger.DeviceCredentials `json:"credentials"`
	Sealed      []byte                   `json:"sealed"`
}

// RegisterDevice implements callseal.v1.DeviceService.
func (s *deviceService) RegisterDevice(ctx context.Context, request *pb.RegisterDeviceRequest) (*pb.RegisterDeviceResponse, error) {
	if _, err := s.signer(ctx); err != nil {
		return nil, err
	}
	id := request.GetId()
	if id == "" {
		id = device.Random(16)
	}
	made, err := s.seal(ctx, id, 1, request.GetIdentity())
	if err != nil {
		return nil, err
	}
	wire, err := canonical(&ledger.DeviceRegistration{Credentials: made.Credentials, ID: made.ID, Kind: request.GetKind()})
	if err != nil {
		return nil, err
	}
	response := &pb.RegisterDeviceResponse{Device: &pb.Device{}}
	response.Commit, err = s.put(ctx, response.Device, made, "devices:Register", wire)
	return response, err
}

// RotateDevice implements callseal.v1.DeviceService.
func (s *deviceService) RotateDevice(ctx context.Context, request *pb.RotateDeviceRequest) (*pb.RotateDeviceResponse, error) {
	if _, err := s.signer(ctx); err != nil {
		return nil, err
	}
	after, err := s.after(ctx, request.GetId(), request.GetAfter())
	if err != nil {
		return nil, err
	}
	made, err := s.seal(ctx, request.GetId(), after+1, request.GetIdentity())
	if err != nil {
		return nil, err
	}
	wire, err := canonical(&ledger.DeviceRotation{After: after, Credentials: made.Credentials, Reason: request.GetReason()})
	if err != nil {
		return nil, err
	}
	response := &pb.RotateDeviceResponse{Device: &pb.Device{}}
	response.Commit, err = s.put(ctx, response.Device, made, "devices:Rotate", made.ID, wire)
	return response, err
}

// seal makes the pseudonyms of an identity and seals its details for a version. Every
// run of a request has the same.
func (s *deviceService) seal(ctx context.Context, id string, version int64, plain *pb.DeviceIdentity) (*sealedDevice, error) {
	key, epoch, err := s.pseudonyms(ctx)
	if err != nil {
		return nil, err
	}
	noted, err := idempotency.Note(ctx, "device", func() ([]byte, error) {
		identity := device.Identity{
			Details: ledger.DeviceDetails{
				Account: plain.GetAccount(), AORs: plain.GetAors(), Fingerprints: plain.GetFingerprints(), Label: plain.GetLabel(), Networks: plain.GetNetworks(),
			},
			CredentialRef: plain.GetCredentialRef(), ValidFrom: timeOf(plain.GetValidFrom()), ValidUntil: timeOf(plain.GetValidUntil()),
		}
		credentials, details, err := identity.Credentials(key, epoch)
		if err != nil {
			return nil, err
		}
		sealed, err := device.Seal(s.keyring, s.channel.MSP(), id, version, details)
		if err != nil {
			return nil, err
		}
		return json.Marshal(sealedDevice{ID: id, Credentials: credentials, Sealed: sealed})
	})
	if err != nil {
		return nil, err
	}
	made := &sealedDevice{}
	return made, json.Unmarshal(noted, made)
}

// put has the device's transaction committed and then its sealed details stored.
func (s *deviceService) put(ctx context.Context, into *pb.Device, made *sealedDevice, function string, args ...string) (*pb.Commit, error) {
	commit, err := s.write(ctx, into, function, args...)
	if err != nil {
		return nil, err
	}
	_, err = s.propose(ctx, nil, device.Put(s.channel.MSP(), made.Sealed))
	return commit, err
}

// pseudonyms answers the consortium's key and its epoch.
func (s *deviceService) pseudonyms(ctx context.Context) ([]byte, int64, error) {
	if s.tally == nil {
		return nil, 0, errNoKey()
	}
	return s.tally.Pseudonyms(ctx)
}

// after is the version a change follows, the last one unless it was named.
func (s *deviceService) after(ctx context.Context, id string, named int64) (int64, error) {
	if named != 0 {
		return named, nil
	}
	return noted(ctx, "after", func() (int64, error) {
		var current ledger.Device
		err := value(ctx, s.channel, &current, "devices:Get", s.channel.MSP(), id)
		return current.N, err
	})
}

// SuspendDevice implements callseal.v1.DeviceService.
func (s *deviceService) SuspendDevice(ctx context.Context, request *pb.SuspendDeviceRequest) (*pb.SuspendDeviceResponse, error) {
	response := &pb.SuspendDeviceResponse{Device: &pb.Device{}}
	var err error
	response.Commit, err = s.change(ctx, response.Device, "devices:Suspend", request)
	return response, err
}

// ReinstateDevice implements callseal.v1.DeviceService.
func (s *deviceService) ReinstateDevice(ctx context.Context, request *pb.ReinstateDeviceRequest) (*pb.ReinstateDeviceResponse, error) {
	response := &pb.ReinstateDeviceResponse{Device: &pb.Device{}}
	var err error
	response.Commit, err = s.change(ctx, response.Device, "devices:Reinstate", request)
	return response, err
}

// RevokeDevice implements callseal.v1.DeviceService.
func (s *deviceService) RevokeDevice(ctx context.Context, request *pb.RevokeDeviceRequest) (*pb.RevokeDeviceResponse, error) {
	response := &pb.RevokeDeviceResponse{Device: &pb.Device{}}
	var err error
	response.Commit, err = s.change(ctx, response.Device, "devices:Revoke", request)
	return response, err
}

func (s *deviceService) change(ctx context.Context, into *pb.Device, function string, request interface {
	GetId() string
	GetAfter() int64
	GetReason() string
}) (*pb.Commit, error) {
	if _, err := s.signer(ctx); err != nil {
		return nil, err
	}
	after, err := s.after(ctx, request.GetId(), request.GetAfter())
	if err != nil {
		return nil, err
	}
	return s.write(ctx, into, function, request.GetId(), strconv.FormatInt(after, 10), request.GetReason())
}

// EraseDevice implements callseal.v1.DeviceService: the statement first, because the
// contract may forbid it, then the key, then the sealed details, which the gateway
// purges itself because the statement stands.
func (s *deviceService) EraseDevice(ctx context.Context, request *pb.EraseDeviceRequest) (*pb.EraseDeviceResponse, error) {
	msp, id, version := s.channel.MSP(), request.GetId(), request.GetVersion()
	asked := &ledger.ErasureRequest{EvidenceDigest: request.GetEvidenceDigest(), Reason: request.GetReason(), RequestedBy: callerFrom(ctx).fingerprint}
	if err := device.Erasure(s.keyring, msp, id, version, asked); err != nil {
		return nil, err
	}
	wire, err := canonical(asked)
	if err != nil {
		return nil, err
	}
	response := &pb.EraseDeviceResponse{Erasure: &pb.ErasureStatement{}}
	if response.Commit, err = s.write(ctx, response.Erasure, "devices:Erase", msp, id, strconv.FormatInt(version, 10), wire); err != nil {
		return nil, err
	}
	if _, err := s.keyring.Destroy(ledger.DeviceVersionKey(msp, id, version)); err != nil {
		return nil, err
	}
	purge, err := device.Purge(msp, id, version)
	if err != nil {
		return nil, err
	}
	response.PurgedBy, err = transactOn(ctx, s.channel, nil, purge)
	return response, err
}

// GetDevice implements callseal.v1.DeviceService.
func (s *deviceService) GetDevice(ctx context.Context, request *pb.GetDeviceRequest) (*pb.GetDeviceResponse, error) {
	msp := s.mspOr(request.GetMsp())
	stored, err := s.channel.Evaluate(ctx, "devices:Get", msp, request.GetId())
	if err != nil {
		return nil, err
	}
	response := &pb.GetDeviceResponse{Device: &pb.Device{}}
	if err := mirror.Fill(stored, response.Device); err != nil || !request.GetIncludeDetails() {
		return response, err
	}
	if err := authorizeDeviceDetails(callerFrom(ctx), s.channel.MSP(), msp); err != nil {
		return nil, err
	}
	var known ledger.Device
	if err := ledger.DecodeStrict(stored, &known); err != nil {
		return nil, err
	}
	var sealed ledger.Sealed
	if err := value(ctx, s.channel, &sealed, "details:GetDevice", msp, known.ID, strconv.FormatInt(known.DetailsN, 10)); err != nil {
		return nil, err
	}
	opened, err := device.Open(s.keyring, &known, &sealed)
	if err != nil {
		return nil, err
	}
	shown := opened.Device
	response.Details = &pb.DeviceDetails{Account: shown.Account, Aors: shown.AORs, Fingerprints: shown.Fingerprints, Label: shown.Label, Networks: shown.Networks}
	return response, nil
}

func authorizeDeviceDetails(who caller, ownMSP, msp string) error {
	if msp != ownMSP {
		return fault.New(fault.Denied, "the details of %s are that operator's alone: ask it to disclose them", msp)
	}
	if !slices.Contains(deviceDetailsReaders, who.role) {
		return fault.New(fault.Denied, "the role %q may not see what devices are in clear, one of %q may", who.role, deviceDetailsReaders)
	}
	return nil
}

// GetDeviceVersion implements callseal.v1.DeviceService.
func (s *deviceService) GetDeviceVersion(ctx context.Context, request *pb.GetDeviceVersionRequest) (*pb.GetDeviceVersionResponse, error) {
	response := &pb.GetDeviceVersionResponse{Device: &pb.Device{}}
	err := s.answer(ctx, response.Device, "devices:Version", s.mspOr(request.GetMsp()), request.GetId(), strconv.FormatInt(request.GetVersion(), 10))
	return response, err
}

// ListDeviceVersions implements callseal.v1.DeviceService.
func (s *deviceService) ListDeviceVersions(ctx context.Context, request *pb.ListDeviceVersionsRequest) (*pb.ListDeviceVersionsResponse, error) {
	versions, err := answerEach[pb.Device](ctx, s.channel, "devices:History", s.mspOr(request.GetMsp()), request.GetId())
	return &pb.ListDeviceVersionsResponse{Devices: versions}, err
}

// ListDevices implements callseal.v1.DeviceService.
func (s *deviceService) ListDevices(ctx context.Context, request *pb.ListDevicesRequest) (*pb.ListDevicesResponse, error) {
	size := request.GetPageSize()
	if size == 0 {
		size = defaultPageSize
	}
	if err := checkMask(request.GetFields(), &pb.Device{}); err != nil {
		return nil, err
	}
	result, err := s.channel.Evaluate(ctx, "devices:List", s.mspOr(request.GetMsp()), strconv.Itoa(int(size)), request.GetPageToken())
	if err != nil {
		return nil, err
	}
	var page struct {
		Bookmark string          `json:"bookmark"`
		Devices  json.RawMessage `json:"devices"`
	}
	if err := json.Unmarshal(result, &page); err != nil {
		return nil, errors.Join(errors.New("read the contract's answer"), err)
	}
	response := &pb.ListDevicesResponse{NextPageToken: page.Bookmark}
	if response.Devices, err = mirror.Each[pb.Device](page.Devices); err != nil {
		return nil, err
	}
	for _, one := range response.Devices {
		masked(request.GetFields(), one)
	}
	return response, nil
}

// FindDevices implements callseal.v1.DeviceService.
func (s *deviceService) FindDevices(ctx context.Context, request *pb.FindDevicesRequest) (*pb.FindDevicesResponse, error) {
	function, ref, err := "devices:ByAOR", request.GetAorRef(), error(nil)
	switch {
	case request.GetAor() != "":
		ref, err = s.ref(ctx, ledger.AORRef, request.GetAor())
	case request.GetFingerprint() != "":
		function = "devices:ByFingerprint"
		ref, err = s.ref(ctx, ledger.FingerprintRef, request.GetFingerprint())
	case request.GetFingerprintRef() != "":
		function, ref = "devices:ByFingerprint", request.GetFingerprintRef()
	}
	if err != nil {
		return nil, err
	}
	found, err := answerEach[pb.Device](ctx, s.channel, function, ref)
	return &pb.FindDevicesResponse{Devices: found}, err
}

// CheckDevice implements callseal.v1.DeviceService.
func (s *deviceService) CheckDevice(ctx context.Context, request *pb.CheckDeviceRequest) (*pb.CheckDeviceResponse, error) {
	ref := request.GetAorRef()
	if request.GetAor() != "" {
		var err error
		if ref, err = s.ref(ctx, ledger.AORRef, request.GetAor()); err != nil {
			return nil, err
		}
	}
	at := ""
	if request.GetAt() != nil {
		at = timeOf(request.GetAt()).String()
	}
	response := &pb.CheckDeviceResponse{Verdict: &pb.DeviceVerdict{}}
	return response, s.answer(ctx, response.Verdict, "devices:Check", request.GetMsp(), ref, at)
}

// ref makes a pseudonym of what is in clear.
func (s *deviceService) ref(ctx context.Context, of func([]byte, string) (string, error), plain string) (string, error) {
	key, _, err := s.pseudonyms(ctx)
	if err != nil {
		return "", err
	}
	return of(key, plain)
}

// checkMask refuses a mask that names no field of the message.
func checkMask(mask *fieldmaskpb.FieldMask, of proto.Message) error {
	if len(mask.GetPaths()) > 0 && !mask.IsValid(of) {
		return fault.New(fault.Invalid, "fields names what a %s has not: give names as they are in its answers, such as %q", of.ProtoReflect().Descriptor().Name(), of.ProtoReflect().Descriptor().Fields().Get(0).Name())
	}
	return nil
}

// masked leaves a message the fields that the mask names; all for an empty one.
// Of a path below a message field the whole field stays.
func masked(mask *fieldmaskpb.FieldMask, message proto.Message) {
	if len(mask.GetPaths()) == 0 {
		return
	}
	keep := map[string]bool{}
	for _, path := range mask.GetPaths() {
		for i := range path + "." {
			if i == len(path) || path[i] == '.' {
				keep[path[:i]] = true
				break
			}
		}
	}
	reflected := message.ProtoReflect()
	fields := reflected.Descriptor().Fields()
	for i := range fields.Len() {
		if field := fields.Get(i); !keep[string(field.Name())] {
			reflected.Clear(field)
		}
	}
}
