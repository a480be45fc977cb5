package trail

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// maxBreaks bounds the breaks that are told.
const maxBreaks = 100

// Break is a place where the trail is not as it was written.
type Break struct {
	File string `json:"file"`
	Line int    `json:"line"`
	What string `json:"what"`
}

// Verdict is what a look at a whole trail found.
type Verdict struct {
	Files   int       `json:"files"`
	Entries int64     `json:"entries"`
	From    time.Time `json:"from,omitzero"`
	To      time.Time `json:"to,omitzero"`
	// Seq and Head are the last entry's number and digest.
	Seq  uint64 `json:"seq"`
	Head string `json:"head"`
	// Unfinished is how many bytes follow the last whole line: a gateway is
	// writing, or was killed.
	Unfinished int64   `json:"unfinished"`
	Breaks     []Break `json:"breaks"`
	// Witnessed says, where a head was named that was written down earlier, that
	// the trail holds it.
	Witnessed bool `json:"witnessed"`
}

// Whole says that nothing was changed or taken out, apart from what may be missing
// at the end: compare the head with one from the log.
func (v *Verdict) Whole() bool { return len(v.Breaks) == 0 }

// Verify reads a whole trail and checks every line against the next. A witness is a
// head that was written down earlier, "" for none.
func Verify(folder, witness string) (*Verdict, error) {
	names, err := files(folder)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("there is no audit trail in %s", folder)
	}
	c := &check{verdict: &Verdict{Files: len(names), Breaks: []Break{}}, expected: genesis, witness: witness}
	for i, name := range names {
		if err := c.file(filepath.Join(folder, name), i == len(names)-1); err != nil {
			return nil, err
		}
	}
	c.verdict.Head = c.expected
	return c.verdict, nil
}

type check struct {
	verdict  *Verdict
	path     string
	line     int
	expected string // what the next line must name as the one before
	witness  string
}

func (c *check) broken(format string, args ...any) {
	if len(c.verdict.Breaks) < maxBreaks {
		c.verdict.Breaks = append(c.verdict.Breaks, Break{File: c.path, Line: c.line, What: fmt.Sprintf(format, args...)})
	}
}

func (c *check) file(path string, isLast bool) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the audit trail: %w", err)
	}
	defer func() { _ = file.Close() }()
	c.path, c.line = path, 0
	reader := bufio.NewReaderSize(file, maxLine)
	for {
		line, err := reader.ReadSlice('\n')
		c.line++
		switch {
		case err == nil:
			c.entry(line)
		case errors.Is(err, bufio.ErrBufferFull):
			c.broken("the line is longer than any the gateway writes")
			return nil
		case errors.Is(err, io.EOF):
			if len(line) > 0 && !isLast {
				c.broken("the line has no end")
			}
			c.verdict.Unfinished += int64(len(line))
			return nil
		default:
			return fmt.Errorf("read the audit trail: %w", err)
		}
	}
}

func (c *check) entry(line []byte) {
	entry, err := parse(line)
	if err != nil {
		c.broken("%v", err)
		c.expected = digest(line)
		return
	}
	v := c.verdict
	if entry.Prev != c.expected {
		c.broken("entry %d does not follow what stands before it: a line was changed or taken out there", entry.Seq)
	} else if entry.Seq != v.Seq+1 {
		c.broken("entry %d follows entry %d", entry.Seq, v.Seq)
	}
	if v.Entries++; v.Entries == 1 {
		v.From = entry.At
	}
	v.Seq, v.To, c.expected = entry.Seq, entry.At, digest(line)
	if c.expected == c.witness {
		v.Witnessed = true
	}
}
