package soak

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/go-json-experiment/json"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
)

// maxFaults bounds the sentences of a verdict: the counts say how many there are.
const maxFaults = 20

// Verdict is what the fleet was told, held against the chain. Counts are records.
type Verdict struct {
	// Sent is how many left an adapter at least once, Accepted, Committed and Settled
	// of how many it heard so.
	Sent, Accepted, Committed, Settled int
	// Resent is how many were sent more than once, Sends how often all were.
	Resent, Sends int
	// Standing is how many of those sent are on the ledger.
	Standing int
	// Lost were accepted and are not on the ledger, or not as they were sent, or
	// without their details.
	Lost int
	// Doubled stand there twice, or in two segments.
	Doubled int
	// Disordered segments stand before one that was accepted before them.
	Disordered int
	// Untrue is how often a client was told what the chain does not bear out.
	Untrue int
	// Incidents are conflicting replays and forks on the ledger; Findings alarms of
	// calls:Gaps.
	Incidents, Findings int
	// DetailsRead is of how many records the details were read and compared.
	DetailsRead int
	// Faults are sentences, the first few.
	Faults []string
}

// Clean says that nothing is wrong.
func (v *Verdict) Clean() bool {
	return v.Lost == 0 && v.Doubled == 0 && v.Disordered == 0 && v.Untrue == 0 && v.Incidents == 0 && v.Findings == 0 && len(v.Faults) == 0
}

// Add sums two verdicts up.
func (v *Verdict) Add(o *Verdict) {
	v.Sent, v.Accepted, v.Committed, v.Settled = v.Sent+o.Sent, v.Accepted+o.Accepted, v.Committed+o.Committed, v.Settled+o.Settled
	v.Resent, v.Sends, v.Standing = v.Resent+o.Resent, v.Sends+o.Sends, v.Standing+o.Standing
	v.Lost, v.Doubled, v.Disordered, v.Untrue = v.Lost+o.Lost, v.Doubled+o.Doubled, v.Disordered+o.Disordered, v.Untrue+o.Untrue
	v.Incidents, v.Findings, v.DetailsRead = v.Incidents+o.Incidents, v.Findings+o.Findings, v.DetailsRead+o.DetailsRead
	for _, fault := range o.Faults {
		v.fault("%s", fault)
	}
}

func (v *Verdict) fault(format string, args ...any) {
	if len(v.Faults) < maxFaults {
		v.Faults = append(v.Faults, fmt.Sprintf(format, args...))
	}
}

// Judge compares what the clients of a fleet heard with the chain.
func Judge(stories [][]Story, chain *Chain) *Verdict {
	v := &Verdict{}
	for _, one := range stories {
		for i := range one {
			v.count(&one[i])
			v.judge(&one[i], chain)
		}
		v.order(one, chain)
	}
	v.strangers(stories, chain)
	return v
}

func (v *Verdict) count(s *Story) {
	n := len(s.Records)
	if s.Sends == 0 {
		return
	}
	v.Sent += n
	v.Sends += n * s.Sends
	if s.Sends > 1 {
		v.Resent += n
	}
	for _, stage := range []struct {
		heard time.Time
		count *int
	}{{s.Accepted, &v.Accepted}, {s.Committed, &v.Committed}, {s.Settled, &v.Settled}} {
		if !stage.heard.IsZero() {
			*stage.count += n
		}
	}
	for _, broken := range s.Broken {
		v.Untrue++
		v.fault("%s", broken)
	}
}

// judge looks one segment and its records up.
func (v *Verdict) judge(s *Story, chain *Chain) {
	anchored, writes := chain.Segments[s.Key], chain.Writes[s.Key]
	if anchored == nil {
		if !s.Accepted.IsZero() {
			v.Lost += len(s.Records)
			v.fault("segment %d of %s was accepted and is not on the ledger", s.FirstSeq, s.PBX)
		}
		return
	}
	if len(writes) > 1 {
		v.Doubled += len(s.Records)
		v.fault("segment %d of %s was written %d times", s.FirstSeq, s.PBX, len(writes))
	}
	if len(anchored.Absent) > 0 {
		v.Doubled += len(anchored.Absent)
		v.fault("segment %d of %s came with %d records that stand in another segment", s.FirstSeq, s.PBX, len(anchored.Absent))
	}
	for i := range s.Records {
		v.record(s, &s.Records[i], writes[0].TransactionID, chain)
	}
	v.receipt(s, writes[0])
}

