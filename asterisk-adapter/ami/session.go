package ami

import (
	"context"
	"crypto/md5" //nolint:gosec // the protocol's challenge knows nothing better
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

var (
	// ErrLogin says that Asterisk refused the user. Trying again is no use.
	ErrLogin = errors.New("Asterisk's manager interface refused the login")
	// ErrNotConnected is Action's answer while there is no connection.
	ErrNotConnected = errors.New("not connected to Asterisk's manager interface")
	// ErrAction wraps Asterisk's refusal of an action.
	ErrAction = errors.New("Asterisk refused the action")
)

// Options says where and as whom to log in.
type Options struct {
	// Address is host:port of the manager interface.
	Address string
	User    string
	Secret  string
	// Events are the classes to be sent, such as "cdr,call,system"; empty
	// means all that the user may read.
	Events string
	// KeepAlive is how often to ask whether Asterisk is still there; silence
	// for twice that long is a lost connection. 0 means 5 s.
	KeepAlive time.Duration
	// RetryMax bounds the wait between attempts to connect; 0 means 2 s.
	RetryMax time.Duration
}

// Handler is told what happens, by one goroutine, in order. Nil functions are
// left out. A function that blocks holds the session up.
type Handler struct {
	// Connected is called after each login, attempt 1 being the first: events
	// before it are missing, so reconcile.
	Connected func(attempt int)
	// Lost is called when a connection that was up ends, and for each attempt
	// that fails before there was one.
	Lost func(error)
	// Event is called for each event.
	Event func(Event)
}

// Session is a session with one Asterisk that outlives its connections.
type Session struct {
	opts Options

	mu      sync.Mutex
	secret  string
	conn    net.Conn // nil while not logged in
	nextID  uint64
	waiting map[string]chan Response
	lists   map[string]*list
}

// New returns a session that Run will open.
func New(opts Options) *Session {
	if opts.KeepAlive == 0 {
		opts.KeepAlive = 5 * time.Second
	}
	if opts.RetryMax == 0 {
		opts.RetryMax = 2 * time.Second
	}
	return &Session{opts: opts, secret: opts.Secret, waiting: make(map[string]chan Response), lists: make(map[string]*list)}
}

// SetSecret changes the secret, from the next login on.
func (s *Session) SetSecret(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secret = secret
}

// Run connects, and again whenever the connection is lost, until the context
// ends or Asterisk refuses the login (ErrLogin).
func (s *Session) Run(ctx context.Context, handler Handler) error {
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval = 20 * time.Millisecond
	retry.MaxInterval = s.opts.RetryMax
	attempt := 0
	for {
		err := s.connection(ctx, handler, func() {
			attempt++
			retry.Reset()
			if handler.Connected != nil {
				handler.Connected(attempt)
			}
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, ErrLogin) {
			return err
		}
		if handler.Lost != nil {
			handler.Lost(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retry.NextBackOff()):
		}
	}
}

// connection lives one connection through, and returns why it ended.
func (s *Session) connection(ctx context.Context, handler Handler, connected func()) error {
	dialer := net.Dialer{Timeout: s.opts.KeepAlive}
	conn, err := dialer.DialContext(ctx, "tcp", s.opts.Address)
	if err != nil {
		return fmt.Errorf("connect to Asterisk's manager interface: %w", err)
	}
	defer conn.Close() //nolint:errcheck // both ends know how far they were
	// A read returns at once when the context ends.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()

	in := newReader(conn)
	alive := func() error { return conn.SetReadDeadline(time.Now().Add(2 * s.opts.KeepAlive)) }
	if err := alive(); err != nil {
		return err
	}
	if err := in.banner(); err != nil {
		return fmt.Errorf("greeting of Asterisk's manager interface: %w", err)
	}
	early, err := s.login(conn, in)
	if err != nil {
		return err
	}
	s.attach(conn)
	defer s.detach()
	connected()
	for _, event := range early {
		if handler.Event != nil {
			handler.Event(event)
		}
	}

	stop := make(chan struct{})
	var pinger sync.WaitGroup
	pinger.Go(func() { s.ping(conn, stop) })
	defer pinger.Wait()
	defer close(stop)
	for {
		if err := alive(); err != nil {
			return err
		}
		headers, err := in.message()
		if err != nil {
			return fmt.Errorf("connection to Asterisk's manager interface: %w", err)
		}
		name, status := classify(headers)
		switch {
		case name != "":
			event := Event{Name: name, Headers: headers, Received: time.Now()}
			if !s.listed(event) && handler.Event != nil {
				handler.Event(event)
			}
		case status != "":
			s.answer(Response{Status: status, Headers: headers})
		}
	}
}

// login answers the challenge, so that the secret itself is not sent. Events
// can come before the answer; they are returned.
func (s *Session) login(conn net.Conn, in *reader) ([]Event, error) {
	var early []Event
	ask := func(action string, headers ...Header) (Response, error) {
		if err := write(conn, s.opts.KeepAlive, action, "login", headers); err != nil {
			return Response{}, err
		}
		for {
			h, err := in.message()
			if err != nil {
				return Response{}, err
			}
			name, status := classify(h)
			if name != "" {
				early = append(early, Event{Name: name, Headers: h, Received: time.Now()})
				continue
			}
			return Response{Status: status, Headers: h}, nil
		}
	}
	response, err := ask("Challenge", Header{"AuthType", "MD5"})
	if err != nil {
		return nil, fmt.Errorf("log in to Asterisk's manager interface: %w", err)
	}
	challenge, ok := response.Get("Challenge")
	if !ok {
		return nil, fmt.Errorf("%w: it gave no challenge", ErrProtocol)
	}
	s.mu.Lock()
	secret := s.secret
	s.mu.Unlock()
	sum := md5.Sum([]byte(challenge + secret)) //nolint:gosec // as above
	events := s.opts.Events
	if events == "" {
		events = "on"
	}
	response, err = ask("Login", Header{"AuthType", "MD5"}, Header{"Username", s.opts.User}, Header{"Key", hex.EncodeToString(sum[:])}, Header{"Events", events})
	if err != nil {
		return nil, fmt.Errorf("log in to Asterisk's manager interface: %w", err)
	}
	if response.Status != "Success" {
		message, _ := response.Get("Message")
		return nil, fmt.Errorf("%w (%s): compare user %q and its secret, permit and deny in manager.conf with the adapter's configuration, and reload Asterisk's manager", ErrLogin, message, s.opts.User)
	}
	return early, nil
}

func (s *Session) ping(conn net.Conn, stop <-chan struct{}) {
	ticker := time.NewTicker(s.opts.KeepAlive)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			s.mu.Lock()
			// An answer without a waiter is dropped; that it came is enough.
			err := write(conn, s.opts.KeepAlive, "Ping", "ping", nil)
			s.mu.Unlock()
			if err != nil {
				_ = conn.Close() // the reader then says it is lost
				return
			}
		}
	}
}

