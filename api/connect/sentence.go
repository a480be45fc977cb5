package connect

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Sentence is what a gateway's error says to people, without gRPC's wrapping.
func Sentence(err error) error {
	given, isStatus := status.FromError(err)
	if err == nil || !isStatus {
		return err
	}
	if given.Code() == codes.Unavailable && len(given.Details()) == 0 {
		// No gateway said this: none was reached.
		return fmt.Errorf("the gateway does not answer: is the network up? (%s)", given.Message())
	}
	return errors.New(given.Message())
}
