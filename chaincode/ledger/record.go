package ledger

import "strings"

// Bounds of one record.
const (
	// MaxRecordBytes bounds the canonical form of one record. A CDR leg takes
	// about 700 bytes; whoever needs more than this is sending something else.
	MaxRecordBytes = 16 << 10
	// maxDurationMS is ten years: no call lasts longer, a larger value is an error.
	maxDurationMS = 10 * 366 * 24 * 3600 * 1000
	// maxLabelLength bounds free labels such as a software version, in bytes.
	maxLabelLength = 100
)

// Record is one entry of an adapter's gap-free sequence: a CDR leg, a recording
// or, since version 2, a link, an omission, an opening or a beat or, since version
// 3, a call's progress or a disagreement; exactly one of them. Its canonical form is a leaf of its segment's tree and is stored as it
// is, so that evidence hashes what is stored.
type Record struct {
	// Beat is set when the record says that the adapter is there.
	Beat *Beat `json:"beat,omitzero"`
	// Call is set when the record is a CDR leg.
	Call *Call `json:"call,omitzero"`
	// Disagreement is set when the record says that two sources tell a leg
	// differently (version 3).
	Disagreement *Disagreement `json:"disagreement,omitzero"`
	// Epoch is the adapter's journal, by its creation in ms since 1970. It
	// changes only when a journal was lost.
	Epoch int64 `json:"epoch"`
	// Link is set when the record joins two linkedids to one conversation.
	Link *Link `json:"link,omitzero"`
	// MSP is the operator that owns the record, such as "AtlasMSP".
	MSP string `json:"msp"`
	// Omission is set when the record says that a recording due never came.
	Omission *Omission `json:"omission,omitzero"`
	// Opening is set in the first record of an epoch.
	Opening *Opening `json:"opening,omitzero"`
	// PBX names the Asterisk within the operator.
	PBX string `json:"pbx"`
	// Progress is set when the record says how a call stands that has no CDR yet
	// (version 3).
	Progress *Progress `json:"progress,omitzero"`
	// Recording is set when the record is a recording.
	Recording *Recording `json:"recording,omitzero"`
	// Segment is the Seq of the first record of the segment this one is in.
	Segment int64 `json:"segment"`
	// Seq numbers the adapter's records from 1 without gaps within the epoch.
	Seq int64 `json:"seq"`
	// V is SchemaVersion.
	V int `json:"v"`
}

// Call is what every operator sees of one CDR leg (P1 §3, attributes of a CDR).
// Whatever is personal is in Details, which DetailsDigest binds.
type Call struct {
	// Answer is when the leg was answered, as the CDR has it; not set otherwise.
	Answer Time `json:"answer,omitzero"`
	// Attestation is the STIR attestation of an incoming call: "A", "B" or "C"
	// (version 2).
	Attestation string `json:"attestation,omitzero"`
	// BillsecMS is the time from answer to end in ms, as the CDR has it.
	BillsecMS int64 `json:"billsec_ms"`
	// Boot is when the Asterisk that numbered the leg was started, in ms since
	// 1970: its CDR sequence counts from there (version 2).
	Boot int64 `json:"boot,omitzero"`
	// CallRef is the keyed pseudonym of a trunk leg's SIP Call-ID, by which the two
	// operators on the trunk find each other's leg; see CallRef (version 2).
	CallRef string `json:"call_ref,omitzero"`
	// CalleeRef is the keyed pseudonym of the number called; see PartyRef.
	CalleeRef string `json:"callee_ref,omitzero"`
	// CallerRef is the keyed pseudonym of the calling number; see PartyRef.
	CallerRef string `json:"caller_ref,omitzero"`
	// ClockOffsetMS is by how much the PBX's clock was ahead of its time source, in
	// ms, absent where that is unknown or below a millisecond (version 2).
	ClockOffsetMS int64 `json:"clock_offset_ms,omitzero"`
	// ClockSetBack says that the PBX's clock was set back during the call: times and
	// durations stand as the CDR has them, which is not in order (version 3).
	ClockSetBack bool `json:"clock_set_back,omitzero"`
	// DetailsDigest is the digest of the leg's Details in canonical form.
	DetailsDigest string `json:"details_digest"`
	// Direction is "inbound", "outbound" or "internal", absent where unknown.
	Direction string `json:"direction,omitzero"`
	// Disposition is Asterisk's word: "ANSWERED", "NO ANSWER", "BUSY", …
	Disposition string `json:"disposition"`
	// DurationMS is the time from start to end in ms, as the CDR has it.
	DurationMS int64 `json:"duration_ms"`
	// End is when the leg ended, as the CDR has it (1 s resolution).
	End Time `json:"end"`
	// HangupCause is the Q.850 cause, absent where the PBX did not tell.
	HangupCause int64 `json:"hangup_cause,omitzero"`
	// Imported says that the leg was taken from old files, long after the call
	// (version 3).
	Imported bool `json:"imported,omitzero"`
	// Leg names the leg.
	Leg LegID `json:"leg"`
	// Observed holds the times seen on ARI, precise to the millisecond.
	Observed *Observed `json:"observed,omitzero"`
	// RecordingDue says that the operator's rule wanted this leg recorded.
	RecordingDue bool `json:"recording_due"`
	// Software is the PBX's version, such as "Asterisk 22.10.1".
	Software string `json:"software,omitzero"`
	// Start is when the leg began, as the CDR has it (1 s resolution).
	Start Time `json:"start"`
	// Technology is the channel technology, such as "PJSIP".
	Technology string `json:"technology,omitzero"`
	// Verdict is what the PBX found when it checked the caller's STIR identity, a
	// verstat of ATIS-1000074 (version 2).
	Verdict string `json:"verdict,omitzero"`
}