// record looks one record up.
func (v *Verdict) record(s *Story, record *Record, transactionID string, chain *Chain) {
	writes := chain.Writes[record.Key]
	switch {
	case len(writes) == 0:
		v.lost(s, "a record of segment %d of %s is not on the ledger and its segment is", s.FirstSeq, s.PBX)
		return
	case len(writes) > 1:
		v.Doubled++
		v.fault("a record of segment %d of %s was written %d times", s.FirstSeq, s.PBX, len(writes))
	case writes[0].Deleted || writes[0].Content != record.Content:
		v.lost(s, "a record of segment %d of %s is not on the ledger as it was sent", s.FirstSeq, s.PBX)
		return
	case writes[0].TransactionID != transactionID:
		v.Untrue++
		v.fault("a record of segment %d of %s stands in another transaction than its segment", s.FirstSeq, s.PBX)
	}
	v.Standing++
	if record.Details == "" {
		return
	}
	switch n := chain.Details[sha256.Sum256([]byte(record.Key))]; {
	case n == 0 && !s.Settled.IsZero():
		v.lost(s, "the details of a record of segment %d of %s are not in the collection, and it is said to be settled", s.FirstSeq, s.PBX)
	case n > 1:
		v.Doubled++
		v.fault("the details of a record of segment %d of %s were written %d times", s.FirstSeq, s.PBX, n)
	}
}

func (v *Verdict) lost(s *Story, format string, args ...any) {
	if !s.Accepted.IsZero() {
		v.Lost++
	}
	v.fault(format, args...)
}

// receipt holds what COMMITTED said against the chain.
func (v *Verdict) receipt(s *Story, stands Standing) {
	if s.Receipt == nil {
		return
	}
	said := s.Receipt.GetCommit()
	if said.GetTransactionId() != stands.TransactionID || said.GetBlock() != stands.Block || said.GetValidationCode() != "VALID" {
		v.Untrue++
		v.fault("segment %d of %s was said to be %s in transaction %s of block %d and stands in %s of block %d",
			s.FirstSeq, s.PBX, said.GetValidationCode(), said.GetTransactionId(), said.GetBlock(), stands.TransactionID, stands.Block)
	}
	for _, record := range s.Receipt.GetRecords() {
		if record.GetOutcome() != pb.Outcome_OUTCOME_ANCHORED && record.GetOutcome() != pb.Outcome_OUTCOME_ALREADY_ANCHORED {
			v.Untrue++
			v.fault("record %d of %s is said to be %s", record.GetSeq(), s.PBX, record.GetOutcome())
		}
	}
}

// order checks that segments of one PBX stand in the order in which they were
// accepted. One that was sent once was accepted while its answer was awaited: all
// that the client had heard of before was accepted before it. Of one that was sent
// again nobody can tell which time it was accepted.
func (v *Verdict) order(stories []Story, chain *Chain) {
	heard := make([]*Story, len(stories)+1)
	for i := range stories {
		if s := &stories[i]; s.Heard > 0 {
			heard[s.Heard] = s
		}
	}
	var latest int64
	for _, s := range heard {
		if s == nil || len(chain.Writes[s.Key]) == 0 {
			continue
		}
		place := chain.Writes[s.Key][0].Place
		if place < latest && s.Sends == 1 {
			v.Disordered++
			v.fault("segment %d of %s stands on the ledger before one that was accepted before it", s.FirstSeq, s.PBX)
		}
		latest = max(latest, place)
	}
}

// strangers finds incidents, and what stands under the fleet's PBXs and was never
// sent.
func (v *Verdict) strangers(stories [][]Story, chain *Chain) {
	sent := map[string]bool{}
	mine := map[string]bool{}
	for _, one := range stories {
		for i := range one {
			sent[one[i].Key] = true
			mine[one[i].PBX] = true
		}
	}
	for _, key := range chain.Incidents {
		if _, parts, err := ledger.SplitKey(key); err == nil && len(parts) > 1 && mine[parts[1]] {
			v.Incidents++
			v.fault("there is an incident of %s", parts[1])
		}
	}
	for key := range chain.Segments {
		if _, parts, err := ledger.SplitKey(key); err == nil && len(parts) > 1 && mine[parts[1]] && !sent[key] {
			v.Untrue++
			v.fault("a segment of %s stands on the ledger that nobody sent", parts[1])
		}
	}
}

