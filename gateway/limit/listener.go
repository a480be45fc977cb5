package limit

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ConnectionConfig bounds connections, before anybody has said who they are.
type ConnectionConfig struct {
	// Total is how many may be open.
	Total int `yaml:"total" reload:"true"`
	// PerAddress is how many one IPv4 address or IPv6 /64 may hold.
	PerAddress int `yaml:"per_address" reload:"true"`
	// HandshakeTimeout bounds the time until TLS and HTTP/2 have begun.
	HandshakeTimeout time.Duration `yaml:"handshake_timeout"`
	// StrangerTimeout is how long a connection may stay whose holder has not shown
	// a good certificate or token.
	StrangerTimeout time.Duration `yaml:"stranger_timeout"`
	// IdleTimeout closes connections without calls.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// Streams is how many calls one connection may have under way.
	Streams uint32 `yaml:"streams"`
}

// DefaultConnectionConfig is what holds where nothing else is said.
func DefaultConnectionConfig() ConnectionConfig {
	return ConnectionConfig{
		Total: 4096, PerAddress: 512, HandshakeTimeout: 10 * time.Second, StrangerTimeout: 10 * time.Second,
		IdleTimeout: 15 * time.Minute, Streams: 250,
	}
}

// Check answers what is wrong with the bounds.
func (c *ConnectionConfig) Check() error {
	var problems []error
	if c.Total < 1 || c.PerAddress < 1 || c.Streams < 1 {
		problems = append(problems, errors.New("total, per_address and streams must be 1 or more"))
	}
	if c.HandshakeTimeout <= 0 || c.StrangerTimeout <= 0 || c.IdleTimeout <= 0 {
		problems = append(problems, errors.New("handshake_timeout, stranger_timeout and idle_timeout must be above 0"))
	}
	return errors.Join(problems...)
}

// Doorkeeper counts connections over all listeners of a gateway.
type Doorkeeper struct {
	config  ConnectionConfig
	metrics *Metrics
	log     *slog.Logger

	mu   sync.Mutex
	open int
	by   map[netip.Prefix]int
	said time.Time // when a refusal was logged last
}

// NewDoorkeeper makes one.
func NewDoorkeeper(config ConnectionConfig, metrics *Metrics, log *slog.Logger) *Doorkeeper {
	return &Doorkeeper{config: config, metrics: metrics, log: log, by: map[netip.Prefix]int{}}
}

// Set has other bounds hold for connections from now on. Those that are open stay.
func (d *Doorkeeper) Set(config ConnectionConfig) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.config = config
}

// Listen is the listener with connections counted: one too many is closed at once.
func (d *Doorkeeper) Listen(inner net.Listener) net.Listener {
	return &listener{Listener: inner, door: d}
}

type listener struct {
	net.Listener
	door *Doorkeeper
}

// Accept waits for a connection that may stay.
func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := network(accepted.RemoteAddr())
		if bound := l.door.enter(from); bound != "" {
			l.door.turnAway(bound, from)
			_ = accepted.Close()
			continue
		}
		return &connection{Conn: accepted, leave: sync.OnceFunc(func() { l.door.leave(from) })}, nil
	}
}

// connection tells when it ends.
type connection struct {
	net.Conn
	leave func()
}

// Close closes the connection.
func (c *connection) Close() error {
	c.leave()
	return c.Conn.Close()
}

// enter counts a connection in, or names the bound that forbids it.
func (d *Doorkeeper) enter(from netip.Prefix) (bound string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.open >= d.config.Total:
		return "total"
	case d.by[from] >= d.config.PerAddress:
		return "per_address"
	}
	d.open++
	d.by[from]++
	d.metrics.opened(1)
	return ""
}

func (d *Doorkeeper) leave(from netip.Prefix) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	if d.by[from]--; d.by[from] == 0 {
		delete(d.by, from)
	}
	d.metrics.opened(-1)
}

// turnAway logs refusals, but not each of a thousand.
func (d *Doorkeeper) turnAway(bound string, from netip.Prefix) {
	d.metrics.away(bound)
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.said) > time.Second {
		d.said = now
		d.log.Warn("connections are refused", "bound", bound, "network", coarse(from), "open", d.open)
	}
}

// network is whose connections are counted together.
func network(address net.Addr) netip.Prefix {
	from, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return netip.Prefix{}
	}
	bits, ip := 32, from.Addr().Unmap().WithZone("")
	if ip.Is6() {
		bits = 64
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// coarse is a network that names no single subscriber, for logs.
func coarse(from netip.Prefix) string {
	bits := 24
	if from.Addr().Is6() {
		bits = 48
	}
	prefix, err := from.Addr().Prefix(bits)
	if err != nil {
		return "unknown"
	}
	return prefix.String()
}
