package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Call is a call from one of the lab's phones to another.
type Call struct {
	// From is the calling phone; empty means Caller.
	From string
	// DisplayName is what the caller claims to be called.
	DisplayName string
	// To is the number dialled; empty means Answers.
	To string
	// Duration is how long the caller talks, or, with Cancel, lets it ring;
	// 0 means 500 ms.
	Duration time.Duration
	// Cancel makes the caller give up while it rings.
	Cancel bool
	// ToneHz is the caller's tone; 0 means CallerHz.
	ToneHz int
}

// CallReport is what the calling phone saw of its call. Times are when the
// phone put the message on the wire or took it from there.
type CallReport struct {
	// CallID is the SIP Call-ID; the lab's dialplan copies it into the CDR's
	// userfield.
	CallID string
	// Invited is when the INVITE with credentials left.
	Invited time.Time
	// Answered is when 200 came; zero if it never did.
	Answered time.Time
	// HungUp is when the caller's BYE (or CANCEL) left; for a call that was
	// refused, when the refusal came.
	HungUp time.Time
	// Confirmed is when the 200 to that BYE or CANCEL came.
	Confirmed time.Time
	// Status is the final answer to the INVITE, such as 200, 486 or 487.
	Status int
}

type callNumber struct{ n atomic.Int64 }

// PlaceCall places one call and returns after it has ended.
func (a *Asterisk) PlaceCall(ctx context.Context, call Call) (CallReport, error) {
	reports, err := a.PlaceCalls(ctx, call, 1, 1)
	if err != nil {
		return CallReport{}, err
	}
	return reports[0], nil
}

// PlaceCalls places total calls, up to concurrent at a time, and returns after
// the last has ended. The reports are in the order the calls began.
func (a *Asterisk) PlaceCalls(ctx context.Context, call Call, total, concurrent int) ([]CallReport, error) {
	if call.From == "" {
		call.From = Caller
	}
	if call.To == "" {
		call.To = Answers
	}
	if call.Duration == 0 {
		call.Duration = 500 * time.Millisecond
	}
	if call.ToneHz == 0 {
		call.ToneHz = CallerHz
	}
	tone, err := a.tone(call.ToneHz)
	if err != nil {
		return nil, err
	}
	name, status := "caller-answered", "200"
	switch {
	case call.Cancel:
		name = "caller-cancelled"
	case call.To == Busy:
		name, status = "caller-refused", "486"
	case call.To == Rings:
		name, status = "caller-refused", "480"
	}
	display, err := displayName(call.DisplayName)
	if err != nil {
		return nil, err
	}
	scenario, err := a.scenario(name, "TONE", tone, "STATUS", status, "DISPLAY", display)
	if err != nil {
		return nil, err
	}
	number := a.calls.n.Add(1)
	inf, trace := scenario+".csv", scenario+".trace"
	if err := a.users(inf, call); err != nil {
		return nil, err
	}
	ms := strconv.FormatInt(call.Duration.Milliseconds(), 10)
	argv := a.sippArgs(callerHost, scenario)
	// Calls at the same time come from ports of their own.
	argv = append(argv, "-p", strconv.Itoa(6000+int(number)%50000),
		"-inf", inf, "-d", ms, "-m", strconv.Itoa(total), "-l", strconv.Itoa(concurrent), "-r", "100", "-rp", "1000",
		"-cid_str", fmt.Sprintf("%%u-%d-%%p@%%s", number),
		"-trace_msg", "-message_file", trace, "-recv_timeout", "30000", a.ip+":"+sipPort)
	proc, err := startProcess(argv, sippEnv, a.path("sipp"), scenario+".log")
	if err != nil {
		return nil, err
	}
	if err := proc.wait(ctx); err != nil {
		return nil, fmt.Errorf("%d calls to %s: %w (see %s)", total, call.To, errors.Join(err, lastLine(scenario+".errors")), scenario+".log")
	}
	reports, err := readTrace(trace)
	if err != nil {
		return nil, err
	}
	if len(reports) != total {
		return nil, fmt.Errorf("SIPp was asked for %d calls and its trace shows %d", total, len(reports))
	}
	for _, file := range []string{scenario, inf, trace, scenario + ".log", scenario + ".errors"} {
		_ = os.Remove(file) // kept only for calls that failed
	}
	return reports, nil
}

func lastLine(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil //nolint:nilerr // SIPp makes the file only when it has something to say
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return errors.New(lines[len(lines)-1])
}