// Action sends one action and waits for its response. The error wraps
// ErrAction when Asterisk says Error, or ErrNotConnected.
func (s *Session) Action(ctx context.Context, action string, headers ...Header) (Response, error) {
	return s.act(ctx, action, nil, headers)
}

// act sends an action; the events that answer it go into the list, if there is one.
func (s *Session) act(ctx context.Context, action string, into *list, headers []Header) (Response, error) {
	s.mu.Lock()
	if s.conn == nil {
		s.mu.Unlock()
		return Response{}, ErrNotConnected
	}
	s.nextID++
	id := strconv.FormatUint(s.nextID, 10)
	answer := make(chan Response, 1)
	s.waiting[id] = answer
	if into != nil {
		into.id = id
		s.lists[id] = into
	}
	err := write(s.conn, s.opts.KeepAlive, action, id, headers)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, id)
		s.mu.Unlock()
	}()
	if err != nil {
		return Response{}, fmt.Errorf("AMI action %s: %w", action, err)
	}
	select {
	case response, ok := <-answer:
		if !ok {
			return Response{}, fmt.Errorf("AMI action %s: %w", action, ErrNotConnected)
		}
		if response.Status == "Error" {
			message, _ := response.Get("Message")
			return response, fmt.Errorf("%w %s: %s", ErrAction, action, message)
		}
		return response, nil
	case <-ctx.Done():
		return Response{}, fmt.Errorf("AMI action %s: %w", action, ctx.Err())
	}
}

func (s *Session) attach(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn
}

func (s *Session) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = nil
	for id, answer := range s.waiting {
		close(answer)
		delete(s.waiting, id)
	}
	for id, one := range s.lists {
		one.end(ErrNotConnected)
		delete(s.lists, id)
	}
}

func (s *Session) answer(r Response) {
	id, _ := r.Get("ActionID")
	s.mu.Lock()
	defer s.mu.Unlock()
	if answer, ok := s.waiting[id]; ok {
		delete(s.waiting, id)
		answer <- r
	}
}

// write sends an action. A line end inside a value would start another header,
// or another action.
func write(conn net.Conn, timeout time.Duration, action, id string, headers []Header) error {
	var b strings.Builder
	for _, h := range append([]Header{{"Action", action}, {"ActionID", id}}, headers...) {
		if strings.ContainsAny(h.Name+h.Value, "\r\n") {
			return fmt.Errorf("AMI header %s holds a line end", strings.Map(printable, h.Name))
		}
		b.WriteString(h.Name)
		b.WriteString(": ")
		b.WriteString(h.Value)
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n")
	if err := conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	_, err := conn.Write([]byte(b.String()))
	return err
}

func printable(r rune) rune {
	if r < ' ' {
		return -1
	}
	return r
}
