package pairs

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/shirou/gopsutil/v4/process"
	"golang.org/x/sync/errgroup"

	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/benchmarks/rivs/event"
	"github.com/callseal/callseal/benchmarks/rivs/queue"
	"github.com/callseal/callseal/chaincode/reputation"
	"github.com/callseal/callseal/soak"
)

const (
	// rows is how many CDRs there are: as many as P2 parsed.
	rows = 1605
	// patience bounds one message, update or report.
	patience = time.Minute
	// warmUp is left out at the beginning of saturation.
	warmUp = 2 * time.Second
	// ahead is how many messages are on their way at saturation.
	ahead = 256
	// reporters is how many report evidence to the gateway at the same time, together
	// items of it each time; a gateway takes 64 calls of one caller at a time.
	reporters, together = 32, 100
	// plenty is more than a gateway can do, in records a second.
	plenty = 20_000
	// halfLife ages evidence, in ms; see the reputation policy.
	halfLife = 30 * 24 * 3600 * 1000
)

// Plan says how much is measured.
type Plan struct {
	// Repetitions is how often each measurement is made.
	Repetitions int
	// Singles is how many are measured one at a time of what takes milliseconds.
	Singles int
	// Saturated is how long each saturation is counted.
	Saturated time.Duration
	// Seed makes the events.
	Seed uint64
}

// Measure starts both systems and measures the pairs into a group.
func Measure(tb testing.TB, plan Plan, group *result.Group) {
	tb.Helper()
	s := newScene(tb, plan)
	group.Notes = append(group.Notes,
		"P2 ran Python programs; here each is a small Go program, which starts sooner than an interpreter: the figures of processes favour P2's way.",
		"Messages are persistent, in a durable queue, each confirmed by the broker; MariaDB syncs at each commit. P2 does not say how its own were set.",
		"A score in SQL is one party's row, which it can change at will; evidence through the gateway is endorsed by two operators and ordered by four. The two are not the same service, and the second takes longer for a single event.")
	for _, one := range []struct {
		m      result.Measurement
		sample func() (result.Distribution, error)
	}{
		{result.Measurement{Name: "row/process", Title: "a CDR row by a process started for it"}, s.rowByProcess},
		{result.Measurement{Name: "row/sql", Title: "a CDR row read from the table by its uniqueid", Notes: []string{"P2: 0.1573 ms a row."}}, s.rowBySQL},
		{result.Measurement{Name: "message/process", Title: "a message published by a process started for it, confirmed"}, s.messageByProcess},
		{result.Measurement{Name: "message/rabbitmq", Title: "a message through RabbitMQ on open connections, sent to consumed", Notes: []string{"P2: 3.083 ms a message."}}, s.message},
		{result.Measurement{Name: "message/gateway", Title: "a record to the gateway, sent to accepted: on disk in its journal"}, s.accepted},
		{result.Measurement{Name: "score/process", Title: "a score updated in MariaDB by a process started for it"}, s.scoreByProcess},
		{result.Measurement{Name: "score/sql", Title: "a score updated in MariaDB on an open connection", Notes: []string{"P2: 2.1 ms, σ 0.57."}}, s.scoreBySQL},
		{result.Measurement{Name: "score/gateway", Title: "evidence through the gateway, reported to on the ledger"}, s.scoreByGateway},
		{result.Measurement{Name: "event/rivs", Title: "a row to its score in RiVS's way: a process, RabbitMQ, a process, MariaDB"}, s.whole},
		{result.Measurement{Name: "event/callseal", Title: "a row to its score in Callseal's way: the parser, the gateway, the ledger"}, s.wholeByGateway},
	} {
		one.m.Unit = "ms"
		for range plan.Repetitions {
			sampled, err := one.sample()
			if err != nil {
				tb.Fatalf("%s: %v", one.m.Name, err)
			}
			one.m.Latencies = append(one.m.Latencies, sampled)
		}
		group.Measurements = append(group.Measurements, one.m)
	}
	for _, one := range []struct {
		m      result.Measurement
		sample func() (float64, error)
	}{
		{result.Measurement{Name: "row/parser", Title: "a CDR row by the adapter's parser", Unit: "µs"}, s.rowByParser},
		{result.Measurement{Name: "score/memory", Title: "evidence added to totals in memory, with their score", Unit: "µs"}, s.scoreInMemory},
		{result.Measurement{Name: "message/rabbitmq-peak", Title: "messages a second through RabbitMQ", Unit: "/s", Parameters: map[string]float64{"ahead": ahead}, Notes: []string{"P2: above 800 a second."}}, s.messages},
		{result.Measurement{Name: "score/sql-peak", Title: "score updates a second in MariaDB", Unit: "/s", Parameters: map[string]float64{"clients": connections}}, func() (float64, error) {
			return s.busy(connections, 1, func(ctx context.Context, what []event.Event) error { return event.Update(ctx, s.db, what[0]) })
		}},
		{result.Measurement{Name: "score/gateway-peak", Title: "evidence a second through the gateway, on the ledger", Unit: "/s", Parameters: map[string]float64{"clients": reporters, "together": together}, Notes: []string{"Each report holds as many items as parameter together says."}}, func() (float64, error) {
			return s.busy(reporters, together, s.report)
		}},
		{result.Measurement{Name: "memory/rabbitmq", Title: "resident memory of RabbitMQ after all that", Unit: "MiB", Notes: []string{"P2: 175 to 200 MB."}}, func() (float64, error) { return resident(int32(s.broker.PID())) }}, //nolint:gosec // Linux numbers processes below 2^22
		{result.Measurement{Name: "memory/gateway", Title: "resident memory of the gateway after all that", Unit: "MiB"}, func() (float64, error) {
			pid, err := s.lab.PID(soak.Gateway)
			if err != nil {
				return 0, err
			}
			return resident(pid)
		}},
	} {
		for range plan.Repetitions {
			sampled, err := one.sample()
			if err != nil {
				tb.Fatalf("%s: %v", one.m.Name, err)
			}
			one.m.Values = append(one.m.Values, sampled)
		}
		group.Measurements = append(group.Measurements, one.m)
	}
	// Last: what is on its way to the ledger then would slow what follows.
	group.Measurements = append(group.Measurements, result.Measurement{
		Name: "message/gateway-peak", Title: "records a second accepted by the gateway", Unit: "/s", Values: s.acceptances(),
		Notes: []string{"The repetitions are stretches of one run, while the gateway anchors what it accepted."},
	})
}

