package adapter

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/clock"
	"github.com/callseal/callseal/chaincode/ledger"
)

// This file turns what Asterisk wrote into what the ledger holds: public columns
// into ledger.Call, personal ones into ledger.Details.

// newCall maps a CDR row. What the row does not tell stays absent.
func (a *Adapter) newCall(row *cdr.Row) (*ledger.Call, *ledger.Details, error) {
	details := newDetails()
	details.Call = callDetails(row)
	digest, err := details.Digest()
	if err != nil {
		return nil, nil, err
	}
	asterisk := a.software.get()
	call := &ledger.Call{
		Leg:   ledger.LegID{LinkedID: row.LinkedID, UniqueID: row.UniqueID, Sequence: row.Sequence},
		Start: ledger.TimeOf(row.Start), Answer: ledger.TimeOf(row.Answer), End: ledger.TimeOf(row.End),
		DurationMS: row.Duration * 1000, BillsecMS: row.BillSec * 1000, Disposition: row.Disposition,
		Direction:  a.now().Contexts[row.DContext],
		Technology: technology(row.Channel),
		CallerRef:  a.pseudonyms.of(row.Src), CalleeRef: a.pseudonyms.of(row.Dst),
		DetailsDigest: digest, Software: asterisk.version, Boot: asterisk.bootOf(row.Start),
	}
	call.ClockOffsetMS = clockOffset(row.End)
	call.ClockSetBack = !call.InOrder()
	call.RecordingDue = a.now().recordingDue(call)
	return call, details, nil
}

// clockOffset is by how much the PBX's clock, which is this machine's, was ahead of its
// source when a call ended; 0 where that was too long ago to know, or nobody knows.
func clockOffset(ended time.Time) int64 {
	if ago := time.Since(ended); ago > time.Minute || ago < -time.Minute {
		return 0
	}
	ahead, err := clock.Ahead()
	if err != nil {
		return 0
	}
	return ahead.Milliseconds()
}

func callDetails(row *cdr.Row) *ledger.CallDetails {
	details := &ledger.CallDetails{
		AccountCode: row.AccountCode, AMAFlags: row.AMAFlags, Channel: row.Channel, CLID: row.CLID,
		DContext: row.DContext, Dst: row.Dst, DstChannel: row.DstChannel, LastApp: row.LastApp,
		LastData: row.LastData, PeerAccount: row.PeerAccount, Src: row.Src, UserField: row.UserField,
	}
	details.Absent = row.Absent()
	slices.Sort(details.Absent)
	return details
}

// newDetails are empty details with a fresh salt.
func newDetails() *ledger.Details {
	return &ledger.Details{Salt: randomHex(32), V: ledger.SchemaVersion}
}

func randomHex(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	return hex.EncodeToString(raw)
}

// technology is the part of a channel's name before the slash.
func technology(channel string) string {
	name, _, found := strings.Cut(channel, "/")
	if !found {
		return ""
	}
	return name
}

// observe adds what ARI saw of the leg's channel.
func observe(call *ledger.Call, times ari.ChannelTimes) {
	observed := &ledger.Observed{
		Start: ledger.TimeOf(times.Created), Answer: ledger.TimeOf(times.Answered), End: ledger.TimeOf(times.Destroyed),
	}
	if *observed != (ledger.Observed{}) {
		call.Observed = observed
	}
	if times.Cause > 0 && times.Cause < 128 {
		call.HangupCause = int64(times.Cause)
	}
}
