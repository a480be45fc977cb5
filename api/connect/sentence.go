package connect

import "google.golang.org/grpc/status"

// Sentence is what a gateway's error says to people, a *[Problem]; an error that is no
// call's stays as it is.
func Sentence(err error) error {
	if _, isStatus := status.FromError(err); err == nil || !isStatus {
		return err
	}
	return ProblemOf(err)
}
