package journal_test

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/journal"
)

func TestMetrics(t *testing.T) {
	j := open(t, t.TempDir(), journal.Config{MaxEntries: 2})
	registry := prometheus.NewPedanticRegistry()
	journal.NewMetrics(registry, j, slog.New(slog.DiscardHandler))
	read := func() map[string]float64 {
		families, err := registry.Gather()
		require.NoError(t, err)
		values := map[string]float64{}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				name := family.GetName()
				for _, label := range metric.GetLabel() {
					name += " " + label.GetValue()
				}
				values[name] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
			}
		}
		return values
	}
	before := read()
	require.Zero(t, before["callseal_gateway_journal_entries queued"])
	_, err := j.Append(t.Context(), accept("pbx1", 1), accept("pbx1", 2))
	require.NoError(t, err)
	after := read()
	require.InDelta(t, 2, after["callseal_gateway_journal_entries queued"], 0)
	require.Greater(t, after["callseal_gateway_journal_written_bytes_total"], before["callseal_gateway_journal_written_bytes_total"])
	require.Positive(t, after["callseal_gateway_journal_payload_bytes"])
	require.Positive(t, after["callseal_gateway_journal_disk_bytes"])
}