// each times so many acts, one after the other, on as many calls; the first is not
// counted.
func (s *scene) each(n int, act func(context.Context, *event.Call) error) (result.Distribution, error) {
	recorder := result.NewRecorder()
	for i := range n + 1 {
		ctx, cancel := context.WithTimeout(s.tb.Context(), patience)
		began := time.Now()
		err := act(ctx, &s.calls[i%len(s.calls)])
		took := time.Since(began)
		cancel()
		if err != nil {
			return result.Distribution{}, err
		}
		if i > 0 {
			recorder.Record(took)
		}
	}
	return recorder.Distribution(), nil
}

func (s *scene) rowByProcess() (result.Distribution, error) {
	return s.each(s.plan.Singles, func(ctx context.Context, call *event.Call) error { return s.start(ctx, call.Line, "parse") })
}

var errWrong = errors.New("what was found is not what was sent")

func (s *scene) rowBySQL() (result.Distribution, error) {
	return s.each(rows, func(ctx context.Context, call *event.Call) error {
		found, err := event.Row(ctx, s.db, call.ID)
		if err == nil && found != call.Event {
			err = errWrong
		}
		return err
	})
}

func (s *scene) rowByParser() (float64, error) {
	const passes = 10
	began := time.Now()
	for range passes {
		for i := range s.calls {
			found, err := event.Judge(s.calls[i].Line)
			if err != nil {
				return 0, err
			}
			if found != s.calls[i].Event {
				return 0, errWrong
			}
		}
	}
	return float64(time.Since(began).Nanoseconds()) / 1000 / passes / rows, nil
}

func (s *scene) messageByProcess() (result.Distribution, error) {
	distribution, err := s.each(s.plan.Singles, func(ctx context.Context, call *event.Call) error {
		text, err := json.Marshal(call.Event)
		if err != nil {
			return err
		}
		return s.start(ctx, text, "publish", s.broker.URL(), "by-process")
	})
	return distribution, err
}

