package server

import (
	"context"
	"time"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/device"
	"github.com/callseal/callseal/gateway/idempotency"
)

type consentService struct {
	pb.UnimplementedConsentServiceServer
	writer
}

// DeclareConsent implements callseal.v1.ConsentService.
func (s *consentService) DeclareConsent(ctx context.Context, request *pb.DeclareConsentRequest) (*pb.DeclareConsentResponse, error) {
	if err := s.permit(ctx, s.channel.MSP(), request.GetPbx(), false); err != nil {
		return nil, err
	}
	if _, err := s.signer(ctx); err != nil {
		return nil, err
	}
	wire, err := idempotency.Note(ctx, "statement", func() ([]byte, error) {
		statement := &ledger.ConsentStatement{
			EvidenceDigest: request.GetEvidenceDigest(), ExpiresAt: timeOf(request.GetExpiresAt()), GivenAt: timeOf(request.GetGivenAt()),
			Jurisdiction: request.GetJurisdiction(), LinkedID: request.GetLinkedid(), Method: request.GetMethod(), PartyRef: request.GetPartyRef(),
			PBX: request.GetPbx(), Purpose: request.GetPurpose(), Status: request.GetStatus(),
		}
		if request.GetGivenAt() == nil {
			statement.GivenAt = ledger.TimeOf(time.Now())
		}
		var stated []ledger.Consent
		if err := value(ctx, s.channel, &stated, "consents:ForCall", s.channel.MSP(), request.GetPbx(), request.GetLinkedid()); err != nil {
			return nil, err
		}
		if err := statement.Succeed(stated); err != nil {
			return nil, err
		}
		text, err := canonical(statement)
		return []byte(text), err
	})
	if err != nil {
		return nil, err
	}
	response := &pb.DeclareConsentResponse{Consent: &pb.Consent{}}
	response.Commit, err = s.write(ctx, response.Consent, "consents:Declare", string(wire))
	return response, err
}

// GetConsent implements callseal.v1.ConsentService.
func (s *consentService) GetConsent(ctx context.Context, request *pb.GetConsentRequest) (*pb.GetConsentResponse, error) {
	if err := s.permit(ctx, request.GetMsp(), request.GetPbx(), false); err != nil {
		return nil, err
	}
	response := &pb.GetConsentResponse{Consent: &pb.Consent{}}
	return response, s.answer(ctx, response.Consent, "consents:Get", s.mspOr(request.GetMsp()), request.GetPbx(), request.GetLinkedid(),
		request.GetPartyRef(), request.GetPurpose(), number(request.GetN()))
}

// ListConsents implements callseal.v1.ConsentService.
func (s *consentService) ListConsents(ctx context.Context, request *pb.ListConsentsRequest) (*pb.ListConsentsResponse, error) {
	if err := s.permit(ctx, request.GetMsp(), request.GetPbx(), false); err != nil {
		return nil, err
	}
	consents, err := answerEach[pb.Consent](ctx, s.channel, "consents:ForCall", s.mspOr(request.GetMsp()), request.GetPbx(), request.GetLinkedid())
	return &pb.ListConsentsResponse{Consents: consents}, err
}

// GetConsentStanding implements callseal.v1.ConsentService.
func (s *consentService) GetConsentStanding(ctx context.Context, request *pb.GetConsentStandingRequest) (*pb.GetConsentStandingResponse, error) {
	if err := s.permit(ctx, request.GetMsp(), request.GetPbx(), false); err != nil {
		return nil, err
	}
	question, err := canonical(&ledger.ConsentQuestion{
		At: timeOf(request.GetAt()), Jurisdictions: device.SortedOnce(request.GetJurisdictions()), Parties: device.SortedOnce(request.GetParties()),
		Purpose: request.GetPurpose(),
	})
	if err != nil {
		return nil, err
	}
	response := &pb.GetConsentStandingResponse{Decision: &pb.ConsentDecision{}}
	return response, s.answer(ctx, response.Decision, "consents:Standing", s.mspOr(request.GetMsp()), request.GetPbx(), request.GetLinkedid(), question)
}

// ReportViolation implements callseal.v1.ConsentService.
func (s *consentService) ReportViolation(ctx context.Context, request *pb.ReportViolationRequest) (*pb.ReportViolationResponse, error) {
	report, err := canonical(&ledger.ViolationReport{
		MSP: s.mspOr(request.GetMsp()), N: request.GetN(), PartyRef: request.GetPartyRef(), PBX: request.GetPbx(),
		Recording: ledger.RecordingID{ID: request.GetId(), Revision: max(1, request.GetRevision())},
	})
	if err != nil {
		return nil, err
	}
	response := &pb.ReportViolationResponse{Violation: &pb.Violation{}}
	response.Commit, err = s.write(ctx, response.Violation, "consents:Report", report)
	return response, err
}

// ListViolations implements callseal.v1.ConsentService.
func (s *consentService) ListViolations(ctx context.Context, request *pb.ListViolationsRequest) (*pb.ListViolationsResponse, error) {
	if err := s.permit(ctx, request.GetMsp(), request.GetPbx(), false); err != nil {
		return nil, err
	}
	violations, err := answerEach[pb.Violation](ctx, s.channel, "consents:Violations", s.mspOr(request.GetMsp()), request.GetPbx())
	return &pb.ListViolationsResponse{Violations: violations}, err
}

// ListDueViolations implements callseal.v1.ConsentService.
func (s *consentService) ListDueViolations(ctx context.Context, request *pb.ListDueViolationsRequest) (*pb.ListDueViolationsResponse, error) {
	if err := s.permit(ctx, request.GetMsp(), request.GetPbx(), false); err != nil {
		return nil, err
	}
	due, err := answerEach[pb.ViolationReport](ctx, s.channel, "consents:Violating", s.mspOr(request.GetMsp()), request.GetPbx(), request.GetLinkedid())
	return &pb.ListDueViolationsResponse{Reports: due}, err
}
