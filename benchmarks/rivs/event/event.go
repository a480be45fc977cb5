// Package event is what RiVS learns from a call and what becomes of it: the caller gets
// a positive event for an external call that lasted over 30 seconds and a negative one
// for one too short to be a call (P2 §3), and its score is kept in SQL.
package event

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/cdr"
)

// long is from when on a call speaks for its caller, short until when against it.
const long, short = 30, 5

// Event is one observation of a caller.
type Event struct {
	// Subject is the caller, E.164.
	Subject string `json:"subject"`
	// Positive is whether it speaks for the caller.
	Positive bool `json:"positive"`
}

// Call is a call as Asterisk's cdr_csv writes it, without the newline.
type Call struct {
	Line []byte
	// ID is its uniqueid.
	ID string
	// Event is what its row says of the caller.
	Event Event
}

// Calls makes n external calls of many callers, each long or short, the same for the
// same seed.
func Calls(seed uint64, n int) ([]Call, error) {
	random := rand.New(rand.NewPCG(seed, 1605))
	start := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	calls := make([]Call, n)
	for i := range calls {
		start = start.Add(time.Duration(random.Int64N(int64(20 * time.Second)))).Truncate(time.Second)
		caller := fmt.Sprintf("+35191%07d", random.IntN(5_000_000))
		positive := random.IntN(4) > 0
		seconds := 31 + random.IntN(600)
		if !positive {
			seconds = random.IntN(short)
		}
		answer := start.Add(2 * time.Second)
		end := answer.Add(time.Duration(seconds) * time.Second)
		id := fmt.Sprintf("%d.%d", start.Unix(), 2*i)
		var line bytes.Buffer
		writer := csv.NewWriter(&line)
		err := writer.Write([]string{
			"", caller, "221", "from-trunk", fmt.Sprintf("%q <%s>", "Ana Prado", caller), fmt.Sprintf("PJSIP/trunk-%08x", 2*i), fmt.Sprintf("PJSIP/221-%08x", 2*i+1),
			"Dial", "PJSIP/221,30", start.Format(time.DateTime), answer.Format(time.DateTime), end.Format(time.DateTime),
			fmt.Sprint(seconds + 2), fmt.Sprint(seconds), "ANSWERED", "DOCUMENTATION", id, "", "", id, fmt.Sprint(2 * i),
		})
		writer.Flush()
		if err = errors.Join(err, writer.Error()); err != nil {
			return nil, fmt.Errorf("write a CDR: %w", err)
		}
		calls[i] = Call{Line: bytes.TrimRight(line.Bytes(), "\n"), ID: id, Event: Event{Subject: caller, Positive: positive}}
	}
	return calls, nil
}

// ErrNothing is a call that says nothing of its caller.
var ErrNothing = errors.New("the call is neither long nor short: it says nothing of its caller")

// Judge reads a row and says what it means, as RiVS's CDR parser does.
func Judge(line []byte) (Event, error) {
	row, err := cdr.ParseCSV(line, time.UTC)
	if err != nil {
		return Event{}, fmt.Errorf("read a CDR: %w", err)
	}
	return judged(row.Src, row.BillSec)
}

func judged(subject string, seconds int64) (Event, error) {
	switch {
	case seconds > long:
		return Event{Subject: subject, Positive: true}, nil
	case seconds < short:
		return Event{Subject: subject}, nil
	}
	return Event{}, ErrNothing
}

// Row reads a call's row in the table of CDRs by its uniqueid and says what it means.
func Row(ctx context.Context, db *sql.DB, id string) (Event, error) {
	var subject string
	var seconds int64
	if err := db.QueryRowContext(ctx, "SELECT src, billsec FROM cdr WHERE uniqueid = ?", id).Scan(&subject, &seconds); err != nil {
		return Event{}, fmt.Errorf("read the row of call %s: %w", id, err)
	}
	return judged(subject, seconds)
}

// Table makes the table of scores.
const Table = `CREATE TABLE score (subject VARCHAR(80) PRIMARY KEY, positive INT NOT NULL, negative INT NOT NULL, score DOUBLE NOT NULL)`

// Update adds an event to its subject's score, on P2's scale: 5 at first, 6 after one
// positive event, 4 after one negative. Who updates the same subject at the same time
// waits.
func Update(ctx context.Context, db *sql.DB, what Event) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin the update of a score: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing after the commit
	if _, err := tx.ExecContext(ctx, "INSERT IGNORE INTO score VALUES (?, 0, 0, 5)", what.Subject); err != nil {
		return fmt.Errorf("find the subject: %w", err)
	}
	var positive, negative int
	if err := tx.QueryRowContext(ctx, "SELECT positive, negative FROM score WHERE subject = ? FOR UPDATE", what.Subject).Scan(&positive, &negative); err != nil {
		return fmt.Errorf("read the score: %w", err)
	}
	if what.Positive {
		positive++
	} else {
		negative++
	}
	score := 10 * float64(2+positive) / float64(4+positive+negative)
	if _, err := tx.ExecContext(ctx, "UPDATE score SET positive = ?, negative = ?, score = ? WHERE subject = ?", positive, negative, score, what.Subject); err != nil {
		return fmt.Errorf("write the score: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit the score: %w", err)
	}
	return nil
}
