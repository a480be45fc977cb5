package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// Ongoing is a call whose caller is still at it.
type Ongoing struct {
	asterisk *Asterisk
	call     Call
	total    int
	scenario string
	port     int
	proc     *process
}

func (o *Ongoing) users() string { return o.scenario + ".csv" }
func (o *Ongoing) trace() string { return o.scenario + ".trace" }

// BeginCall begins a call and returns at once; end it with Wait.
func (a *Asterisk) BeginCall(ctx context.Context, call Call) (*Ongoing, error) {
	return a.begin(ctx, call, 1, 1)
}

// Wait returns when the call has ended.
func (o *Ongoing) Wait(ctx context.Context) (CallReport, error) {
	reports, err := o.wait(ctx)
	if err != nil {
		return CallReport{}, err
	}
	return reports[0], nil
}

func (o *Ongoing) wait(ctx context.Context) ([]CallReport, error) {
	if err := o.proc.wait(ctx); err != nil {
		return nil, fmt.Errorf("%d calls to %s: %w (see %s)", o.total, o.call.To, errors.Join(err, lastLine(o.scenario+".errors")), o.scenario+".log")
	}
	reports, err := readTrace(o.trace())
	if err != nil {
		return nil, err
	}
	if len(reports) != o.total {
		return nil, fmt.Errorf("SIPp was asked for %d calls and its trace shows %d", o.total, len(reports))
	}
	for _, file := range []string{o.scenario, o.users(), o.trace(), o.scenario + ".log", o.scenario + ".errors"} {
		_ = os.Remove(file) // kept only for calls that failed
	}
	return reports, nil
}

// Answered returns when the call was answered.
func (o *Ongoing) Answered(ctx context.Context) (CallReport, error) {
	for {
		reports, err := readTrace(o.trace())
		if err == nil && len(reports) > 0 && reports[0].Status != 0 {
			if reports[0].Answered.IsZero() {
				return reports[0], fmt.Errorf("the call to %s was answered with %d", o.call.To, reports[0].Status)
			}
			return reports[0], nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return CallReport{}, err
		}
		select {
		case <-ctx.Done():
			return CallReport{}, fmt.Errorf("the call to %s was not answered: %w", o.call.To, ctx.Err())
		case <-o.proc.done:
			return CallReport{}, fmt.Errorf("the call to %s ended before it was answered: %w (see %s)", o.call.To, errors.Join(o.proc.err, lastLine(o.scenario+".errors")), o.scenario+".log")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Transfer has the caller of a call with Transfers, once it is answered, transfer the
// other side to a number (RFC 3515) and returns when the phone was told.
func (o *Ongoing) Transfer(ctx context.Context, to string) error {
	return o.press(ctx, fmt.Sprintf("sip:%s@%s", to, o.asterisk.ip))
}

// TransferTo is a transfer to another call of the same phone (RFC 3891), which has to
// be answered: both other sides then talk to each other.
func (o *Ongoing) TransferTo(ctx context.Context, consultation *Ongoing) error {
	other, err := consultation.Answered(ctx)
	if err != nil {
		return err
	}
	replaces := url.PathEscape(fmt.Sprintf("%s;to-tag=%s;from-tag=%s", other.CallID, other.remoteTag, other.localTag))
	replaces = strings.NewReplacer("=", "%3D", ";", "%3B", "@", "%40").Replace(replaces)
	return o.press(ctx, fmt.Sprintf("sip:%s@%s?Replaces=%s", consultation.call.To, o.asterisk.ip, replaces))
}

// press tells the phone by an INFO within its call, as a finger on its key would:
// its scenario waits for that.
func (o *Ongoing) press(ctx context.Context, key string) error {
	report, err := o.Answered(ctx)
	if err != nil {
		return err
	}
	a := o.asterisk
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp4", fmt.Sprintf("%s:%d", a.host(callerHost), o.port))
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the phone does not mind
	message := fmt.Sprintf("INFO sip:phone@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKkey\r\nFrom: <sip:%s@%s>;tag=%s\r\nTo: <sip:%s@%s>;tag=%s\r\nCall-ID: %s\r\nCSeq: 1 INFO\r\nX-Press: %s\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
		conn.RemoteAddr(), conn.LocalAddr(), o.call.From, a.ip, report.localTag, o.call.To, a.ip, report.remoteTag, report.CallID, key)
	_, err = conn.Write([]byte(message))
	return err
}
