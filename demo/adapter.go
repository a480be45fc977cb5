package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/goccy/go-yaml"
)

const (
	// anchorTimeout bounds the wait for a call to be anchored.
	anchorTimeout = time.Minute
	// adapterGrace is how long the adapter may take to stop.
	adapterGrace = 10 * time.Second
)

// anchored is the adapter's log line of one call.
type anchored struct {
	Message     string    `json:"msg"`
	LinkedID    string    `json:"linkedid"`
	UniqueID    string    `json:"uniqueid"`
	Transaction string    `json:"transaction"`
	Block       uint64    `json:"block"`
	Endorsers   []string  `json:"endorsers"`
	Recordings  []string  `json:"recordings"`
	CommittedAt time.Time `json:"committed_at"`
}

// adapterProcess is a running callseal-asterisk-adapter.
type adapterProcess struct {
	command *exec.Cmd
	lines   chan anchored
	ready   chan struct{}
	ended   chan struct{}
	log     string
	stopped bool
}

// startAdapter configures and starts the adapter of the owner's PBX. What Asterisk
// it follows is given; who it is, the network's state folder knows.
func (s *show) startAdapter(ctx context.Context, sources map[string]any) (*adapterProcess, error) {
	folder := filepath.Join(s.folder, "adapter")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the adapter's folder: %w", err)
	}
	org := s.network.Layout().Operator(s.owner.Name)
	identity := org.Identity(s.owner.PBXs[0])
	config := map[string]any{
		"msp": s.owner.MSP, "pbx": s.owner.PBXs[0], "state_dir": filepath.Join(folder, "state"), "log_level": "debug",
		"gateway":  map[string]any{"address": s.owner.Gateway.Address, "ca_file": org.TLSCAFile()},
		"identity": map[string]any{"cert_file": identity.CertFile(), "key_file": identity.KeyFile()},
	}
	if os.Geteuid() == 0 {
		config["user"] = "root" // what it reads is root's
	}
	for key, value := range sources {
		config[key] = value
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("write the adapter's configuration: %w", err)
	}
	file := filepath.Join(folder, "adapter.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, fmt.Errorf("write the adapter's configuration: %w", err)
	}
	program, err := beside("callseal-asterisk-adapter")
	if err != nil {
		return nil, err
	}
	process := &adapterProcess{
		lines: make(chan anchored, 16), ready: make(chan struct{}), ended: make(chan struct{}),
		log: filepath.Join(folder, "adapter.log"),
	}
	process.command = exec.Command(program, "--config", file) //nolint:noctx // our own program, stopped below
	output, err := process.command.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start the adapter: %w", err)
	}
	if err := process.command.Start(); err != nil {
		return nil, fmt.Errorf("start the adapter: %w", err)
	}
	s.stops = append(s.stops, process.stop)
	go process.read(output)
	select {
	case <-process.ready:
		return process, nil
	case <-process.ended:
		return nil, process.failed()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(adapterGrace):
		return nil, fmt.Errorf("the adapter is not ready after %s; its last words: %s", adapterGrace, process.lastWords())
	}
}

// read keeps the log and picks out the lines of anchored calls.
func (p *adapterProcess) read(output io.Reader) {
	defer close(p.ended)
	log, err := os.Create(p.log)
	if err != nil {
		log = nil
	}
	scanner := bufio.NewScanner(output)
	for scanner.Scan() {
		if log != nil {
			_, _ = log.Write(append(scanner.Bytes(), '\n'))
		}
		var line anchored
		if json.Unmarshal(scanner.Bytes(), &line) != nil {
			continue
		}
		switch {
		case line.Message == "adapter ready":
			close(p.ready)
		case line.Transaction != "" && len(line.Recordings) > 0:
			p.lines <- line
		}
	}
	if log != nil {
		_ = log.Close()
	}
}

// next waits for the next call that was anchored with its recording.
func (p *adapterProcess) next(ctx context.Context) (anchored, error) {
	select {
	case line := <-p.lines:
		return line, nil
	case <-p.ended:
		return anchored{}, p.failed()
	case <-ctx.Done():
		return anchored{}, ctx.Err()
	case <-time.After(anchorTimeout):
		return anchored{}, fmt.Errorf("no call was anchored within %s; the adapter's last words: %s", anchorTimeout, p.lastWords())
	}
}

func (p *adapterProcess) failed() error {
	return fmt.Errorf("the adapter stopped: %s", p.lastWords())
}

// lastWords is the end of the adapter's log.
func (p *adapterProcess) lastWords() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-800):])
}

// stop ends the adapter; doing it twice is fine.
func (p *adapterProcess) stop(ctx context.Context) error {
	if p.stopped {
		return nil
	}
	p.stopped = true
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(adapterGrace):
		_ = p.command.Process.Kill()
		<-p.ended
	case <-ctx.Done():
		_ = p.command.Process.Kill()
		<-p.ended
	}
	var exit *exec.ExitError
	if err := p.command.Wait(); err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("stop the adapter: %w", err)
	}
	return nil
}

// beside finds a program of ours next to this one.
func beside(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find our programs: %w", err)
	}
	program := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(program); err != nil {
		return "", fmt.Errorf("%s is not beside %s: build both with `make build`", name, self)
	}
	return program, nil
}
