package credential

import (
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/callseal/callseal/gateway/fault"
)

// maxFailures is how many calls without a good certificate or token one
// connection may make.
const maxFailures = 20

// Connection is a gRPC client's connection, as its calls find it in
// [google.golang.org/grpc/peer]: what was shown at its beginning, and what becomes
// of it.
type Connection struct {
	credentials.TLSInfo
	store *Store
	cut   func()

	mu       sync.Mutex
	judged   *material // the material that the verdict stands on
	verdict  error
	until    time.Time // the verdict's end
	failures int
	stranger *time.Timer // ends the connection of who has shown nothing good
	vouched  bool
}

// Judge is the store's verdict on the certificate that the connection bears.
func (c *Connection) Judge() error {
	now, inForce := time.Now(), c.store.inForce()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.judged != inForce || now.After(c.until) {
		c.judged, c.verdict, c.until = inForce, inForce.judge(c.State.PeerCertificates, now), now.Add(time.Minute)
		if len(c.State.PeerCertificates) > 0 && c.State.PeerCertificates[0].NotAfter.Before(c.until) && c.verdict == nil {
			c.until = c.State.PeerCertificates[0].NotAfter
		}
	}
	return c.verdict
}

// Bare says that the connection bears no certificate at all.
func (c *Connection) Bare() bool { return len(c.State.PeerCertificates) == 0 }

// Vouch keeps the connection: its holder has shown something good.
func (c *Connection) Vouch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.vouched {
		c.vouched = true
		c.stranger.Stop()
	}
	c.failures = 0
}

// Fail counts a call whose caller was not let in. Too many end the connection.
func (c *Connection) Fail() {
	c.mu.Lock()
	c.failures++
	enough := c.failures >= maxFailures
	c.mu.Unlock()
	if enough {
		c.cut()
	}
}

// Transport are gRPC's credentials over the store's material. A connection whose
// holder shows nothing good within strangers is cut.
func (s *Store) Transport(strangers time.Duration) credentials.TransportCredentials {
	return &transport{TransportCredentials: credentials.NewTLS(s.TLS()), store: s, strangers: strangers}
}

type transport struct {
	credentials.TransportCredentials
	store     *Store
	strangers time.Duration
}

// ServerHandshake makes the TLS handshake.
func (t *transport) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secure, info, err := t.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	made, isTLS := info.(credentials.TLSInfo)
	if !isTLS {
		_ = secure.Close()
		return nil, nil, fault.New(fault.Unauthenticated, "the connection has no TLS")
	}
	cut := sync.OnceFunc(func() { _ = raw.Close() })
	connection := &Connection{TLSInfo: made, store: t.store, cut: cut}
	connection.stranger = time.AfterFunc(t.strangers, cut)
	release := func() {}
	if connection.Judge() == nil {
		connection.Vouch()
		release = t.store.Hold(made.State.PeerCertificates, cut)
	}
	return &held{Conn: secure, release: sync.OnceFunc(func() { connection.stranger.Stop(); release() })}, connection, nil
}

// Clone copies the credentials.
func (t *transport) Clone() credentials.TransportCredentials {
	return &transport{TransportCredentials: t.TransportCredentials.Clone(), store: t.store, strangers: t.strangers}
}

// held releases its hold when it is closed.
type held struct {
	net.Conn
	release func()
}

// Close closes the connection.
func (h *held) Close() error {
	h.release()
	return h.Conn.Close()
}
