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
	// Hold makes the caller talk, put the other side on hold, and talk again, each
	// for Duration.
	Hold bool
	// Waits makes the caller talk until the other side hangs up.
	Waits bool
	// Transfers makes the caller talk until it is told whither to transfer the call
	// (Ongoing.Transfer); then it is hung up.
	Transfers bool
	// Refused is the final status that the call comes to where that does not follow
	// from whom it calls, such as 404.
	Refused int
	// ToneHz is the caller's tone; 0 means CallerHz.
	ToneHz int
	// Press are keys that the caller presses, all of them again and again, once every
	// half a second from the answer to the end of Duration.
	Press string
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
	// HungUp is when the caller's BYE (or CANCEL) left, or the other side's came; for
	// a call that was refused, when the refusal came.
	HungUp time.Time
	// Confirmed is when the 200 to that BYE or CANCEL came.
	Confirmed time.Time
	// Status is the final answer to the INVITE, such as 200, 486 or 487.
	Status int

	localTag, remoteTag string
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
	ongoing, err := a.begin(ctx, call, total, concurrent)
	if err != nil {
		return nil, err
	}
	return ongoing.wait(ctx)
}

// refusedBy are phones that refuse, with what they or the dialplan answer.
var refusedBy = map[string]int{Busy: 486, Rings: 480, Gone: 404, Failing: 503}

// scenarioOf names what a caller does, and the status it expects.
func (c *Call) scenarioOf() (name string, status int) {
	switch {
	case c.Cancel:
		return "caller-cancelled", 0
	case c.Hold:
		return "caller-holds", 0
	case c.Waits:
		return "caller-waits", 0
	case c.Transfers:
		return "caller-transfers", 0
	case c.Refused != 0:
		return "caller-refused", c.Refused
	case refusedBy[c.To] != 0:
		return "caller-refused", refusedBy[c.To]
	}
	return "caller-answered", 0
}

// begin starts a SIPp that places the calls.
func (a *Asterisk) begin(ctx context.Context, call Call, total, concurrent int) (*Ongoing, error) {
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
	m := mediaOf(call.From)
	stream, err := a.stream(ctx, m, call.ToneHz)
	if err != nil {
		return nil, err
	}
	name, status := call.scenarioOf()
	display, err := displayName(call.DisplayName)
	if err != nil {
		return nil, err
	}
	keys, err := presses(call)
	if err != nil {
		return nil, err
	}
	scenario, err := a.scenario(name, append(keys, "STREAM", stream, "OFFER", m.offer, "STATUS", strconv.Itoa(status), "DISPLAY", display)...)
	if err != nil {
		return nil, err
	}
	o := &Ongoing{asterisk: a, call: call, total: total, scenario: scenario, port: 6000 + int(a.calls.n.Add(1))%50000}
	if err := a.users(o.users(), call); err != nil {
		return nil, err
	}
	ms := strconv.FormatInt(call.Duration.Milliseconds(), 10)
	argv := a.sippArgs(callerHost, scenario)
	// Calls at the same time come from ports of their own.
	argv = append(argv, "-p", strconv.Itoa(o.port),
		"-inf", o.users(), "-d", ms, "-m", strconv.Itoa(total), "-l", strconv.Itoa(concurrent), "-r", "100", "-rp", "1000",
		"-cid_str", fmt.Sprintf("%%u-%d-%%p@%%s", o.port),
		"-trace_msg", "-message_file", o.trace(), "-recv_timeout", "30000")
	if call.From == Secure {
		argv = append(argv, "-t", "l1", "-tls_cert", a.path("etc", certFile), "-tls_key", a.path("etc", keyFile), a.ip+":"+sipsPort)
	} else {
		argv = append(argv, a.ip+":"+sipPort)
	}
	o.proc, err = startProcess(argv, sippEnv, a.path("sipp"), scenario+".log")
	return o, err
}

func lastLine(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil //nolint:nilerr // SIPp makes the file only when it has something to say
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return errors.New(lines[len(lines)-1])
}
