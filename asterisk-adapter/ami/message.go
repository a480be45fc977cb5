// Package ami keeps a session with Asterisk's manager interface: events for
// speed, a word at every connection and loss so that the consumer can
// reconcile what it missed, and actions.
package ami

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Limits on what Asterisk may send. Its own buffers are far smaller.
const (
	// MaxLine is the longest line, in bytes, without its end.
	MaxLine = 16 << 10
	// MaxHeaders is how many lines a message may have.
	MaxHeaders = 1024
)

// ErrProtocol says that what came is not AMI, or beyond its limits. The
// connection is of no more use.
var ErrProtocol = errors.New("not the manager protocol")

// Header is one line of a message. Names can repeat (Variable, ChanVariable,
// Output), and their case varies between Asterisk's modules.
type Header struct{ Name, Value string }

// Headers are a message's lines in the order they came.
type Headers []Header

// Get returns the first value of a header, and whether there is one.
func (h Headers) Get(name string) (string, bool) {
	for _, header := range h {
		if strings.EqualFold(header.Name, name) {
			return header.Value, true
		}
	}
	return "", false
}

// Values returns all values of a header, in order.
func (h Headers) Values(name string) []string {
	var values []string
	for _, header := range h {
		if strings.EqualFold(header.Name, name) {
			values = append(values, header.Value)
		}
	}
	return values
}

// Event is an event of Asterisk's.
type Event struct {
	// Name is the value of the Event header, such as "Cdr".
	Name string
	Headers
	// Received is when its last line was read here.
	Received time.Time
}

// Response is the answer to an action.
type Response struct {
	// Status is the value of the Response header: Success, Error, Goodbye …
	Status string
	Headers
}

// reader takes messages off a connection.
type reader struct {
	r    *bufio.Reader
	last int // headers of the last message, to size the next
}

func newReader(r io.Reader) *reader {
	return &reader{r: bufio.NewReaderSize(r, MaxLine+2)}
}

// line returns a line without its end; the bytes are good until the next call.
func (r *reader) line() ([]byte, error) {
	line, err := r.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrProtocol, MaxLine)
	case errors.Is(err, io.EOF) && len(line) > 0:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, nil
}

// banner reads the greeting, such as "Asterisk Call Manager/11.0.0".
func (r *reader) banner() error {
	line, err := r.line()
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(line), "Asterisk Call Manager/") {
		return fmt.Errorf("%w: the greeting is not \"Asterisk Call Manager\": does the address belong to Asterisk's manager interface (port 5038)?", ErrProtocol)
	}
	return nil
}

// message reads lines up to an empty one. Exactly one space after the colon
// belongs to the protocol; any more belongs to the value.
func (r *reader) message() (Headers, error) {
	headers := make(Headers, 0, max(r.last, 8))
	for {
		line, err := r.line()
		if err != nil {
			if errors.Is(err, io.EOF) && len(headers) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if len(line) == 0 {
			if len(headers) == 0 {
				continue
			}
			r.last = len(headers)
			return headers, nil
		}
		if len(headers) == MaxHeaders {
			return nil, fmt.Errorf("%w: a message of more than %d lines", ErrProtocol, MaxHeaders)
		}
		name, value, found := strings.Cut(string(line), ":")
		if !found {
			// Text of an old-style command's output: kept, under no name.
			name, value = "", name
		} else {
			value = strings.TrimPrefix(value, " ")
		}
		headers = append(headers, Header{name, value})
	}
}

// classify tells events from responses. Some events carry a Response header
// too (ChallengeResponseFailed), so Event is looked for first.
func classify(h Headers) (event, response string) {
	if name, ok := h.Get("Event"); ok {
		return name, ""
	}
	status, _ := h.Get("Response")
	return "", status
}
