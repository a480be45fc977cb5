package main

import (
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	adapter "github.com/callseal/callseal/asterisk-adapter"
	"github.com/callseal/callseal/gateway/metrics"
)

// The page is what a gateway registers, its labels are all in the fixed list, and
// the list has none that nothing has.
func TestThePageIsUpToDate(t *testing.T) {
	all, err := catalogue(t.Context())
	require.NoError(t, err)
	require.Greater(t, len(all), 40)
	text, err := page(all)
	require.NoError(t, err)
	adapters, err := adapterCatalogue()
	require.NoError(t, err)
	require.Greater(t, len(adapters), 20)
	more, err := adapterPage(adapters)
	require.NoError(t, err)
	text = append(text, more...)
	written, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	require.Equal(t, string(written), string(text), "run `make docs`")
	used := map[string]bool{}
	for _, one := range all {
		require.NotEmpty(t, one.Help, one.Name)
		for _, label := range one.Labels {
			used[label] = true
		}
	}
	for _, one := range adapters {
		require.NotEmpty(t, one.Help, one.Name)
		for _, label := range one.Labels {
			used["adapter "+label] = true
		}
	}
	for _, one := range adapter.Labels {
		require.True(t, used["adapter "+one.Name], "no metric has the label %s", one.Name)
	}
	for _, one := range metrics.Labels {
		require.True(t, used[one.Name], "no metric has the label %s", one.Name)
	}
	require.True(t, slices.ContainsFunc(all, func(one metrics.Description) bool {
		return one.Name == "callseal_gateway_health_serving" && one.Type == "gauge" && slices.Equal(one.Labels, []string{"name"})
	}))
}

func TestAnUnlistedLabelIsRefused(t *testing.T) {
	_, err := page([]metrics.Description{{Name: "callseal_gateway_calls_total", Type: "counter", Labels: []string{"caller"}, Help: "Calls."}})
	require.ErrorContains(t, err, `the label "caller"`)
}
