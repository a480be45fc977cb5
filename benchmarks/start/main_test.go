package main

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

// The program's measurement, once, with real networks and the real demo.
func TestMeasure(t *testing.T) {
	group := &result.Group{Name: "callseal-start", Title: "Start", Began: time.Now()}
	measure(t, 1, group)
	group.Ended = time.Now()
	require.NoError(t, group.Write(t.TempDir()))
	for _, name := range []string{"network/first", "network/again", "demo"} {
		values := group.Find(name).Values
		require.Len(t, values, 1, name)
		require.Positive(t, values[0], name)
	}
}

func TestTheLastLineSaysWhy(t *testing.T) {
	require.Equal(t, "Error: ports are taken", last([]byte("orderers\npeers\nError: ports are taken\n\n")))
	require.Empty(t, last(nil))
}
