package adapter

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-sql-driver/mysql"

	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/journal"
)

const (
	dialTimeout = 5 * time.Second
	// silence is how long the database may take over one piece of an answer.
	silence = 30 * time.Second
)

// followTable follows the table of CDRs from where the journal left it.
func (a *Adapter) followTable() (func(context.Context) error, error) {
	config := a.config.CDR.Table
	table := &cdr.Table{Name: config.Name, Zone: a.zoneOf(sourceTable), Refused: refused}
	stored, err := a.journal.Checkpoint(sourceTable)
	if err != nil {
		return nil, err
	}
	if len(stored) > 0 {
		if err := json.Unmarshal(stored, &table.From); err != nil {
			return nil, fmt.Errorf("read the checkpoint of the table of CDRs: %w", err)
		}
	}
	if table.DB, err = config.open(); err != nil {
		return nil, err
	}
	a.standings.expect(sourceTable)
	return func(ctx context.Context) error {
		defer table.DB.Close() //nolint:errcheck // it was only read
		return table.Run(ctx, cdr.TableHandler{
			Row: func(row cdr.Row) error { return a.receive(ctx, &row, sourceTable, nil) },
			Bad: func(err error) {
				a.metrics.unfit.WithLabelValues(sourceTable).Inc()
				a.log.Error("a row of the table of CDRs cannot be taken", "error", err)
			},
			Swept: func(at cdr.TableCheckpoint) error {
				state, err := json.Marshal(at)
				if err != nil {
					return fmt.Errorf("encode the checkpoint of the table of CDRs: %w", err)
				}
				return a.journal.SetCheckpoint(&journal.Checkpoint{Source: sourceTable, State: state})
			},
			Connected: func(attempt int) {
				a.stands(sourceTable, nil)
				a.log.Info("table of CDRs connected", "attempt", attempt)
			},
			Lost: func(err error) {
				a.stands(sourceTable, err)
				a.log.Warn("table of CDRs lost: it is looked through when it is back", "error", err)
			},
		})
	}, nil
}

// refusals are the server's error numbers for a user, a password, a database or a table
// that will not do: trying again is no use.
var refusals = []uint16{1044, 1045, 1049, 1142, 1143, 1146, 1698}

// refused says whether an error is one of them.
func refused(err error) bool {
	var said *mysql.MySQLError
	return errors.As(err, &said) && slices.Contains(refusals, said.Number)
}

// open prepares connections; none is made yet.
func (t *TableConfig) open() (*sql.DB, error) {
	if _, err := secret(t.PasswordFile, t.Password); err != nil {
		return nil, err
	}
	config := mysql.NewConfig()
	config.User, config.DBName = t.User, t.Database
	// Each connection reads the password anew: it may have been changed since.
	err := config.Apply(mysql.BeforeConnect(func(_ context.Context, to *mysql.Config) (err error) {
		to.Passwd, err = secret(t.PasswordFile, t.Password)
		return err
	}))
	if err != nil {
		return nil, fmt.Errorf("cdr.table: %w", err)
	}
	config.Net, config.Addr = "tcp", t.Address
	if filepath.IsAbs(t.Address) {
		config.Net = "unix"
	}
	config.Timeout, config.ReadTimeout, config.WriteTimeout = dialTimeout, silence, silence
	// A question then takes one way there and back.
	config.InterpolateParams = true
	config.Logger = &mysql.NopLogger{}
	if t.CAFile != "" {
		if config.TLS, err = t.transport(); err != nil {
			return nil, err
		}
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("cdr.table: %w", err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	return db, nil
}

func (t *TableConfig) transport() (*tls.Config, error) {
	authorities, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the database's CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("%s holds no PEM certificate", t.CAFile)
	}
	host, _, err := net.SplitHostPort(t.Address)
	if err != nil {
		return nil, fmt.Errorf("cdr.table.ca_file is for a server that is reached by host:port, not %s", t.Address)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, ServerName: host}, nil
}