// Observed are a leg's times as ARI's events gave them.
type Observed struct {
	Answer Time `json:"answer,omitzero"`
	End    Time `json:"end,omitzero"`
	Start  Time `json:"start,omitzero"`
}

// Recording is what every operator sees of a recording: its digests. SHA-512 is
// there because vCon's content_hash demands it.
type Recording struct {
	// Bytes is the size of the file.
	Bytes int64 `json:"bytes"`
	// ClosedAt is when the adapter saw the file closed, by the PBX's clock.
	ClosedAt Time `json:"closed_at"`
	// DetailsDigest is the digest of the recording's Details.
	DetailsDigest string `json:"details_digest"`
	// FoundSHA256 is the digest of the file as a crash left it, where the adapter
	// then repaired it; see Recovered (version 3).
	FoundSHA256 string `json:"found_sha256,omitzero"`
	// ID is 128 random bits in hexadecimal: file names hold numbers.
	ID string `json:"id"`
	// Imported says that the file was found by a backfill, long after the call
	// (version 3).
	Imported bool `json:"imported,omitzero"`
	// Leg is the CDR leg that was recorded.
	Leg LegID `json:"leg"`
	// MediaType is an IANA media type, such as "audio/wav".
	MediaType string `json:"media_type"`
	// Method is how it was recorded: "mixmonitor", "ari-bridge" or "ari-channel".
	Method string `json:"method,omitzero"`
	// NoCDR says that no CDR of the recorded channel came: the PBX crashed before it
	// wrote one, or writes none of such a channel. An adapter never makes a CDR up, so
	// Leg then names the channel alone: its sequence is 0, and its linkedid that of
	// the call's progress, else the channel's own uniqueid. A leg that comes after all
	// has the same uniqueid (version 3).
	NoCDR bool `json:"no_cdr,omitzero"`
	// Pauses are the stretches in which nothing was recorded on purpose, in order
	// of time (version 2).
	Pauses []Pause `json:"pauses,omitzero"`
	// Recovered says what became of a file that a crash left without lengths in its
	// header: RecoveredRepaired or RecoveredAsFound; absent for one that Asterisk
	// finished (version 3).
	Recovered string `json:"recovered,omitzero"`
	// RetentionUntil is until when the recording is kept (version 2).
	RetentionUntil Time `json:"retention_until,omitzero"`
	// Revision starts at 1 and grows when the file is appended to.
	Revision int64 `json:"revision"`
	// SegmentRoot is the root of the tree over the audio segments that were
	// committed while the call ran (version 2).
	SegmentRoot string `json:"segment_root,omitzero"`
	// SHA256 is the digest of the file.
	SHA256 string `json:"sha256"`
	// SHA512 is the digest of the file.
	SHA512 string `json:"sha512"`
	// Track is which voices are on it: TrackReceived, TrackTransmitted or
	// TrackStereo; absent where all are mixed (version 3).
	Track string `json:"track,omitzero"`
	// VaultManifest is the digest of the manifest that says where the encrypted
	// pieces are (version 2).
	VaultManifest string `json:"vault_manifest,omitzero"`
}

// Dispositions that Asterisk 22 writes; CANCEL exists since 22.6.
var dispositions = map[string]bool{
	"ANSWERED": true, "NO ANSWER": true, "BUSY": true, "FAILED": true, "CONGESTION": true, "CANCEL": true,
}