// message has a consumer wait for what a publisher sends, both connected before.
func (s *scene) message() (result.Distribution, error) {
	publisher, err := queue.Open(s.broker.Dial(), "single")
	if err != nil {
		return result.Distribution{}, err
	}
	connection := s.broker.Dial()
	consumer, err := queue.Open(connection, "single")
	if err != nil {
		return result.Distribution{}, err
	}
	defer func() { _ = connection.Close() }() // the next repetition's consumer gets all
	deliveries, err := consumer.Consume(1)
	if err != nil {
		return result.Distribution{}, err
	}
	return s.each(10*s.plan.Singles, func(ctx context.Context, call *event.Call) error {
		text, err := json.Marshal(call.Event)
		if err != nil {
			return err
		}
		wait, err := publisher.Send(ctx, text)
		if err != nil {
			return err
		}
		select {
		case delivery := <-deliveries:
			if string(delivery.Body) != string(text) {
				return errWrong
			}
			if err := delivery.Ack(false); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		return wait()
	})
}

// messages counts what is consumed, while so many messages are always on their way.
func (s *scene) messages() (float64, error) {
	publishing, consuming := s.broker.Dial(), s.broker.Dial()
	defer func() { _ = publishing.Close(); _ = consuming.Close() }()
	publisher, err := queue.Open(publishing, "peak")
	if err != nil {
		return 0, err
	}
	consumer, err := queue.Open(consuming, "peak")
	if err != nil {
		return 0, err
	}
	deliveries, err := consumer.Consume(ahead)
	if err != nil {
		return 0, err
	}
	group, ctx := errgroup.WithContext(s.tb.Context())
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var consumed atomic.Int64
	waits := make(chan func() error, ahead)
	ending := func(err error) error {
		if ctx.Err() == nil {
			return err
		}
		return nil
	}
	group.Go(func() error {
		for n := 0; ctx.Err() == nil; n++ {
			text, err := json.Marshal(s.calls[n%len(s.calls)].Event)
			if err != nil {
				return err
			}
			wait, err := publisher.Send(ctx, text)
			if err != nil {
				return ending(err)
			}
			select {
			case waits <- wait:
			case <-ctx.Done():
			}
		}
		return nil
	})
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case wait := <-waits:
				if err := wait(); err != nil {
					return ending(err)
				}
			}
		}
	})
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case delivery := <-deliveries:
				if err := delivery.Ack(false); err != nil {
					return ending(err)
				}
				consumed.Add(1)
			}
		}
	})
	pause(ctx, warmUp)
	rate, err := s.counted(ctx, consumed.Load)
	stop()
	return rate, errors.Join(group.Wait(), err)
}

var errNothing = errors.New("nothing came to its end for minutes: the machine is too busy")

