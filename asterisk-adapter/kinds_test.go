package adapter

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/audit"
	"github.com/callseal/callseal/chaincode/ledger"
)

// kindsPlan records in every way that Asterisk has; each number is one.
const kindsPlan = `[general]
static = yes
[globals]
SHARED=none
[lab]
exten => 2001,1,Gosub(begin,s,1)
 same => n,MixMonitor(${MON}/${UNIQUEID}.wav,r(${MON}/${UNIQUEID}-received.wav)t(${MON}/${UNIQUEID}-transmitted.wav))
 same => n,Wait(30)
exten => 2002,1,Gosub(begin,s,1)
 same => n,MixMonitor(${MON}/${UNIQUEID}-stereo.raw,D)
 same => n,Wait(30)
exten => 2003,1,Gosub(begin,s,1)
 same => n,Set(GLOBAL(SHARED)=${UNIQUEID})
 same => n,MixMonitor(${MON}/${UNIQUEID}.wav,a)
 same => n,Wait(30)
exten => 2004,1,Gosub(begin,s,1)
 same => n,MixMonitor(${MON}/${SHARED}.wav,a)
 same => n,Wait(30)
exten => 2005,1,Gosub(begin,s,1)
 same => n,MixMonitor(${MON}/a voice that names nobody.WAV)
 same => n,Wait(30)
exten => 2006,1,Gosub(begin,s,1)
 same => n,MixMonitor(${MON}/2026/11/30/out-+351210000000-1001-20261130-040000-${UNIQUEID}.wav)
 same => n,Wait(30)
exten => 2007,1,Gosub(begin,s,1)
 same => n,MixMonitor(${MON}/full/${UNIQUEID}.wav)
 same => n,Wait(30)
exten => 2008,1,Gosub(begin,s,1)
 same => n,MixMonitor(${MON}/${UNIQUEID}.wav)
 same => n,Wait(60)
exten => 2009,1,Gosub(begin,s,1)
 same => n,StopPlaytones()
 same => n,Stasis(callseal)
[begin]
exten => s,1,Set(CDR(userfield)=${CHANNEL(pjsip,call-id)})
 same => n,Set(MON=${ASTSPOOLDIR}/monitor)
 same => n,Answer()
 same => n,Playtones(880)
 same => n,Return()
`

// kinds is an Asterisk that records in every way, and an adapter beside it.
type kinds struct {
	*scene
	t        *testing.T
	pbx      *lab.Asterisk
	config   *Config
	adapter  *running
	auditing pb.RecordingServiceClient
}

// testRecordings has Asterisk record in every way there is, and holds the ledger
// against the files.
func (s *scene) testRecordings(t *testing.T) {
	t.Helper()
	asterisk, err := lab.Require(t).Start(t.Context(), lab.Options{
		Files: map[string]string{"extensions.conf": kindsPlan}, Modules: []string{"format_sln", "format_wav_gsm", "codec_gsm"},
	})
	require.NoError(t, err)
	defer asterisk.Stop()
	require.NoError(t, asterisk.RegisterPhones(t.Context()))
	k := &kinds{scene: s, t: t, pbx: asterisk, auditing: pb.NewRecordingServiceClient(s.auditor)}
	require.NoError(t, os.MkdirAll(k.file("2026/11/30"), 0o755))
	require.NoError(t, os.Mkdir(k.file("full"), 0o755))
	require.NoError(t, unix.Mount("tmpfs", k.file("full"), "tmpfs", 0, "size=128k"), "this test needs to mount filesystems: run it as root")
	defer func() { require.NoError(t, unix.Unmount(k.file("full"), unix.MNT_DETACH)) }()
	k.config = s.config(t, t.TempDir(), "csv", "ari")
	k.config.CDR.CSV = asterisk.CSV()
	k.config.ARI.URL, k.config.ARI.Password, k.config.ARI.Recordings = asterisk.ARI(), asterisk.Secret(), asterisk.ARIRecordingDir()
	k.config.Recordings = RecordingsConfig{Folder: asterisk.RecordingDir(), Closed: asterisk.ClosedDir(), Due: dueAnswered, PairWait: "3s", OmissionAfter: "4s"}
	require.NoError(t, k.config.check())
	k.adapter = run(t, k.config)
	k.mixed()
	shared := k.appended()
	k.named()
	k.ofApplications()
	k.fullDisk()
	k.whileAway(shared)
	k.crashed()
	require.NoError(t, k.adapter.stop())
}

