package ami

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestList takes a list out of what else happens, and ends with its connection.
func TestList(t *testing.T) {
	address := listen(t, func(_ int, m *manager) {
		m.login("s")
		for {
			asked := m.action()
			switch id := asked["ActionID"]; asked["Action"] {
			case "Status":
				fmt.Fprintf(m, "Event: Status\r\nActionID: %[1]s\r\nChannel: a\r\n\r\nResponse: Success\r\nActionID: %[1]s\r\nEventList: start\r\n\r\nEvent: Other\r\n\r\n"+
					"Event: Status\r\nActionID: %[1]s\r\nChannel: b\r\n\r\nEvent: StatusComplete\r\nActionID: %[1]s\r\nEventList: Complete\r\n\r\n", id)
			case "Refused":
				fmt.Fprintf(m, "Response: Error\r\nActionID: %s\r\nMessage: no\r\n\r\n", id)
			case "Cut":
				fmt.Fprintf(m, "Response: Success\r\nActionID: %[1]s\r\n\r\nEvent: Status\r\nActionID: %[1]s\r\n\r\n", id)
				return
			case "":
				return
			}
		}
	})
	session := New(Options{Address: address, User: "u", Secret: "s"})
	up, others := make(chan struct{}, 10), make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go session.Run(ctx, Handler{Connected: func(int) { up <- struct{}{} }, Event: func(event Event) { others <- event.Name }})
	<-up
	listed, err := session.List(ctx, "Status")
	require.NoError(t, err)
	var names []string
	for _, event := range listed {
		name, _ := event.Get("Channel")
		names = append(names, name)
	}
	require.Equal(t, []string{"a", "b"}, names)
	require.Equal(t, "Early", <-others)
	require.Equal(t, "Other", <-others)
	_, err = session.List(ctx, "Refused")
	require.ErrorIs(t, err, ErrAction)
	_, err = session.List(ctx, "Cut")
	require.ErrorIs(t, err, ErrNotConnected)
	require.Empty(t, session.lists)
}
