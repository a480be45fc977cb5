package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/callseal/callseal/audit"
)

// tamper alters the files in three ways; each must be found, by the gateway and,
// with the gateway stopped, by another operator's peer.
func (s *show) tamper(ctx context.Context, where *scene) error {
	call, other := where.calls[0], where.calls[1]
	for _, attack := range []struct {
		title string
		alter func() (string, error)
	}{
		{"Flip one bit of one byte of the recording, chosen at random", func() (string, error) { return flipByte(where.wav(call)) }},
		{"Edit one column of its CDR row, chosen at random", func() (string, error) { return editRow(where.csv, call.UniqueID) }},
		{"Replace recording and CDR row together by those of the other call", func() (string, error) { return swap(where, call, other) }},
	} {
		s.title("%s", attack.title)
		if err := s.attack(ctx, where, call, attack.alter); err != nil {
			return err
		}
	}
	s.title("In all: intact %d time, altered %d times", s.tally["intact"], s.tally["altered"])
	return nil
}

// attack alters, audits twice, and puts the files back.
func (s *show) attack(ctx context.Context, where *scene, call anchored, alter func() (string, error)) (err error) {
	restore, err := remember(where.csv, where.wav(call))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	what, err := alter()
	if err != nil {
		return fmt.Errorf("tamper: %w", err)
	}
	s.say("%s", what)
	byGateway, err := s.askGateway(ctx, where, call)
	if err != nil {
		return err
	}
	s.sayVerdict(byGateway)
	byPeer, err := s.askPeer(ctx, where, call)
	if err != nil {
		return err
	}
	s.say("with the gateway of %s stopped, asked %s: %s", s.owner.Name, byPeer.Asked, strings.ToUpper(string(byPeer.Outcome)))
	if byGateway.Outcome != audit.Altered || byPeer.Outcome != audit.Altered {
		return fmt.Errorf("the alteration was not found: the gateway says %s, the peer %s", byGateway.Outcome, byPeer.Outcome)
	}
	s.tally["altered"]++
	return nil
}

// remember keeps files' contents and times, and answers how to put them back.
func remember(paths ...string) (func() error, error) {
	type kept struct {
		path    string
		content []byte
		mode    os.FileMode
		changed time.Time
	}
	var all []kept
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("keep the original: %w", err)
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("keep the original: %w", err)
		}
		all = append(all, kept{path, content, info.Mode(), info.ModTime()})
	}
	return func() error {
		for _, file := range all {
			if err := os.WriteFile(file.path, file.content, file.mode); err != nil {
				return fmt.Errorf("put the original back: %w", err)
			}
			if err := os.Chtimes(file.path, file.changed, file.changed); err != nil {
				return fmt.Errorf("put the original back: %w", err)
			}
		}
		return nil
	}, nil
}

// flipByte changes one bit of the file in place.
func flipByte(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	at, bit := rand.IntN(len(content)), rand.IntN(8)
	before := content[at]
	content[at] ^= 1 << bit
	return fmt.Sprintf("byte %d of %d: 0x%02x becomes 0x%02x", at, len(content), before, content[at]), os.WriteFile(path, content, 0o600)
}

// cdrColumns are those of cdr_csv with everything turned on, in order.
var cdrColumns = []string{
	"accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata",
	"start", "answer", "end", "duration", "billsec", "disposition", "amaflags", "uniqueid", "userfield",
	"peeraccount", "linkedid", "sequence",
}

// editRow edits one column, chosen at random, of a channel's row.
func editRow(path, uniqueID string) (string, error) {
	return editColumn(path, uniqueID, rand.IntN(len(cdrColumns)))
}

func editColumn(path, uniqueID string, chosen int) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	lines := bytes.SplitAfter(content, []byte("\n"))
	for i, line := range lines {
		if !bytes.Contains(line, []byte(`"`+uniqueID+`"`)) {
			continue
		}
		columns := splitRow(strings.TrimRight(string(line), "\r\n"))
		if len(columns) != len(cdrColumns) {
			return "", fmt.Errorf("the row has %d columns, expected %d", len(columns), len(cdrColumns))
		}
		before := columns[chosen]
		columns[chosen] = edited(before)
		lines[i] = []byte(strings.Join(columns, ",") + "\n")
		return fmt.Sprintf("column %s: %s becomes %s", cdrColumns[chosen], before, columns[chosen]), os.WriteFile(path, bytes.Join(lines, nil), 0o600)
	}
	return "", fmt.Errorf("no row of %s is in the CDR file", uniqueID)
}

// splitRow splits a row at the commas outside quotes and keeps the quotes.
func splitRow(line string) []string {
	var columns []string
	quoted, from := false, 0
	for i, r := range line {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ',' && !quoted:
			columns = append(columns, line[from:i])
			from = i + 1
		}
	}
	return append(columns, line[from:])
}

// edited is a column's value, changed the way someone with an interest would.
func edited(value string) string {
	if n, err := strconv.Atoi(value); err == nil {
		return strconv.Itoa(n + 1)
	}
	inner := value
	if len(value) > 1 && value[0] == '"' {
		inner = strings.ReplaceAll(value[1:len(value)-1], `""`, `"`)
	}
	switch inner {
	case "ANSWERED":
		return `"NO ANSWER"`
	case "DOCUMENTATION":
		return `"BILLING"`
	case "":
		return `"edited"`
	}
	// Another last digit or letter, also of a number in angle brackets.
	last := strings.LastIndexFunc(inner, func(r rune) bool { return r != '>' && r != '"' && r < unicode.MaxASCII })
	if last < 0 {
		return `"edited"`
	}
	replacement := "7"
	if inner[last] == '7' {
		replacement = "8"
	}
	return `"` + strings.ReplaceAll(inner[:last]+replacement+inner[last+1:], `"`, `""`) + `"`
}

// swap puts the other call's recording and row in the place of the first's.
func swap(where *scene, call, other anchored) (string, error) {
	recording, err := os.ReadFile(where.wav(other))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(where.wav(call), recording, 0o600); err != nil {
		return "", err
	}
	content, err := os.ReadFile(where.csv)
	if err != nil {
		return "", err
	}
	lines := bytes.SplitAfter(content, []byte("\n"))
	row := func(uniqueID string) int {
		for i, line := range lines {
			if bytes.Contains(line, []byte(`"`+uniqueID+`"`)) {
				return i
			}
		}
		return -1
	}
	mine, theirs := row(call.UniqueID), row(other.UniqueID)
	if mine < 0 || theirs < 0 {
		return "", errors.New("the rows of both calls must be in the CDR file")
	}
	lines[mine] = lines[theirs]
	return fmt.Sprintf("call %s now has the recording and the row of call %s", call.LinkedID, other.LinkedID), os.WriteFile(where.csv, bytes.Join(lines, nil), 0o600)
}
