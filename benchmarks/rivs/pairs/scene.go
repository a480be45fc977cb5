package pairs

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/go-sql-driver/mysql"
	"google.golang.org/grpc"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/asterisk-adapter/cdr/mariadbtest"
	"github.com/callseal/callseal/benchmarks/rivs/broker"
	"github.com/callseal/callseal/benchmarks/rivs/event"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/soak"
)

// scene is both systems, side by side.
type scene struct {
	tb    testing.TB
	calls []event.Call
	plan  Plan

	broker  *broker.Broker
	db      *sql.DB
	dsn     string
	process string

	lab     *soak.Lab
	gateway *grpc.ClientConn
}

// connections is how many update scores at the same time, at most.
const connections = 16

func newScene(tb testing.TB, plan Plan) *scene {
	tb.Helper()
	// All that is missing is said at once, before anything is started.
	if err := errors.Join(broker.Installed(), mariadbtest.Installed()); err != nil {
		tb.Fatal(err)
	}
	calls, err := event.Calls(plan.Seed, rows)
	if err != nil {
		tb.Fatal(err)
	}
	s := &scene{tb: tb, calls: calls, plan: plan, process: build(tb), broker: broker.Start(tb)}
	s.database()
	s.lab = soak.NewLab(tb)
	if s.gateway, err = connect.Dial(s.lab.Access("gateway")); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.gateway.Close() })
	return s
}

// build compiles the program that is started for each message.
func build(tb testing.TB) string {
	tb.Helper()
	program := filepath.Join(tb.TempDir(), "process")
	output, err := exec.CommandContext(tb.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "github.com/callseal/callseal/benchmarks/rivs/process").CombinedOutput()
	if err != nil {
		tb.Fatalf("build the program that is started for each message: %v\n%s", err, output)
	}
	return program
}

// database starts MariaDB with the table of CDRs filled and an empty one of scores. A
// commit is on disk when it returns, which is its default.
func (s *scene) database() {
	s.tb.Helper()
	server := mariadbtest.Start(s.tb)
	name, root := server.Database(event.Table)
	for _, statement := range []string{"SET GLOBAL innodb_flush_log_at_trx_commit = 1", "GRANT ALL ON " + name + ".* TO asterisk@'127.0.0.1'"} {
		if _, err := root.ExecContext(s.tb.Context(), statement); err != nil {
			s.tb.Fatalf("%s: %v", statement, err)
		}
	}
	for i := range s.calls {
		one := &s.calls[i]
		seconds := 31
		if !one.Event.Positive {
			seconds = 1
		}
		if _, err := root.ExecContext(s.tb.Context(), "INSERT INTO cdr (uniqueid, linkedid, src, billsec) VALUES (?, ?, ?, ?)", one.ID, one.ID, one.Event.Subject, seconds); err != nil {
			s.tb.Fatalf("fill the table of CDRs: %v", err)
		}
	}
	s.db = server.Open("asterisk", "", name)
	s.tb.Cleanup(func() { _ = s.db.Close() })
	s.db.SetMaxOpenConns(connections)
	s.db.SetMaxIdleConns(connections)
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.DBName = "asterisk", "tcp", server.Address(), name
	config.InterpolateParams = true
	s.dsn = config.FormatDSN()
}

// start runs the program for one message to its end.
func (s *scene) start(ctx context.Context, input []byte, arguments ...string) error {
	command := exec.CommandContext(ctx, s.process, arguments...)
	command.Stdin = bytes.NewReader(input)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("a process for one message: %w: %s", err, bytes.TrimSpace(output))
	}
	return nil
}

// report has the gateway count events, and waits until all stand in transactions that
// the peers found valid.
func (s *scene) report(ctx context.Context, events []event.Event) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request := &pb.ReportRequest{}
	for _, what := range events {
		evidence := &pb.Evidence{Subject: "tel:" + what.Subject, Kind: ledger.EvidenceLongCall, Count: 1}
		if !what.Positive {
			evidence.Kind, evidence.Attempts = ledger.EvidenceShortCall, 1
		}
		request.Evidence = append(request.Evidence, evidence)
	}
	if _, err := pb.NewReputationServiceClient(s.gateway).Report(ctx, request); err != nil {
		return fmt.Errorf("report evidence: %w", err)
	}
	return nil
}