func (k *kinds) file(name string) string { return filepath.Join(k.pbx.RecordingDir(), name) }

// call places a call and answers its uniqueid, which is its linkedid too.
func (k *kinds) call(number string) string {
	k.t.Helper()
	report, err := k.pbx.PlaceCall(k.t.Context(), lab.Call{To: number, Duration: 1500 * time.Millisecond})
	require.NoError(k.t, err)
	var id string
	require.Eventually(k.t, func() bool {
		for _, row := range k.rowsOf(k.t, k.pbx.CSV()) {
			if row.UserField == report.CallID {
				id = row.UniqueID
			}
		}
		return id != ""
	}, patience, 20*time.Millisecond)
	return id
}

// recorded waits for as many recordings of a call and answers them by track, the last
// revision of each last.
func (k *kinds) recorded(linkedID string, count int) []*ledger.Recording {
	k.t.Helper()
	var made []*ledger.Recording
	require.Eventually(k.t, func() bool {
		found, err := k.auditing.ListRecordings(k.t.Context(), &pb.ListRecordingsRequest{Msp: k.owner.MSP, Pbx: k.config.PBX, Linkedid: linkedID})
		made = nil
		for _, one := range found.GetRecordings() {
			var record ledger.Record
			require.NoError(k.t, ledger.DecodeStrict(one.GetRecordJson(), &record))
			made = append(made, record.Recording)
		}
		return err == nil && len(made) >= count
	}, patience, 50*time.Millisecond, "%d recordings of %s", count, linkedID)
	require.Len(k.t, made, count)
	slices.SortFunc(made, func(a, b *ledger.Recording) int {
		return strings.Compare(a.Track+string(rune('0'+a.Revision)), b.Track+string(rune('0'+b.Revision)))
	})
	return made
}

// is holds a recording on the ledger against its file.
func (k *kinds) is(made *ledger.Recording, path, method, track, mediaType string, revision int64) {
	k.t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(k.t, err)
	short, long := sha256.Sum256(content), sha512.Sum512(content)
	require.Equal(k.t, hex.EncodeToString(short[:]), made.SHA256)
	require.Equal(k.t, hex.EncodeToString(long[:]), made.SHA512)
	require.Equal(k.t, int64(len(content)), made.Bytes)
	require.Greater(k.t, made.Bytes, int64(1000))
	require.Equal(k.t, []any{method, track, mediaType, revision}, []any{made.Method, made.Track, made.MediaType, made.Revision})
}

func (k *kinds) mixed() {
	k.t.Helper()
	id := k.call("2001")
	made := k.recorded(id, 3)
	k.is(made[0], k.file(id+".wav"), ari.ByMixMonitor, "", "audio/wav", 1)
	k.is(made[1], k.file(id+"-received.wav"), ari.ByMixMonitor, ledger.TrackReceived, "audio/wav", 1)
	k.is(made[2], k.file(id+"-transmitted.wav"), ari.ByMixMonitor, ledger.TrackTransmitted, "audio/wav", 1)
	require.NotEqual(k.t, made[1].SHA256, made[2].SHA256)
	id = k.call("2002")
	k.is(k.recorded(id, 1)[0], k.file(id+"-stereo.raw"), ari.ByMixMonitor, ledger.TrackStereo, "audio/x-s16le;rate=8000;channels=2", 1)
}

