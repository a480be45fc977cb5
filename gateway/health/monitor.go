// Package health tells the truth about what the gateway can do now. It asks every
// dependency itself, over and over, and says of each gRPC service whether what it
// stands on is there.
package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// The names of dependencies, which are names of the gRPC health service too.
const (
	// Journal takes what is accepted.
	Journal = "journal"
	// Peer is an own peer that answers on the channel.
	Peer = "peer"
	// Ledger is a peer and its chaincode service that answer a query.
	Ledger = "ledger"
	// Index is the projection, close behind the peer.
	Index = "index"
	// Disk has room where the state is kept.
	Disk = "disk"
	// Identity is every certificate of the gateway, valid now.
	Identity = "identity"
	// Orderer is a quorum of orderers.
	Orderer = "orderer"
	// Audit is the audit trail, which takes what must be on disk before it is done.
	Audit = "audit"
	// Credentials are the server's certificates and the revocation lists, as they are
	// on disk and up to date.
	Credentials = "credentials"
	// Tokens is the OpenID issuer whose keys are read, where there is one.
	Tokens = "tokens"
)

// Dependency is something that the gateway stands on.
type Dependency struct {
	Name string
	// Ask answers nil when it is there, else an error whose text is for people and
	// holds nothing personal.
	Ask func(context.Context) error
	// Every is how often it is asked; zero means as configured.
	Every time.Duration
}

// State is how a name is.
type State struct {
	Name    string `json:"name"`
	Serving bool   `json:"serving"`
	// Reason says why it is not serving.
	Reason string `json:"reason,omitempty"`
	// Since is when it became so.
	Since time.Time `json:"since"`
}

// Report is how everything is.
type Report struct {
	// Serving says whether the gateway accepts: the name "".
	Serving bool   `json:"serving"`
	Reason  string `json:"reason,omitempty"`
	// Dependencies and Services are sorted as they were named.
	Dependencies []State `json:"dependencies"`
	Services     []State `json:"services"`
}

// Monitor asks and tells. It is safe for concurrent use.
type Monitor struct {
	config       Config
	dependencies []Dependency
	log          *slog.Logger
	metrics      *Metrics
	grpc         *health.Server

	mu       sync.Mutex
	states   map[string]*State
	beats    map[string]time.Time // when a dependency was last asked or answered
	services []service
	drained  chan struct{} // closed once the gateway stops
}

// service is a name that stands on dependencies.
type service struct {
	State
	needs []string
}

// notAsked is the reason before the first answer.
const notAsked = "not asked yet"

// New makes a monitor; Run has it ask. accept names what accepting needs: the
// health of "".
func New(config Config, dependencies []Dependency, accept []string, metrics *Metrics, log *slog.Logger) *Monitor {
	m := &Monitor{
		config: config, dependencies: dependencies, log: log, metrics: metrics, grpc: health.NewServer(),
		states: map[string]*State{}, beats: map[string]time.Time{}, drained: make(chan struct{}),
	}
	now := time.Now()
	for _, one := range dependencies {
		m.states[one.Name] = &State{Name: one.Name, Reason: notAsked, Since: now}
		m.grpc.SetServingStatus(one.Name, healthpb.HealthCheckResponse_NOT_SERVING)
		metrics.serving(one.Name, false)
	}
	m.Serve("", accept...)
	return m
}

// Server is the gRPC health service.
func (m *Monitor) Server() healthpb.HealthServer { return server{m.grpc, m.drained} }

// Serve adds a service that stands on dependencies. Those the gateway does not have
// are not needed.
func (m *Monitor) Serve(name string, needs ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	needs = slices.DeleteFunc(slices.Clone(needs), func(need string) bool { return m.states[need] == nil })
	m.services = append(m.services, service{State: State{Name: name, Reason: notAsked, Since: time.Now()}, needs: needs})
	m.grpc.SetServingStatus(name, healthpb.HealthCheckResponse_NOT_SERVING)
	m.judge()
}

