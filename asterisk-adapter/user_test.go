package adapter

import (
	"os/user"
	"testing"

	"github.com/stretchr/testify/require"
)

// me is whoever runs the tests, for programs that would not run as root untold.
func me(t testing.TB) string {
	t.Helper()
	who, err := user.Current()
	require.NoError(t, err)
	return who.Username
}