// Answered is the disposition of a leg that was answered.
const Answered = "ANSWERED"

var directions = map[string]bool{"": true, "inbound": true, "outbound": true, "internal": true}

// methods are the ways to record, each with the version since which it is one.
var methods = map[string]int{"": 1, "mixmonitor": 1, "ari-bridge": 1, "ari-channel": 2}

// Key is the key the record is stored under.
func (r *Record) Key() string { return r.about().key(r) }

// Indexes are the keys by which readers find the record, beside its own.
func (r *Record) Indexes() []string { return r.about().indexes(r) }

// DetailsDigest is the digest of the record's details; empty for a record of a
// kind that has none.
func (r *Record) DetailsDigest() string {
	switch {
	case r.Call != nil:
		return r.Call.DetailsDigest
	case r.Recording != nil:
		return r.Recording.DetailsDigest
	default:
		return ""
	}
}

// ContentDigest is the digest of what the record says, without its place in the
// adapter's sequence: two records with the same key and the same ContentDigest
// are replays of each other.
func (r *Record) ContentDigest() (string, error) {
	placeless := *r
	placeless.Epoch, placeless.Seq, placeless.Segment = 0, 0, 0
	canonical, err := Canonical(&placeless)
	if err != nil {
		return "", err
	}
	return Digest(canonical), nil
}

// Check answers CodeInvalid unless the record is well formed.
func (r *Record) Check() error {
	if err := CheckVersion("the record", r.V); err != nil {
		return err
	}
	if err := CheckName("msp", r.MSP); err != nil {
		return err
	}
	if err := CheckName("pbx", r.PBX); err != nil {
		return err
	}
	for _, n := range []struct {
		field string
		value int64
	}{{"epoch", r.Epoch}, {"seq", r.Seq}, {"segment", r.Segment}} {
		if err := CheckNumber(n.field, n.value); err != nil {
			return err
		}
		if n.value == 0 {
			return Errorf(CodeInvalid, "%s is 0, it starts at 1", n.field)
		}
	}
	if held := r.held(); held != 1 {
		return Errorf(CodeInvalid, "the record must hold exactly one of call, recording, link, omission, opening, beat, progress and disagreement, it holds %d", held)
	}
	if r.Call == nil && r.Recording == nil && r.V < 2 {
		return Errorf(CodeInvalid, "a link, an omission, an opening and a beat are records of version 2: write the record with v 2")
	}
	if (r.Progress != nil || r.Disagreement != nil) && r.V < 3 {
		return Errorf(CodeInvalid, "a call's progress and a disagreement are records of version 3: write the record with v 3")
	}
	if (r.Opening != nil) && r.Seq != 1 {
		return Errorf(CodeInvalid, "an opening is the first record of its epoch, not record %d", r.Seq)
	}
	return r.about().check(r)
}

func (c *Call) check(version int) error {
	if err := c.Leg.Check(); err != nil {
		return err
	}
	if !dispositions[c.Disposition] {
		return Errorf(CodeInvalid, "the disposition is not one Asterisk writes (ANSWERED, NO ANSWER, BUSY, FAILED, CONGESTION, CANCEL)")
	}
	if !directions[c.Direction] {
		return Errorf(CodeInvalid, "the direction must be inbound, outbound or internal, or left out")
	}
	if err := c.checkTimes(); err != nil {
		return err
	}
	if c.HangupCause < 0 || c.HangupCause > 127 {
		return Errorf(CodeInvalid, "hangup_cause is %d, Q.850 causes lie between 1 and 127", c.HangupCause)
	}
	if err := CheckHex("details_digest", c.DetailsDigest, 32); err != nil {
		return err
	}
	if err := checkRefs(c.CallerRef, c.CalleeRef); err != nil {
		return err
	}
	if c.Observed != nil && *c.Observed == (Observed{}) {
		return Errorf(CodeInvalid, "observed holds no time: leave it out")
	}
	if err := checkLabel("software", c.Software); err != nil {
		return err
	}
	if err := checkTechnology(c.Technology); err != nil {
		return err
	}
	return c.checkAdded(version)
}

// checkRefs answers CodeInvalid unless the parties' pseudonyms are, where they are
// there.
func checkRefs(caller, callee string) error {
	for _, ref := range []struct{ field, value string }{{"caller_ref", caller}, {"callee_ref", callee}} {
		if ref.value == "" {
			continue
		}
		if err := CheckHex(ref.field, ref.value, partyRefBytes); err != nil {
			return err
		}
	}
	return nil
}