// Run asks until the context ends.
func (m *Monitor) Run(ctx context.Context) error {
	var asking sync.WaitGroup
	for _, one := range m.dependencies {
		asking.Go(func() { m.watch(ctx, one) })
	}
	asking.Wait()
	return nil
}

// watch asks one dependency over and over.
func (m *Monitor) watch(ctx context.Context, one Dependency) {
	every := one.Every
	if every == 0 {
		every = m.config.Interval
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		m.beat(one.Name)
		err := m.ask(ctx, one)
		if ctx.Err() != nil {
			return
		}
		m.answered(one.Name, err)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (m *Monitor) ask(ctx context.Context, one Dependency) (err error) {
	ctx, cancel := context.WithTimeout(ctx, m.config.Timeout)
	defer cancel()
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("asking %s failed: %v", one.Name, reason)
		}
	}()
	if err := one.Ask(ctx); err != nil {
		return err
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", m.config.Timeout)
	}
	return nil
}

func (m *Monitor) beat(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.beats[name] = time.Now()
}

// answered notes an answer and judges anew what stands on it.
func (m *Monitor) answered(name string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.beats[name] = time.Now()
	state := m.states[name]
	reason := ""
	if err != nil {
		reason = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	if state.Serving == (err == nil) {
		state.Reason = reason
		return
	}
	state.Serving, state.Reason, state.Since = err == nil, reason, time.Now()
	m.metrics.serving(name, state.Serving)
	m.tell(name, state.Serving)
	if state.Serving {
		m.log.Info("dependency is there", "dependency", name)
	} else {
		m.log.Warn("dependency is not there", "dependency", name, "reason", reason)
	}
	m.judge()
}

// judge derives the services' health; the lock is held.
func (m *Monitor) judge() {
	for i := range m.services {
		one := &m.services[i]
		serving, reason := true, ""
		if m.isDrained() {
			serving, reason = false, "the gateway is stopping"
		}
		for _, need := range one.needs {
			if state := m.states[need]; serving && !state.Serving {
				serving, reason = false, need+": "+state.Reason
			}
		}
		one.Reason = reason
		if one.Serving == serving {
			continue
		}
		one.Serving, one.Since = serving, time.Now()
		m.metrics.serving(metricName(one.Name), serving)
		m.tell(one.Name, serving)
		if one.Name == "" {
			m.log.Info("health changed", "serving", serving, "reason", reason)
		}
	}
}

// tell sets the gRPC health service; the lock is held. After a drain it stays.
func (m *Monitor) tell(name string, serving bool) {
	status := healthpb.HealthCheckResponse_NOT_SERVING
	if serving {
		status = healthpb.HealthCheckResponse_SERVING
	}
	m.grpc.SetServingStatus(name, status)
}

// Drain says NOT_SERVING of every service from now on: the gateway is stopping.
func (m *Monitor) Drain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isDrained() {
		return
	}
	close(m.drained)
	m.judge()
}

func (m *Monitor) isDrained() bool {
	select {
	case <-m.drained:
		return true
	default:
		return false
	}
}

// Report is how everything is now.
func (m *Monitor) Report() Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	var report Report
	for _, one := range m.dependencies {
		report.Dependencies = append(report.Dependencies, *m.states[one.Name])
	}
	for _, one := range m.services {
		if one.Name == "" {
			report.Serving, report.Reason = one.Serving, one.Reason
			continue
		}
		report.Services = append(report.Services, one.State)
	}
	return report
}

// Serving says whether the gateway accepts.
func (m *Monitor) Serving() bool { return m.Report().Serving }

// Alive answers an error when the asking itself hangs: a dependency that neither
// answers nor keeps to its bound means that this process is stuck.
func (m *Monitor) Alive() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.dependencies {
		bound := 3*m.config.Timeout + 2*max(one.Every, m.config.Interval) + time.Second
		if last, asked := m.beats[one.Name]; asked && time.Since(last) > bound {
			return fmt.Errorf("asking %s has hung for %s", one.Name, time.Since(last).Round(time.Second))
		}
	}
	return nil
}

// metricName is the service's name in metrics, where "" would be no label.
func metricName(service string) string {
	if service == "" {
		return "accept"
	}
	return service
}