// Gaps asks the chaincode for alarms in the history of each PBX of the fleet.
func (l *Lab) Gaps(ctx context.Context, fleet *Fleet, v *Verdict) error {
	channel := l.Channel(Operator, "auditor")
	for _, client := range fleet.Clients {
		if err := gapsOf(ctx, channel, client.PBX, v); err != nil {
			return fmt.Errorf("gaps of %s: %w", client.PBX, err)
		}
	}
	return nil
}

func gapsOf(ctx context.Context, channel *fabric.Channel, pbx string, v *Verdict) error {
	for place := (ledger.GapsPlace{}); ; {
		result, err := channel.Evaluate(ctx, "calls:Gaps", channel.MSP(), pbx, strconv.FormatInt(place.Epoch, 10), strconv.FormatInt(place.From, 10), "1000")
		if err != nil {
			return err
		}
		var gaps ledger.Gaps
		if err := json.Unmarshal(result, &gaps); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		for i := range gaps.Findings {
			if gaps.Findings[i].Alarm {
				v.Findings++
				v.fault("%s: %s", pbx, gaps.Findings[i].Sentence())
			}
		}
		if gaps.Next == nil {
			return nil
		}
		place = *gaps.Next
	}
}

// ReadDetails has the operator's compliance read the details of settled calls
// through the gateway, up to so many, and compares them with what was sent. Those
// that were under way during a kill come first.
func (l *Lab) ReadDetails(ctx context.Context, fleet *Fleet, most int, kills []Kill, v *Verdict) error {
	type call struct {
		pbx    string
		record Record
	}
	var near, far []call
	fleet.Each(func(s *Story) {
		for _, record := range s.Records {
			switch {
			case record.Details == "" || s.Settled.IsZero():
			case spans(s, kills):
				near = append(near, call{s.PBX, record})
			default:
				far = append(far, call{s.PBX, record})
			}
		}
	})
	rand.Shuffle(len(near), func(i, j int) { near[i], near[j] = near[j], near[i] })
	rand.Shuffle(len(far), func(i, j int) { far[i], far[j] = far[j], far[i] })
	chosen := append(near[:min(len(near), most/2)], far...)
	chosen = chosen[:min(len(chosen), most)]
	connection, err := connect.Dial(l.Access("compliance"))
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close() }()
	calls := pb.NewCallServiceClient(connection)
	var mu sync.Mutex
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, one := range chosen {
		group.Go(func() error {
			response, err := getCall(reading, calls, one.pbx, one.record.Leg)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				v.Lost++
				v.fault("the details of a call of %s cannot be read: %v", one.pbx, err)
			case ledger.Digest(response.GetCall().GetDetailsJson()) != one.record.Details:
				v.Lost++
				v.fault("the details of a call of %s are not those that were sent", one.pbx)
			default:
				v.DetailsRead++
			}
			return nil
		})
	}
	return group.Wait()
}

// getCall reads a call with its details, again where the gateway asks for that.
func getCall(ctx context.Context, calls pb.CallServiceClient, pbx string, leg ledger.LegID) (*pb.GetCallResponse, error) {
	for {
		response, err := calls.GetCall(ctx, &pb.GetCallRequest{
			Pbx: pbx, Leg: &pb.LegId{Linkedid: leg.LinkedID, Uniqueid: leg.UniqueID, Sequence: leg.Sequence}, IncludeDetails: true,
		})
		if err == nil {
			return response, nil
		}
		problem := problemOf(err)
		if !problem.GetRetryable() || ctx.Err() != nil {
			return nil, err
		}
		sleep(ctx, max(retryDefault, problem.GetRetryAfter().AsDuration()))
	}
}

// spans says whether a segment was under way when something was killed.
func spans(s *Story, kills []Kill) bool {
	for _, kill := range kills {
		if s.FirstSent.Before(kill.At) && s.Settled.After(kill.At) {
			return true
		}
	}
	return false
}
