package ami

import (
	"bufio"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// manager is one connection of a manager interface that misbehaves on demand.
type manager struct {
	net.Conn
	in *bufio.Reader
}

// action reads one action.
func (m *manager) action() map[string]string {
	headers := make(map[string]string)
	for {
		line, err := m.in.ReadString('\n')
		if err != nil {
			return nil
		}
		if line = strings.TrimSpace(line); line == "" {
			return headers
		}
		name, value, _ := strings.Cut(line, ": ")
		headers[name] = value
	}
}

// login greets and lets anyone with the secret in.
func (m *manager) login(secret string) {
	fmt.Fprint(m, "Asterisk Call Manager/11.0.0\r\n")
	m.action()
	fmt.Fprint(m, "Response: Success\r\nChallenge: 42\r\nActionID: login\r\n\r\n")
	sum := md5.Sum([]byte("42" + secret))
	if m.action()["Key"] != hex.EncodeToString(sum[:]) {
		fmt.Fprint(m, "Response: Error\r\nMessage: Authentication failed\r\nActionID: login\r\n\r\n")
		return
	}
	fmt.Fprint(m, "Event: Early\r\n\r\nResponse: Success\r\nActionID: login\r\n\r\n")
}

func listen(t *testing.T, serve func(n int, m *manager)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for n := 1; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serve(n, &manager{conn, bufio.NewReader(conn)})
			conn.Close()
		}
	}()
	return listener.Addr().String()
}

func TestSessionComesBackAndSaysSo(t *testing.T) {
	address := listen(t, func(n int, m *manager) {
		m.login("secret")
		fmt.Fprintf(m, "Event: Number\r\nN: %d\r\n\r\n", n)
		if n == 2 {
			fmt.Fprint(m, strings.Repeat("x", MaxLine*2)) // no protocol: drop it
		}
		if n == 3 {
			for m.action() != nil { // answer pings never: silence is loss
			}
		}
	})
	var told []string
	ctx, cancel := context.WithCancel(t.Context())
	err := New(Options{Address: address, User: "u", Secret: "secret", KeepAlive: 100 * time.Millisecond}).Run(ctx, Handler{
		Connected: func(n int) {
			told = append(told, fmt.Sprint("up ", n))
			if n == 4 {
				cancel()
			}
		},
		Lost: func(error) { told = append(told, "lost") },
		Event: func(e Event) {
			n, _ := e.Get("N")
			told = append(told, strings.TrimSpace(e.Name+" "+n))
		},
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, "up 1,Early,Number 1,lost,up 2,Early,Number 2,lost,up 3,Early,Number 3,lost,up 4", strings.TrimSuffix(strings.Join(told[:13], ","), ",Early"))
}

func TestActionEndsWithItsConnection(t *testing.T) {
	closing := make(chan struct{})
	address := listen(t, func(_ int, m *manager) {
		m.login("s")
		if m.action()["Action"] == "Hang" {
			<-closing
		}
	})
	session := New(Options{Address: address, User: "u", Secret: "s"})
	up := make(chan struct{}, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go session.Run(ctx, Handler{Connected: func(int) { up <- struct{}{} }})
	<-up
	late, stop := context.WithTimeout(ctx, 20*time.Millisecond)
	defer stop()
	_, err := session.Action(late, "Hang")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	go close(closing)
	_, err = session.Action(ctx, "Other")
	require.Error(t, err)
}

func TestNobodyThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	ctx, cancel := context.WithCancel(t.Context())
	lost := 0
	err = New(Options{Address: address}).Run(ctx, Handler{Lost: func(err error) {
		require.Error(t, err)
		if lost++; lost == 2 {
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
}
