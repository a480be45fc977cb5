package connect

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// stageRequest is the stage of what the request itself got wrong.
const stageRequest = "request"

// Problem is what a gateway's error says, taken apart: what a program decides by.
type Problem struct { //nolint:errname // an error taken apart
	// Code is gRPC's.
	Code codes.Code
	// Message is the sentence for people.
	Message string
	// Reason is the gateway's word for it, such as "RESOURCE_EXHAUSTED" or
	// "OUTCOME_UNKNOWN"; empty where no gateway answered.
	Reason string
	// Stage is where it happened: request, accept, evaluate, endorse, submit, commit.
	Stage string
	// TransactionID is Fabric's, where there was a transaction.
	TransactionID string
	// Retryable says that the same request may succeed later.
	Retryable bool
	// RetryAfter is how long to wait at least, where that is known.
	RetryAfter time.Duration
	// Fields say what is wrong with the request, by the path of the field.
	Fields map[string]string
}

// Error says it to people: what was wrong, where and in which transaction it was found,
// and whether to try again.
func (p *Problem) Error() string {
	if p.Reason == "" {
		if p.Code == codes.Unavailable {
			// No gateway said this: none was reached.
			return fmt.Sprintf("the gateway does not answer: is the network up? (%s)", p.Message)
		}
		return p.Message
	}
	var found []string
	if p.Stage != "" && p.Stage != stageRequest {
		found = append(found, "at "+p.Stage)
	}
	if p.TransactionID != "" {
		found = append(found, "transaction "+p.TransactionID)
	}
	said := p.Message
	if len(found) > 0 {
		said += " (" + strings.Join(found, ", ") + ")"
	}
	switch {
	case p.RetryAfter > 0:
		said += fmt.Sprintf("; try again after %s", max(p.RetryAfter.Round(time.Second), time.Second))
	case p.Retryable:
		said += "; try again"
	}
	return said
}

// ProblemOf takes an error of a call apart; nil for none. An error that no gateway
// made, such as a connection's, has no reason, and may be tried again where gRPC
// calls it unavailable.
func ProblemOf(err error) *Problem {
	if err == nil {
		return nil
	}
	given := status.Convert(err)
	// The status of an error that was wrapped on its way says the wrapping too.
	var within interface{ GRPCStatus() *status.Status }
	if errors.As(err, &within) {
		given = within.GRPCStatus()
	}
	problem := &Problem{Code: given.Code(), Message: given.Message(), Retryable: given.Code() == codes.Unavailable}
	for _, detail := range given.Details() {
		switch said := detail.(type) {
		case *errdetails.ErrorInfo:
			problem.Reason, problem.Stage = said.GetReason(), said.GetMetadata()["stage"]
			problem.TransactionID = said.GetMetadata()["transaction_id"]
			problem.Retryable, _ = strconv.ParseBool(said.GetMetadata()["retryable"])
		case *errdetails.RetryInfo:
			problem.RetryAfter = said.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			problem.Fields = map[string]string{}
			for _, field := range said.GetFieldViolations() {
				problem.Fields[field.GetField()] = field.GetDescription()
			}
		}
	}
	return problem
}
