package health

import (
	"encoding/json"
	"net/http"
)

// Ready answers 200 while the gateway accepts and 503 otherwise, with the whole
// report as JSON: the same as the gRPC health service says.
func (m *Monitor) Ready() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		report := m.Report()
		status := http.StatusOK
		if !report.Serving {
			status = http.StatusServiceUnavailable
		}
		answer(w, status, report)
	})
}

// Live answers 200 while the process works, whatever it stands on.
func (m *Monitor) Live() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := m.Alive(); err != nil {
			answer(w, http.StatusServiceUnavailable, map[string]any{"alive": false, "reason": err.Error()})
			return
		}
		answer(w, http.StatusOK, map[string]any{"alive": true})
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // nobody is left to tell
}
