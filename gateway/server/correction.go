package server

import (
	"context"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/idempotency"
	"github.com/callseal/callseal/gateway/mirror"
)

// This file is the part of callseal.v1.CallService that says of a leg what it does
// not say itself.

// legArgs name a leg to the contracts.
func legArgs(msp, pbx string, leg *pb.LegId) []string {
	return []string{msp, pbx, leg.GetLinkedid(), leg.GetUniqueid(), number(leg.GetSequence())}
}

// GetCallState implements callseal.v1.CallService.
func (s *callService) GetCallState(ctx context.Context, request *pb.GetCallStateRequest) (*pb.GetCallStateResponse, error) {
	if err := s.permit(ctx, request.GetMsp(), request.GetPbx(), false); err != nil {
		return nil, err
	}
	response := &pb.GetCallStateResponse{Custody: &pb.Custody{}}
	return response, s.answer(ctx, response.Custody, "calls:State", legArgs(s.mspOr(request.GetMsp()), request.GetPbx(), request.GetLeg())...)
}

// CorrectCall implements callseal.v1.CallService.
func (s *callService) CorrectCall(ctx context.Context, request *pb.CorrectCallRequest) (*pb.CorrectCallResponse, error) {
	if _, err := s.signer(ctx); err != nil {
		return nil, err
	}
	wire, err := idempotency.Note(ctx, "correction", func() ([]byte, error) {
		made := &ledger.Correction{
			DetailsDigest: request.GetDetailsDigest(), EvidenceDigest: request.GetEvidenceDigest(), Leg: legID(request.GetLeg()),
			MSP: s.channel.MSP(), PBX: request.GetPbx(), Reason: request.GetReason(), V: ledger.SchemaVersion,
		}
		if request.GetChanges() != nil {
			made.Changes = &ledger.Changes{}
			if err := mirror.Value(request.GetChanges(), made.Changes); err != nil {
				return nil, err
			}
		}
		if err := s.amend(ctx, request, made); err != nil {
			return nil, err
		}
		return ledger.Canonical(made)
	})
	if err != nil {
		return nil, err
	}
	response := &pb.CorrectCallResponse{Correction: &pb.AnchoredCorrection{}}
	response.Commit, err = s.propose(ctx, response.Correction, fabric.Proposal{
		Function: "calls:Correct", Args: []string{""}, Transient: map[string][]byte{"correction": wire},
	})
	return response, err
}

// amend has the correction name what it amends: what stands there now.
func (s *callService) amend(ctx context.Context, request *pb.CorrectCallRequest, made *ledger.Correction) error {
	leg := legArgs(s.channel.MSP(), request.GetPbx(), request.GetLeg())
	var before []ledger.AnchoredCorrection
	if err := value(ctx, s.channel, &before, "calls:Corrections", leg...); err != nil {
		return err
	}
	if after := request.GetAfter(); after != 0 && after != int64(len(before)) {
		return fault.New(fault.State, "the leg has %d corrections, not %d: look at them and ask again", len(before), after)
	}
	var record ledger.Record
	if err := value(ctx, s.channel, &record, "calls:Get", leg...); err != nil {
		return err
	}
	return made.Amend(&record, before)
}

// ListCorrections implements callseal.v1.CallService.
func (s *callService) ListCorrections(ctx context.Context, request *pb.ListCorrectionsRequest) (*pb.ListCorrectionsResponse, error) {
	if err := s.permit(ctx, request.GetMsp(), request.GetPbx(), false); err != nil {
		return nil, err
	}
	corrections, err := answerEach[pb.AnchoredCorrection](ctx, s.channel, "calls:Corrections", legArgs(s.mspOr(request.GetMsp()), request.GetPbx(), request.GetLeg())...)
	return &pb.ListCorrectionsResponse{Corrections: corrections}, err
}

// ListOmissions implements callseal.v1.CallService.
func (s *callService) ListOmissions(ctx context.Context, request *pb.ListOmissionsRequest) (*pb.ListOmissionsResponse, error) {
	if err := s.permit(ctx, request.GetMsp(), request.GetPbx(), false); err != nil {
		return nil, err
	}
	stored, err := s.list(ctx, "calls:Omissions", s.mspOr(request.GetMsp()), request.GetPbx(), request.GetLinkedid())
	if err != nil {
		return nil, err
	}
	omissions, err := recordMessages(stored, omissionMessage)
	return &pb.ListOmissionsResponse{Omissions: omissions}, err
}

// ReconcileCall implements callseal.v1.CallService.
func (s *callService) ReconcileCall(ctx context.Context, request *pb.ReconcileCallRequest) (*pb.ReconcileCallResponse, error) {
	response := &pb.ReconcileCallResponse{Reconciliation: &pb.Reconciliation{}}
	return response, s.answer(ctx, response.Reconciliation, "calls:Reconcile", request.GetCallRef())
}

// RaiseDispute implements callseal.v1.CallService.
func (s *callService) RaiseDispute(ctx context.Context, request *pb.RaiseDisputeRequest) (*pb.RaiseDisputeResponse, error) {
	var legs []string
	for _, place := range []*pb.LegPlace{request.GetA(), request.GetB()} {
		wire, err := canonical(&ledger.LegPlace{Leg: legID(place.GetLeg()), MSP: place.GetMsp(), PBX: place.GetPbx()})
		if err != nil {
			return nil, err
		}
		legs = append(legs, wire)
	}
	response := &pb.RaiseDisputeResponse{Dispute: &pb.Dispute{}}
	var err error
	response.Commit, err = s.write(ctx, response.Dispute, "calls:Dispute", legs...)
	return response, err
}

// ListDisputes implements callseal.v1.CallService.
func (s *callService) ListDisputes(ctx context.Context, request *pb.ListDisputesRequest) (*pb.ListDisputesResponse, error) {
	disputes, err := answerEach[pb.Dispute](ctx, s.channel, "calls:Disputes", s.mspOr(request.GetMsp()))
	return &pb.ListDisputesResponse{Disputes: disputes}, err
}
