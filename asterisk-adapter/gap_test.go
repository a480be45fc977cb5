package adapter

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/lab"
)

// testGap loses the network to ARI in the middle of a call that an application records,
// and to AMI as well: the recording that ARI did not tell of is found on disk, the
// leg does not wait for the end that nobody saw, and one that goes on is observed.
func (s *scene) testGap(t *testing.T) {
	t.Helper()
	asterisk, err := lab.Require(t).Start(t.Context(), lab.Options{Files: map[string]string{"extensions.conf": "[lab]\nexten => _X.,1,Answer()\n same => n,Stasis(callseal)\n"}})
	require.NoError(t, err)
	defer asterisk.Stop()
	require.NoError(t, asterisk.RegisterPhones(t.Context()))
	address, err := url.Parse(asterisk.ARI())
	require.NoError(t, err)
	network, err := lab.NewRelay(t.Context(), address.Host)
	require.NoError(t, err)
	defer network.Close()
	manager, err := lab.NewRelay(t.Context(), asterisk.AMI())
	require.NoError(t, err)
	defer manager.Close()
	config := s.config(t, t.TempDir(), "csv", "ami", "ari")
	config.CDR.CSV, config.AMI.Address, config.AMI.Secret = asterisk.CSV(), manager.Address(), asterisk.Secret()
	config.ARI.URL, config.ARI.Password, config.ARI.Recordings = "http://"+network.Address()+"/ari", asterisk.Secret(), asterisk.ARIRecordingDir()
	config.Recordings.Folder, config.Recordings.Closed, config.Recordings.Due = asterisk.RecordingDir(), asterisk.ClosedDir(), dueNone
	adapter := run(t, config)

	ended := make(chan error, 1)
	go func() {
		_, err := asterisk.PlaceCall(t.Context(), lab.Call{Duration: 3 * time.Second})
		ended <- err
	}()
	channel := applied(t, asterisk)
	act(t, asterisk, "/channels/"+channel+"/record?name="+channel+"&format=wav")
	file := filepath.Join(asterisk.ARIRecordingDir(), channel+".wav")
	require.Eventually(t, func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() > 8_000
	}, time.Minute, 20*time.Millisecond)
	network.Lose()
	manager.Lose()
	adapter.until(t, "ARI lost", 1)
	adapter.until(t, "AMI lost", 1)
	adapter.requireHealth(t, sourceAMI, sourceARI)
	// On a busy machine the call, and the recording with it, is over by now.
	require.Contains(t, []int{http.StatusNoContent, http.StatusNotFound}, ask(t, asterisk, "/recordings/live/"+channel+"/stop"))
	require.NoError(t, <-ended)
	// The CDR came from the file, and nobody could tell of its channel.
	adapter.until(t, "ARI did not tell a channel's end", 1)
	adapter.until(t, "call anchored", 1)
	// The recording is seen on disk meanwhile, and needs no word of ARI's.
	require.Equal(t, "close-write", adapter.until(t, "recording digested", 1)[0]["sign"])

	network.Restore()
	manager.Restore()
	adapter.until(t, "ARI connected", 2)
	adapter.requireHealth(t)
	recordings := pb.NewRecordingServiceClient(s.dial(t, "auditor"))
	require.Eventually(t, func() bool {
		found, err := recordings.ListRecordings(t.Context(), &pb.ListRecordingsRequest{Pbx: config.PBX, Linkedid: channel})
		return err == nil && len(found.GetRecordings()) == 1
	}, patience, 20*time.Millisecond)

	// A call that goes on over a gap is observed to its end.
	go func() {
		_, err := asterisk.PlaceCall(t.Context(), lab.Call{Duration: 3 * time.Second})
		ended <- err
	}()
	over := talking(t, asterisk)
	network.Lose()
	adapter.until(t, "ARI lost", 2)
	network.Restore()
	adapter.until(t, "ARI connected", 3)
	require.NoError(t, <-ended)
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(adapter.lines("call anchored"), func(line map[string]any) bool {
			return line["uniqueid"] == over && line["ms_from_hangup"] != nil
		})
	}, patience, 20*time.Millisecond)
	require.Empty(t, adapter.lines("recordings of ARI applications that finished unseen"), "what the journal knows is not taken again")
	require.NoError(t, adapter.stop())
}

// talking waits for a channel that is up and answers its uniqueid.
func talking(t *testing.T, asterisk *lab.Asterisk) string {
	t.Helper()
	return channelIn(t, asterisk, "")
}

// applied waits for a channel that an ARI application has and answers its uniqueid.
func applied(t *testing.T, asterisk *lab.Asterisk) string {
	t.Helper()
	return channelIn(t, asterisk, "Stasis")
}

func channelIn(t *testing.T, asterisk *lab.Asterisk, application string) string {
	t.Helper()
	var channel string
	require.Eventually(t, func() bool {
		out, err := asterisk.Command(t.Context(), "core show channels concise")
		if fields := strings.Split(out, "!"); err == nil && len(fields) > 13 && fields[4] == "Up" && (application == "" || fields[5] == application) {
			channel = strings.TrimSpace(fields[13])
		}
		return channel != ""
	}, time.Minute, 20*time.Millisecond)
	return channel
}