func checkTechnology(technology string) error {
	if strings.Contains(technology, "/") {
		return Errorf(CodeInvalid, "technology is the part of the channel's name before the slash: the rest is personal")
	}
	return checkLabel("technology", technology)
}

func (c *Call) checkTimes() error {
	if c.Start.IsZero() || c.End.IsZero() {
		return Errorf(CodeInvalid, "start and end must both be set")
	}
	lowest := int64(0)
	switch {
	case c.ClockSetBack && c.InOrder():
		return Errorf(CodeInvalid, "the times are in order: leave clock_set_back out")
	case c.ClockSetBack:
		lowest = -maxDurationMS
	case c.End.Before(c.Start):
		return Errorf(CodeInvalid, "the call ends %d ms before it starts: check the PBX's clock and time zone", c.Start.Sub(c.End))
	case !c.Answer.IsZero() && (c.Answer.Before(c.Start) || c.End.Before(c.Answer)):
		return Errorf(CodeInvalid, "the answer does not lie between start and end: check the PBX's clock and time zone")
	}
	for _, d := range []struct {
		field string
		value int64
	}{{"duration_ms", c.DurationMS}, {"billsec_ms", c.BillsecMS}} {
		if d.value < lowest || d.value > maxDurationMS {
			return Errorf(CodeInvalid, "%s is %d, it must lie between 0 and ten years", d.field, d.value)
		}
	}
	return nil
}

// InOrder says whether the call's times follow one another.
func (c *Call) InOrder() bool {
	return !c.End.Before(c.Start) && (c.Answer.IsZero() || !c.Answer.Before(c.Start) && !c.End.Before(c.Answer)) && c.DurationMS >= 0 && c.BillsecMS >= 0
}

func (r *Recording) check(version int) error {
	if err := r.Leg.Check(); err != nil {
		return err
	}
	if err := CheckHex("id", r.ID, 16); err != nil {
		return err
	}
	if err := CheckNumber("revision", r.Revision); err != nil {
		return err
	}
	if r.Revision == 0 {
		return Errorf(CodeInvalid, "revision is 0, it starts at 1")
	}
	if err := CheckNumber("bytes", r.Bytes); err != nil {
		return err
	}
	if r.Bytes == 0 {
		return Errorf(CodeInvalid, "the recording is empty: only a file with content can be anchored")
	}
	if r.ClosedAt.IsZero() {
		return Errorf(CodeInvalid, "closed_at must be set")
	}
	if err := CheckHex("sha256", r.SHA256, 32); err != nil {
		return err
	}
	if err := CheckHex("sha512", r.SHA512, 64); err != nil {
		return err
	}
	if err := CheckHex("details_digest", r.DetailsDigest, 32); err != nil {
		return err
	}
	if since := methods[r.Method]; since == 0 || since > version {
		return Errorf(CodeInvalid, "the method must be mixmonitor, ari-bridge or (since version 2) ari-channel, or left out")
	}
	if err := r.checkAdded(version); err != nil {
		return err
	}
	if major, minor, ok := strings.Cut(r.MediaType, "/"); !ok || major == "" || minor == "" || strings.Contains(minor, "/") {
		return Errorf(CodeInvalid, "media_type must be an IANA media type such as audio/wav")
	}
	return CheckName("media_type", r.MediaType)
}

// CheckHex answers CodeInvalid unless s is n bytes in lower-case hexadecimal.
func CheckHex(field, s string, n int) error {
	ok := len(s) == 2*n
	for i := 0; ok && i < len(s); i++ {
		ok = s[i] >= '0' && s[i] <= '9' || s[i] >= 'a' && s[i] <= 'f'
	}
	if !ok {
		return Errorf(CodeInvalid, "%s must be %d bytes in lower-case hexadecimal", field, n)
	}
	return nil
}

// checkLabel answers CodeInvalid unless s is empty or one short printable line.
func checkLabel(field, s string) error {
	if len(s) > maxLabelLength {
		return Errorf(CodeInvalid, "%s has %d bytes, at most %d are allowed", field, len(s), maxLabelLength)
	}
	if s == "" {
		return nil
	}
	return CheckName(field, strings.ReplaceAll(s, " ", "_"))
}

// Moment is when what the record tells of was over: the end of a call, the
// closing of a recording.
func (r *Record) Moment() Time { return r.about().moment() }

// Leg is the CDR leg the record is about; empty for one that is about none.
func (r *Record) Leg() LegID { return r.about().leg() }
