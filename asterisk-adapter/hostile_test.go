package adapter

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/verify"
)

// testHostileNames has a real phone call under names that are meant to break something,
// and follows them by every source: each call is one record, whose details are what
// Asterisk wrote, byte for byte, and no source disagrees with another. Asterisk
// itself makes what is not UTF-8 U+FFFD, puts a backslash before control characters,
// quotes and backslashes, and cuts name and number at 79 bytes, in the middle of a
// character too.
func (s *scene) testHostileNames(t *testing.T) {
	t.Helper()
	r := run(t, s.config(t, t.TempDir(), "csv", "table", "ami", "ari"))
	earlier := len(s.truth(t))
	names := []string{
		`a "quoted" name`, `back\slash\`, "a,comma;and:colon", "Event: Cdr", "$(reboot) `id` ; rm -rf /", "'; DROP TABLE cdr; --", "%s%n ${EXTEN} ${SHELL(id)}",
		"Zé das Couves", "Jos\xe9 Latin", "\xff\xfe\x80", "\x1bcbell\x07", strings.Repeat("é", 60), "x" + strings.Repeat("é", 60), strings.Repeat("x", 1200),
	}
	for _, name := range names {
		report, err := s.asterisk.PlaceCall(t.Context(), lab.Call{DisplayName: name, To: lab.Busy})
		require.NoError(t, err, "%q", name)
		s.mu.Lock()
		s.placed[report.CallID] = placed{report, "BUSY"}
		s.mu.Unlock()
	}
	s.settled(t)
	rows := s.truth(t)[earlier:]
	require.GreaterOrEqual(t, len(rows), len(names))
	cut := 0
	for i := range rows {
		id := ledger.LegID{LinkedID: rows[i].LinkedID, UniqueID: rows[i].UniqueID, Sequence: rows[i].Sequence}
		listed, err := pb.NewCallServiceClient(s.compliance).GetCall(t.Context(), &pb.GetCallRequest{Msp: s.owner.MSP, Pbx: s.owner.PBXs[0], Leg: &pb.LegId{Linkedid: id.LinkedID, Uniqueid: id.UniqueID, Sequence: id.Sequence}, IncludeDetails: true})
		require.NoError(t, err)
		var record ledger.Record
		require.NoError(t, ledger.DecodeStrict(listed.GetCall().GetRecordJson(), &record))
		details, err := verify.Details(listed.GetCall().GetDetailsJson(), &record)
		require.NoError(t, err)
		require.Empty(t, verify.CDR(rows[i].Columns(), record.Call, details.Call), "%q", rows[i].CLID)
		t.Logf("Asterisk wrote %q", cdr.Bytes(rows[i].CLID))
		if !utf8.Valid(cdr.Bytes(rows[i].CLID)) {
			cut++
		}
	}
	r.requireTold(t, len(rows), sourceCSV, sourceAMI)
	// MariaDB takes no character that Asterisk cut in two: such a row is not in the table.
	require.Positive(t, cut)
	r.requireTold(t, len(rows)-cut, sourceTable)
	require.Empty(t, r.lines("two sources disagree"))
	for _, never := range []string{"a Cdr event cannot be taken", "a line of the CDR file cannot be taken", "a row of the table of CDRs cannot be taken", "a record is not fit"} {
		require.Empty(t, r.lines(never))
	}
	require.NotContains(t, r.String(), "reboot", "nothing of it is logged")
	require.NoError(t, r.stop())
}

// requireTold waits until each source has told of so many legs.
func (r *running) requireTold(t *testing.T, legs int, sources ...string) {
	t.Helper()
	count := regexp.MustCompile(`(?m)^callseal_adapter_source_legs_total\{first="(?:yes|no)",source="([a-z]+)"\} (\d+)$`)
	by := map[string]int{}
	require.Eventually(t, func() bool {
		_, page := r.get(t, "/metrics")
		clear(by)
		for _, found := range count.FindAllStringSubmatch(page, -1) {
			n, err := strconv.Atoi(found[2])
			require.NoError(t, err)
			by[found[1]] += n
		}
		return !slices.ContainsFunc(sources, func(source string) bool { return by[source] < legs })
	}, patience, 100*time.Millisecond, "%d legs by %v, not %v", legs, sources, by)
}