// appended has a second call record into the file of the first, which is anchored.
func (k *kinds) appended() string {
	k.t.Helper()
	id := k.call("2003")
	first := k.recorded(id, 1)[0]
	k.is(first, k.file(id+".wav"), ari.ByMixMonitor, "", "audio/wav", 1)
	second := k.call("2004")
	made := k.recorded(second, 1)[0]
	require.Equal(k.t, first.ID, made.ID)
	require.Equal(k.t, second, made.Leg.UniqueID, "ARI saw who was recorded, whatever the file is called")
	k.is(made, k.file(id+".wav"), ari.ByMixMonitor, "", "audio/wav", 2)
	require.Greater(k.t, made.Bytes, first.Bytes)
	require.Equal(k.t, first, k.recorded(id, 1)[0])

	// Appended to after a change, it is no revision but an alarm.
	content, err := os.ReadFile(k.file(id + ".wav"))
	require.NoError(k.t, err)
	bad := slices.Concat(content, make([]byte, 1000))
	bad[1000] ^= 1
	binary.LittleEndian.PutUint32(bad[4:], uint32(len(bad)-8))
	binary.LittleEndian.PutUint32(bad[40:], uint32(len(bad)-44))
	before := len(k.adapter.lines("a recording was changed after it was anchored"))
	require.NoError(k.t, os.WriteFile(k.file(id+".wav"), bad, 0o600))
	k.adapter.until(k.t, "a recording was changed after it was anchored", before+1)
	require.NoError(k.t, os.WriteFile(k.file(id+".wav"), content[:20], 0o600))
	k.adapter.until(k.t, "a recording was changed after it was anchored", before+2)
	require.NoError(k.t, os.WriteFile(k.file(id+".wav"), content, 0o600))
	k.recorded(id, 1)
	return id
}

// named records into files whose names tell what they should not, or nothing.
func (k *kinds) named() {
	k.t.Helper()
	id := k.call("2005")
	k.is(k.recorded(id, 1)[0], k.file("a voice that names nobody.WAV"), ari.ByMixMonitor, "", "audio/wav", 1)
	id = k.call("2006")
	k.is(k.recorded(id, 1)[0], k.file("2026/11/30/out-+351210000000-1001-20261130-040000-"+id+".wav"), ari.ByMixMonitor, "", "audio/wav", 1)
	require.NotContains(k.t, k.adapter.String(), "351210000000")
	require.NotContains(k.t, k.adapter.String(), "names nobody")
}

// ofApplications records a channel and a bridge by ARI, under names that tell nothing.
func (k *kinds) ofApplications() {
	k.t.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := k.pbx.PlaceCall(k.t.Context(), lab.Call{To: "2009", Duration: 6 * time.Second})
		ended <- err
	}()
	channel := applied(k.t, k.pbx)
	k.begin("/channels/"+channel+"/record?format=wav&name=", "a channel")
	k.end("a channel")
	act(k.t, k.pbx, "/bridges/room?type=mixing")
	// Asterisk refuses it with 409 while the channel's recording is still being ended.
	require.Eventually(k.t, func() bool { return ask(k.t, k.pbx, "/bridges/room/addChannel?channel="+channel) < 300 }, patience, 50*time.Millisecond)
	k.begin("/bridges/room/record?format=wav&name=", "a/bridge")
	k.end("a/bridge")
	require.NoError(k.t, <-ended)
	made := k.recorded(channel, 2)
	slices.SortFunc(made, func(a, b *ledger.Recording) int { return strings.Compare(b.Method, a.Method) })
	k.is(made[0], filepath.Join(k.pbx.ARIRecordingDir(), "a channel.wav"), ari.OfChannel, "", "audio/wav", 1)
	k.is(made[1], filepath.Join(k.pbx.ARIRecordingDir(), "a/bridge.wav"), ari.OfBridge, "", "audio/wav", 1)
}

// escaped is a recording's name in an address.
func escaped(name string) string { return strings.NewReplacer(" ", "%20", "/", "%2F").Replace(name) }

// begin starts a recording by ARI and waits for some audio.
func (k *kinds) begin(path, name string) {
	k.t.Helper()
	act(k.t, k.pbx, path+escaped(name))
	require.Eventually(k.t, func() bool {
		info, err := os.Stat(filepath.Join(k.pbx.ARIRecordingDir(), name+".wav"))
		return err == nil && info.Size() > 4_000
	}, patience, 20*time.Millisecond)
}

func (k *kinds) end(name string) {
	k.t.Helper()
	act(k.t, k.pbx, "/recordings/live/"+escaped(name)+"/stop")
}

// fullDisk records onto a disk that has no room: what fits is anchored, and what does
// not is omitted for that reason.
func (k *kinds) fullDisk() {
	k.t.Helper()
	require.NoError(k.t, os.WriteFile(k.file("full/stuff"), make([]byte, 112<<10), 0o600))
	id := k.call("2007")
	short := k.recorded(id, 1)[0]
	k.is(short, k.file("full/"+id+".wav"), ari.ByMixMonitor, "", "audio/wav", 1)
	require.LessOrEqual(k.t, short.Bytes, int64(16<<10), "what there was room for")
	id = k.call("2007")
	calls := pb.NewCallServiceClient(k.auditor)
	require.Eventually(k.t, func() bool {
		found, err := calls.ListOmissions(k.t.Context(), &pb.ListOmissionsRequest{Msp: k.owner.MSP, Pbx: k.config.PBX, Linkedid: id})
		return err == nil && len(found.GetOmissions()) == 1 && found.GetOmissions()[0].GetReason() == ledger.OmissionNoSpace
	}, patience, 50*time.Millisecond)
}

