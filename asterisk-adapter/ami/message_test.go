package ami

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMessages(t *testing.T) {
	in := newReader(strings.NewReader("Asterisk Call Manager/11.0.0\r\n" +
		"\r\nEvent: Cdr\r\nCallerID: \"a: b\"  <1> \r\nUserField: \r\nVariable: x=1\r\nVariable: y=2\r\n\r\n" +
		"Response: Success\r\nActionID: 7\r\n\r\n" +
		"Event: ChallengeResponseFailed\r\nResponse: abc\r\n\r\n" +
		"Event: cut"))
	require.NoError(t, in.banner())
	h, err := in.message()
	require.NoError(t, err)
	event, response := classify(h)
	require.Equal(t, []string{"Cdr", ""}, []string{event, response})
	value, ok := h.Get("callerid")
	require.True(t, ok)
	require.Equal(t, `"a: b"  <1> `, value, "spaces at the end belong to the value")
	value, ok = h.Get("UserField")
	require.True(t, ok)
	require.Empty(t, value)
	_, ok = h.Get("LinkedID")
	require.False(t, ok)
	require.Equal(t, []string{"x=1", "y=2"}, h.Values("Variable"))

	h, err = in.message()
	require.NoError(t, err)
	event, response = classify(h)
	require.Equal(t, []string{"", "Success"}, []string{event, response})

	h, err = in.message()
	require.NoError(t, err)
	event, response = classify(h)
	require.Equal(t, []string{"ChallengeResponseFailed", ""}, []string{event, response})

	_, err = in.message()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestLimits(t *testing.T) {
	_, err := newReader(strings.NewReader("X: " + strings.Repeat("y", MaxLine+1) + "\r\n\r\n")).message()
	require.ErrorIs(t, err, ErrProtocol)
	_, err = newReader(strings.NewReader(strings.Repeat("X: y\r\n", MaxHeaders+1))).message()
	require.ErrorIs(t, err, ErrProtocol)
	for _, greeting := range []string{"SSH-2.0-OpenSSH\r\n", "\r\nAsterisk Call Manager/11.0.0\r\n", "\x00\xff\r\n", "HTTP/1.1 400 Bad Request\r\n", "asterisk call manager/1.1\r\n", strings.Repeat("x", MaxLine+3)} {
		require.ErrorIs(t, newReader(strings.NewReader(greeting)).banner(), ErrProtocol)
	}
	for _, greeting := range []string{"Asterisk Call Manager/1.1\r\n", "Asterisk Call Manager/99.0.0-beta\n"} {
		require.NoError(t, newReader(strings.NewReader(greeting)).banner(), "another version speaks the same")
	}
	require.ErrorIs(t, newReader(strings.NewReader("Asterisk Call Man")).banner(), io.ErrUnexpectedEOF)
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte("Event: Cdr\r\nA: b\r\n\r\nResponse: Success\r\n\r\n"))
	f.Add([]byte("no colon\n\n\n:\n\n"))
	f.Add([]byte("Event: Cdr\r\nCallerID: \"Event: Cdr\" <1>\r\nUserField: \xff\xfe\r\n\r\nEvent: Cd"))
	f.Add([]byte("Event: ChallengeResponseFailed\r\nResponse: x\r\n\r\n\r\n\r\nResponse: Error\r\nMessage: \x00\r\n\r\n"))
	f.Add([]byte("Event: " + strings.Repeat("x", MaxLine) + "\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := newReader(bytes.NewReader(data))
		for {
			h, err := in.message()
			if err != nil {
				return
			}
			require.NotEmpty(t, h)
			require.LessOrEqual(t, len(h), MaxHeaders)
			for _, header := range h {
				require.LessOrEqual(t, len(header.Name)+len(header.Value), MaxLine)
				require.NotContains(t, header.Value, "\n")
			}
			classify(h)
		}
	})
}

// endless is one message, again and again, as a connection gives it.
type endless struct {
	message []byte
	at      int
}

func (e *endless) Read(into []byte) (int, error) {
	n := copy(into, e.message[e.at:])
	e.at = (e.at + n) % len(e.message)
	return n, nil
}

// cdrEvent is a Cdr event of Asterisk 22.10, with what cdr_manager.conf of
// this project maps.
var cdrEvent = strings.ReplaceAll(`Event: Cdr
Privilege: cdr,all
AccountCode: 
Source: 1001
Destination: 1002
DestinationContext: internal
CallerID: "Zé" <1001>
Channel: PJSIP/1001-00000000
DestinationChannel: PJSIP/1002-00000001
LastApplication: Dial
LastData: PJSIP/1002,30
StartTime: 2026-11-21 07:04:10
AnswerTime: 2026-11-21 07:04:10
EndTime: 2026-11-21 07:04:12
Duration: 2
BillableSeconds: 2
Disposition: ANSWERED
AMAFlags: DOCUMENTATION
UniqueID: 1795244650.0
UserField: 1-1-30761@127.34.27.2
PeerAccount: 
LinkedID: 1795244650.0
Sequence: 0

`, "\n", "\r\n")

// BenchmarkMessage reads a Cdr event of 23 lines off a connection.
func BenchmarkMessage(b *testing.B) {
	in := newReader(&endless{message: []byte(cdrEvent)})
	b.SetBytes(int64(len(cdrEvent)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := in.message(); err != nil {
			b.Fatal(err)
		}
	}
}
