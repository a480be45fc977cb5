package cdr

import (
	"fmt"
	"strings"
	"time"
)

// setMapping is the advice for a header that cdr_manager leaves out by default.
const setMapping = "%s => %s in the [mappings] section of cdr_manager.conf"

// ParseEvent reads the AMI event Cdr. get returns the value of a header and
// whether the event has it. The zone is the PBX's own: cdr_manager knows no
// usegmtime. Errors wrap ErrMissingColumn, ErrBadField or ErrTimes.
func ParseEvent(get func(header string) (string, bool), zone *time.Location) (Row, error) {
	var r Row
	var t rawRow
	for _, h := range [...]struct {
		header, field string
		to            *string
	}{
		{"AccountCode", "accountcode", &r.AccountCode},
		{"Source", "src", &r.Src},
		{"Destination", "dst", &r.Dst},
		{"DestinationContext", "dcontext", &r.DContext},
		{"CallerID", "clid", &r.CLID},
		{"Channel", "channel", &r.Channel},
		{"DestinationChannel", "dstchannel", &r.DstChannel},
		{"LastApplication", "lastapp", &r.LastApp},
		{"LastData", "lastdata", &r.LastData},
		{"StartTime", "start", &t.start},
		{"AnswerTime", "answer", &t.answer},
		{"EndTime", "end", &t.end},
		{"Duration", "duration", &t.duration},
		{"BillableSeconds", "billsec", &t.billsec},
		{"Disposition", "disposition", &r.Disposition},
		{"AMAFlags", "amaflags", &t.amaflags},
		{"UniqueID", "uniqueid", &r.UniqueID},
	} {
		value, ok := get(h.header)
		if !ok {
			return Row{}, &FieldError{h.field, "is not in the event"}
		}
		if strings.IndexByte(value, 0) >= 0 {
			return Row{}, &FieldError{h.field, "holds a NUL byte"}
		}
		*h.to = value
	}
	for _, h := range [...]struct {
		header, field string
		to            *string
		absent        fieldSet // 0: required
	}{
		{"UserField", "userfield", &r.UserField, fieldUserField},
		{"PeerAccount", "peeraccount", &r.PeerAccount, fieldPeerAccount},
		{"LinkedID", "linkedid", &r.LinkedID, 0},
		{"Sequence", "sequence", &t.sequence, 0},
	} {
		value, ok := get(h.header)
		switch {
		case !ok && h.absent == 0:
			return Row{}, &MissingColumnError{Column: h.field, Setting: fmt.Sprintf(setMapping, h.field, h.header)}
		case !ok:
			r.absent |= h.absent
		case strings.IndexByte(value, 0) >= 0:
			return Row{}, &FieldError{h.field, "holds a NUL byte"}
		}
		*h.to = value
	}
	return r, t.finish(&r, zone)
}
