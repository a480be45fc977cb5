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
		_, method, _ := strings.Cut(headers["cseq"], " ")
		switch {
		case sent && strings.HasPrefix(start, "INVITE ") && headers["authorization"] != "":
			call.Invited = at
		case sent && (strings.HasPrefix(start, "BYE ") || strings.HasPrefix(start, "CANCEL ")):
			if call.HungUp.IsZero() { // a retransmission is not a second hang-up
				call.HungUp = at
			}
		case !sent && strings.HasPrefix(start, "SIP/2.0 "):
			status, err := strconv.Atoi(strings.Fields(start)[1])
			if err != nil {
				return nil, fmt.Errorf("SIPp's trace: status line %q", start)
			}
			switch {
			case method == "INVITE" && status >= 200 && status != 401:
				call.Status = status
				if status < 300 {
					call.Answered = at
				} else if call.HungUp.IsZero() {
					call.HungUp = at
				}
			case (method == "BYE" || method == "CANCEL") && status < 300:
				call.Confirmed = at
			}
		}
	}
	reports := make([]CallReport, 0, len(order))
	for _, id := range order {
		reports = append(reports, *calls[id])
	}
	return reports, nil
}

func traceMessage(part []byte) (at time.Time, sent bool, start string, headers map[string]string, ok bool) {
	lines := bufio.NewScanner(bytes.NewReader(part))
	if !lines.Scan() {
		return
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
