package ledger

// content is what every kind of record can tell of itself.
type content interface {
	key(r *Record) string
	indexes(r *Record) []string
	moment() Time
	leg() LegID
	check(r *Record) error
}

// held is how many kinds the record holds; a good one holds one.
func (r *Record) held() int {
	n := 0
	for _, is := range []bool{r.Beat != nil, r.Call != nil, r.Disagreement != nil, r.Link != nil, r.Omission != nil, r.Opening != nil, r.Progress != nil, r.Recording != nil} {
		if is {
			n++
		}
	}
	return n
}

// about is what the record holds.
func (r *Record) about() content {
	switch {
	case r.Beat != nil:
		return beatContent{r.Beat}
	case r.Disagreement != nil:
		return disagreementContent{r.Disagreement}
	case r.Link != nil:
		return linkContent{r.Link}
	case r.Omission != nil:
		return omissionContent{r.Omission}
	case r.Opening != nil:
		return openingContent{r.Opening}
	case r.Progress != nil:
		return progressContent{r.Progress}
	case r.Recording != nil:
		return recordingContent{r.Recording}
	default:
		return callContent{r.Call}
	}
}

type callContent struct{ *Call }

func (c callContent) key(r *Record) string { return CallKey(r.MSP, r.PBX, c.Leg) }

func (c callContent) indexes(r *Record) []string {
	if c.CallRef == "" {
		return nil
	}
	return []string{CallByRefKey(c.CallRef, r.MSP, r.PBX, c.Leg)}
}
func (c callContent) moment() Time          { return c.End }
func (c callContent) leg() LegID            { return c.Leg }
func (c callContent) check(r *Record) error { return c.Call.check(r.V) }

type recordingContent struct{ *Recording }

func (c recordingContent) key(r *Record) string { return RecordingKey(r.MSP, r.PBX, c.ID, c.Revision) }

func (c recordingContent) indexes(r *Record) []string {
	return []string{
		RecordingByCallKey(r.MSP, r.PBX, c.Leg, c.ID, c.Revision),
		RecordingByHashKey(c.SHA256, r.MSP, r.PBX, c.ID, c.Revision),
	}
}
func (c recordingContent) moment() Time          { return c.ClosedAt }
func (c recordingContent) leg() LegID            { return c.Leg }
func (c recordingContent) check(r *Record) error { return c.Recording.check(r.V) }
