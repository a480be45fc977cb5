package adapter

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/lab"
)

// testBridgeRecording follows a PBX whose calls an ARI application records in a
// bridge: the recording's name is the channel's uniqueid, RecordingFinished says
// that it is complete, and it is bound to the channel's leg.
func (s *scene) testBridgeRecording(t *testing.T) {
	t.Helper()
	asterisk, err := lab.Require(t).Start(t.Context(), lab.Options{Files: map[string]string{"extensions.conf": "[lab]\nexten => _X.,1,Answer()\n same => n,Stasis(callseal)\n"}})
	require.NoError(t, err)
	defer asterisk.Stop()
	require.NoError(t, asterisk.RegisterPhones(t.Context()))
	config := s.config(t, t.TempDir(), "csv", "ari")
	config.CDR.CSV = asterisk.CSV()
	config.ARI.URL, config.ARI.Password, config.ARI.Recordings = asterisk.ARI(), asterisk.Secret(), asterisk.ARIRecordingDir()
	config.Recordings.Folder, config.Recordings.Closed = asterisk.RecordingDir(), asterisk.ClosedDir()
	adapter := run(t, config)

	ended := make(chan error, 1)
	go func() {
		_, err := asterisk.PlaceCall(t.Context(), lab.Call{Duration: 4 * time.Second})
		ended <- err
	}()
	channel := applied(t, asterisk)
	act(t, asterisk, "/bridges/conference?type=mixing")
	act(t, asterisk, "/bridges/conference/addChannel?channel="+channel)
	act(t, asterisk, "/bridges/conference/record?name="+channel+"&format=wav")
	file := filepath.Join(asterisk.ARIRecordingDir(), channel+".wav")
	require.Eventually(t, func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() > 16_000
	}, time.Minute, 20*time.Millisecond)
	act(t, asterisk, "/recordings/live/"+channel+"/stop")
	require.NoError(t, <-ended)
	adapter.until(t, "call anchored", 1)

	recordings := pb.NewRecordingServiceClient(s.dial(t, "auditor"))
	found, err := recordings.ListRecordings(t.Context(), &pb.ListRecordingsRequest{Pbx: config.PBX, Linkedid: channel})
	require.NoError(t, err)
	require.Len(t, found.GetRecordings(), 1)
	require.Equal(t, channel, found.GetRecordings()[0].GetLeg().GetUniqueid())
	s.requireRecording(t, file, "ari-bridge", found.GetRecordings()[0])
	require.NoError(t, adapter.stop())
}

// act posts to ARI as the lab's own user, who may.
func act(t *testing.T, asterisk *lab.Asterisk, path string) {
	t.Helper()
	status := ask(t, asterisk, path)
	require.Less(t, status, 300, "%d", status)
}

// ask is act, but answers the HTTP status.
func ask(t *testing.T, asterisk *lab.Asterisk, path string) int {
	t.Helper()
	address, err := url.Parse(asterisk.ARI() + path)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address.String(), nil)
	require.NoError(t, err)
	request.SetBasicAuth(asterisk.Control())
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode
}
