package lab

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// readTrace reads SIPp's message trace: each message stands after a line of
// dashes with the time to the microsecond and a line with its direction.
func readTrace(path string) ([]CallReport, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("SIPp's trace: %w", err)
	}
	var order []string
	calls := make(map[string]*CallReport)
	for _, part := range bytes.Split(append([]byte("\n"), content...), []byte("\n-----------------------------------------------")) {
		at, sent, start, headers, ok := traceMessage(part)
		if !ok {
			continue
		}
		id := headers["call-id"]
		call := calls[id]
		if call == nil {
			call = &CallReport{CallID: id}
			calls[id] = call
			order = append(order, id)
		}
		if err := call.see(at, sent, start, headers); err != nil {
			return nil, err
		}
	}
	reports := make([]CallReport, 0, len(order))
	for _, id := range order {
		reports = append(reports, *calls[id])
	}
	return reports, nil
}

// see takes one of the call's messages in.
func (r *CallReport) see(at time.Time, sent bool, start string, headers map[string]string) error {
	_, method, _ := strings.Cut(headers["cseq"], " ")
	if sent {
		r.seeSent(at, start, method, headers["authorization"] != "")
		return nil
	}
	if strings.HasPrefix(start, "BYE ") && r.HungUp.IsZero() {
		r.HungUp = at // by the other side
		return nil
	}
	fields := strings.Fields(start)
	if len(fields) < 2 || fields[0] != "SIP/2.0" {
		return nil
	}
	status, err := strconv.Atoi(fields[1])
	if err != nil {
		return fmt.Errorf("SIPp's trace: status line %q", start)
	}
	switch {
	case method == "INVITE" && status >= 200 && status != 401 && r.Status == 0:
		r.Status = status
		_, r.localTag, _ = strings.Cut(headers["from"], ";tag=")
		_, r.remoteTag, _ = strings.Cut(headers["to"], ";tag=")
		if status < 300 {
			r.Answered = at
		} else if r.HungUp.IsZero() {
			r.HungUp = at
		}
	case hangsUp(method) && status < 300:
		r.Confirmed = at
	}
	return nil
}

func (r *CallReport) seeSent(at time.Time, start, method string, authorized bool) {
	switch {
	case strings.HasPrefix(start, "INVITE ") && authorized:
		r.Invited = at
	case hangsUp(method) && strings.HasPrefix(start, method) && r.HungUp.IsZero():
		r.HungUp = at // the first: a retransmission is not a second hang-up
	}
}

func hangsUp(method string) bool { return method == "BYE" || method == "CANCEL" }

func traceMessage(part []byte) (at time.Time, sent bool, start string, headers map[string]string, ok bool) {
	lines := bufio.NewScanner(bytes.NewReader(part))
	if !lines.Scan() {
		return at, false, "", nil, false
	}
	stamp := strings.TrimLeft(lines.Text(), "- \t")
	for _, layout := range []string{"2006-01-02T15:04:05.000000", "2006-01-02\t15:04:05.000000", "2006-01-02 15:04:05.000000"} {
		if len(stamp) >= len(layout) {
			var err error
			if at, err = time.Parse(layout, stamp[:len(layout)]); err == nil {
				ok = true
				break
			}
		}
	}
	if !ok || !lines.Scan() {
		return at, sent, start, headers, false
	}
	sent = strings.Contains(lines.Text(), "message sent")
	headers = make(map[string]string)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		switch {
		case line == "" && start == "":
		case line == "":
			return at, sent, start, headers, true
		case start == "":
			start = line
		default:
			if name, value, found := strings.Cut(line, ":"); found {
				headers[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
			}
		}
	}
	return at, sent, start, headers, start != ""
}