// counted answers by how much a count grows a second. Where little comes to its end it
// is counted for longer than planned, until something has.
func (s *scene) counted(ctx context.Context, count func() int64) (float64, error) {
	before, from := count(), time.Now()
	for ctx.Err() == nil {
		pause(ctx, s.plan.Saturated)
		if grown := count() - before; grown > 0 {
			return float64(grown) / time.Since(from).Seconds(), nil
		}
		if time.Since(from) > patience {
			return 0, errNothing
		}
	}
	return 0, nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (s *scene) scoreByProcess() (result.Distribution, error) {
	return s.each(s.plan.Singles, func(ctx context.Context, call *event.Call) error {
		text, err := json.Marshal(call.Event)
		if err != nil {
			return err
		}
		return s.start(ctx, text, "score", s.dsn)
	})
}

func (s *scene) scoreBySQL() (result.Distribution, error) {
	return s.each(10*s.plan.Singles, func(ctx context.Context, call *event.Call) error { return event.Update(ctx, s.db, call.Event) })
}

func (s *scene) scoreByGateway() (result.Distribution, error) {
	return s.each(s.plan.Singles, func(ctx context.Context, call *event.Call) error { return s.report(ctx, []event.Event{call.Event}) })
}

func (s *scene) scoreInMemory() (float64, error) {
	const passes = 100
	totals := map[string]reputation.Totals{}
	now := time.Now().UnixMilli()
	began := time.Now()
	for range passes {
		for i := range s.calls {
			what := s.calls[i].Event
			evidence := reputation.Evidence{Alpha: reputation.One}
			if !what.Positive {
				evidence = reputation.Evidence{Beta: reputation.One, Failures: 1, Attempts: 1}
			}
			grown := totals[what.Subject].Plus(evidence, now, halfLife)
			if score := grown.Score(); score <= 0 || score >= 10_000 {
				return 0, fmt.Errorf("%w: a score of %d", errWrong, score)
			}
			totals[what.Subject] = grown
		}
	}
	took := float64(time.Since(began).Nanoseconds()) / 1000 / passes / rows
	runtime.KeepAlive(totals)
	return took, nil
}

// busy counts the events of what so many do one after the other, each with the next
// few events.
func (s *scene) busy(workers, events int, act func(context.Context, []event.Event) error) (float64, error) {
	group, ctx := errgroup.WithContext(s.tb.Context())
	working, stop := context.WithCancel(ctx)
	defer stop()
	var next, done atomic.Int64
	for range workers {
		group.Go(func() error {
			batch := make([]event.Event, events)
			for working.Err() == nil {
				for i := range batch {
					batch[i] = s.calls[int(next.Add(1))%len(s.calls)].Event
				}
				if err := act(ctx, batch); err != nil {
					return err
				}
				done.Add(int64(events))
			}
			return nil
		})
	}
	pause(ctx, warmUp)
	rate, err := s.counted(ctx, done.Load)
	stop()
	return rate, errors.Join(group.Wait(), err)
}

// whole is a call's row on its way to a score: a process reads it and publishes its
// event, and for what the broker delivers another process updates the score.
func (s *scene) whole() (result.Distribution, error) {
	connection := s.broker.Dial()
	defer func() { _ = connection.Close() }()
	consumer, err := queue.Open(connection, "whole")
	if err != nil {
		return result.Distribution{}, err
	}
	deliveries, err := consumer.Consume(1)
	if err != nil {
		return result.Distribution{}, err
	}
	return s.each(s.plan.Singles, func(ctx context.Context, call *event.Call) error {
		published := make(chan error, 1)
		go func() { published <- s.start(ctx, call.Line, "watch", s.broker.URL(), "whole") }()
		select {
		case delivery := <-deliveries:
			if err := s.start(ctx, delivery.Body, "score", s.dsn); err != nil {
				return err
			}
			if err := delivery.Ack(false); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		return <-published
	})
}

func (s *scene) wholeByGateway() (result.Distribution, error) {
	return s.each(s.plan.Singles, func(ctx context.Context, call *event.Call) error {
		found, err := event.Judge(call.Line)
		if err != nil {
			return err
		}
		return s.report(ctx, []event.Event{found})
	})
}

// accepted sends one record after the other, each in a segment of its own.
func (s *scene) accepted() (result.Distribution, error) {
	fleet := s.lab.Fleet(1, soak.Manner{})
	defer fleet.Stop()
	from := time.Now()
	for n := range s.plan.Singles + 1 {
		if n == 1 {
			from = time.Now() // the first opens the PBX's books
		}
		fleet.Clients[0].Offer(time.Now())
		ctx, cancel := context.WithTimeout(s.tb.Context(), patience)
		err := fleet.Drain(ctx)
		cancel()
		if err != nil {
			return result.Distribution{}, err
		}
	}
	recorder := result.NewRecorder()
	fleet.Each(func(story *soak.Story) {
		for _, record := range story.Records {
			if !record.Born.Before(from) {
				recorder.Record(story.Accepted.Sub(record.Born))
			}
		}
	})
	if recorder.Count() != int64(s.plan.Singles) {
		return result.Distribution{}, fmt.Errorf("%w: %d records were accepted", errWrong, recorder.Count())
	}
	return recorder.Distribution(), nil
}

// acceptances offers the gateway more than it can do and counts what it accepts.
func (s *scene) acceptances() []float64 {
	s.tb.Helper()
	fleet := s.lab.Fleet(16, soak.Manner{Kind: soak.Calls, Window: 4})
	end := fleet.Begin(plenty)
	defer func() { end(); fleet.Stop() }()
	ctx := s.tb.Context()
	pause(ctx, warmUp)
	var rates []float64
	for range s.plan.Repetitions {
		rate, err := s.counted(ctx, func() int64 { return int64(fleet.Accepted()) })
		if err != nil {
			s.tb.Fatalf("records accepted by the gateway: %v", err)
		}
		rates = append(rates, rate)
	}
	return rates
}

// resident is a process's memory in MiB.
func resident(pid int32) (float64, error) {
	running, err := process.NewProcess(pid)
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	memory, err := running.MemoryInfo()
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	return float64(memory.RSS) / (1 << 20), nil
}