// whileAway records while no adapter is there, and has the next one begin without a
// journal.
func (k *kinds) whileAway(shared string) {
	k.t.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := k.pbx.PlaceCall(k.t.Context(), lab.Call{To: "2009", Duration: 8 * time.Second})
		ended <- err
	}()
	channel := applied(k.t, k.pbx)
	act(k.t, k.pbx, "/bridges/away?type=mixing")
	act(k.t, k.pbx, "/bridges/away/addChannel?channel="+channel)
	k.begin("/bridges/away/record?format=wav&name=", channel)
	k.begin("/bridges/away/record?format=wav&name=", "nobody knows")
	require.NoError(k.t, k.adapter.stop())
	k.end(channel)
	k.end("nobody knows")
	require.NoError(k.t, <-ended)
	id := k.call("2001")
	require.NotEqual(k.t, shared, k.call("2004"))
	k.config.StateDir = k.t.TempDir()
	k.adapter = run(k.t, k.config)
	k.recorded(id, 3)
	made := k.recorded(shared, 2)
	require.Equal(k.t, made[0].ID, made[1].ID)
	k.is(made[1], k.file(shared+".wav"), ari.ByMixMonitor, "", "audio/wav", 3)
	k.is(k.recorded(channel, 1)[0], filepath.Join(k.pbx.ARIRecordingDir(), channel+".wav"), "", "", "audio/wav", 1)
	unbound := k.adapter.until(k.t, "nothing tells which channel a recording is of", 1)
	require.Equal(k.t, "ERROR", unbound[0]["level"])
	require.NotContains(k.t, k.adapter.String(), "nobody knows")
}

// crashed kills Asterisk in the middle of a call: there is no CDR, and a file without
// lengths.
func (k *kinds) crashed() {
	k.t.Helper()
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		_, _ = k.pbx.PlaceCall(k.t.Context(), lab.Call{To: "2008", Duration: 8 * time.Second}) // it ends badly
	}()
	channel := talking(k.t, k.pbx)
	path := k.file(channel + ".wav")
	require.Eventually(k.t, func() bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() > 8_000
	}, patience, 20*time.Millisecond)
	require.Empty(k.t, k.adapter.lines("is repaired"), "somebody writes it")
	k.pbx.Kill()
	made := k.recorded(channel, 1)[0]
	k.is(made, path, ari.ByMixMonitor, "", "audio/wav", 1)
	require.Equal(k.t, ledger.RecoveredRepaired, made.Recovered)
	require.True(k.t, made.NoCDR)
	require.Equal(k.t, ledger.LegID{LinkedID: channel, UniqueID: channel}, made.Leg)
	content, err := os.ReadFile(path)
	require.NoError(k.t, err)
	require.Equal(k.t, uint32(len(content)-8), binary.LittleEndian.Uint32(content[4:]))
	require.Equal(k.t, uint32(len(content)-44), binary.LittleEndian.Uint32(content[40:]))
	clear(content[4:8])
	clear(content[40:44])
	found := sha256.Sum256(content)
	require.Equal(k.t, hex.EncodeToString(found[:]), made.FoundSHA256, "what the crash left")

	// Whoever holds the file can prove it, whether they know the call or not.
	for _, linkedID := range []string{"", channel} {
		verdict, err := audit.Ask(k.t.Context(), audit.ViaGateway(k.auditor, "the gateway"), audit.Question{MSP: k.owner.MSP, PBX: k.config.PBX, LinkedID: linkedID, Recording: path})
		require.NoError(k.t, err)
		require.Equal(k.t, audit.Intact, verdict.Outcome)
		notes := strings.Join(verdict.Findings[0].Notes, "; ")
		require.Contains(k.t, notes, made.FoundSHA256)
		require.Contains(k.t, notes, "wrote no CDR")
	}
	<-cut
}
