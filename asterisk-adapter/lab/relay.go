package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

// Relay is a network between a client and a server, that can be lost.
type Relay struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	lost  bool
	conns map[net.Conn]struct{}
	group sync.WaitGroup
}

// NewRelay relays TCP connections to a host:port, from a free port on loopback.
func NewRelay(ctx context.Context, target string) (*Relay, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a relay: %w", err)
	}
	r := &Relay{listener: listener, target: target, conns: map[net.Conn]struct{}{}}
	r.group.Go(r.accept)
	return r, nil
}

// Address is where to connect to.
func (r *Relay) Address() string { return r.listener.Addr().String() }

func (r *Relay) accept() {
	for {
		near, err := r.listener.Accept()
		if err != nil {
			return
		}
		far, err := (&net.Dialer{}).Dial("tcp4", r.target)
		if err != nil || !r.keep(near, far) {
			_ = near.Close()
			if far != nil {
				_ = far.Close()
			}
			continue
		}
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			r.group.Go(func() {
				_, _ = io.Copy(way[0], way[1])
				r.forget(near, far)
			})
		}
	}
}

// keep notes a connection unless the network is lost.
func (r *Relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		if !r.lost {
			r.conns[conn] = struct{}{}
		}
	}
	return !r.lost
}

func (r *Relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(r.conns, conn)
	}
}

// Lose ends all connections and lets no new one through.
func (r *Relay) Lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = true
	for conn := range r.conns {
		_ = conn.Close()
	}
}

// Restore lets connections through again.
func (r *Relay) Restore() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = false
}

// Close ends the relay.
func (r *Relay) Close() {
	_ = r.listener.Close()
	r.Lose()
	r.group.Wait()
}
