package rest

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/callseal/callseal/gateway/fault"
)

// answerError writes an error as google.rpc.Status, the very one gRPC would carry,
// with the HTTP status that stands for its code and, where it is known when to try
// again, Retry-After.
func answerError(ctx context.Context, mux *runtime.ServeMux, marshaler runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	var routed *runtime.HTTPStatusError
	if errors.As(err, &routed) {
		err = routed.Err
	}
	said := status.Convert(err)
	if len(said.Details()) == 0 {
		said = own(said, routed)
	}
	for _, detail := range said.Details() {
		if retry, is := detail.(*errdetails.RetryInfo); is {
			w.Header().Set("Retry-After", retryAfter(retry.GetRetryDelay().AsDuration()))
		}
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	answer := said.Err()
	if routed != nil {
		answer = &runtime.HTTPStatusError{HTTPStatus: routed.HTTPStatus, Err: answer}
	}
	runtime.DefaultHTTPErrorHandler(ctx, mux, marshaler, w, r, answer)
}

// answerRouting answers for what leads to no method.
func answerRouting(ctx context.Context, mux *runtime.ServeMux, marshaler runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	status := status.Error(codes.NotFound, http.StatusText(code))
	answerError(ctx, mux, marshaler, w, r, &runtime.HTTPStatusError{HTTPStatus: code, Err: status})
}

// own gives what the translation itself refused the form of all other errors.
func own(said *status.Status, routed *runtime.HTTPStatusError) *status.Status {
	kind, message := fault.Internal, said.Message()
	switch {
	case routed != nil && routed.HTTPStatus == http.StatusMethodNotAllowed:
		kind, message = fault.Invalid, "this address is not asked by that HTTP method: /openapi.json says which are"
	case routed != nil, said.Code() == codes.NotFound, said.Code() == codes.Unimplemented:
		kind, message = fault.NotFound, "there is nothing at this address: /openapi.json says what there is"
	case said.Code() == codes.InvalidArgument:
		kind, message = fault.Invalid, "the request cannot be read: "+said.Message()
	case said.Code() == codes.Unavailable:
		kind = fault.Unavailable
	}
	detailed, err := status.New(said.Code(), message).WithDetails(&errdetails.ErrorInfo{
		Reason: string(kind), Domain: "callseal", Metadata: map[string]string{
			"stage": string(fault.StageRequest), "transaction_id": "", "retryable": strconv.FormatBool(kind == fault.Unavailable),
		},
	})
	if err != nil {
		return said
	}
	return detailed
}

// retryAfter is in whole seconds, one at least.
func retryAfter(delay time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(delay.Seconds()))))
}
