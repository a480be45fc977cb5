// Process is what RiVS starts anew each time: it does one thing and ends.
//
//	process parse                 read a CDR from standard input, write the event
//	process publish URL QUEUE     read a message from standard input, have the broker keep it
//	process watch URL QUEUE       read a CDR from standard input, have the broker keep its event
//	process score DSN             read an event from standard input, update its subject's score
//
// It is as small as such a program can be, and starts sooner than an interpreter would.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	_ "github.com/go-sql-driver/mysql"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/callseal/callseal/benchmarks/rivs/event"
	"github.com/callseal/callseal/benchmarks/rivs/queue"
)

func main() {
	if err := act(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "process:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("say parse, publish URL QUEUE, watch URL QUEUE or score DSN")

func act(arguments []string, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	input, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err != nil {
		return fmt.Errorf("read the input: %w", err)
	}
	input = bytes.TrimSpace(input)
	switch {
	case len(arguments) == 1 && arguments[0] == "parse":
		found, err := judge(input)
		if err != nil {
			return err
		}
		_, err = out.Write(found)
		return err //nolint:wrapcheck // the pipe's
	case len(arguments) == 3 && arguments[0] == "publish":
		return publish(ctx, arguments[1], arguments[2], input)
	case len(arguments) == 3 && arguments[0] == "watch":
		found, err := judge(input)
		if err != nil {
			return err
		}
		return publish(ctx, arguments[1], arguments[2], found)
	case len(arguments) == 2 && arguments[0] == "score":
		return score(ctx, arguments[1], input)
	}
	return errUsage
}

func judge(line []byte) ([]byte, error) {
	found, err := event.Judge(line)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what it was
	}
	return json.Marshal(found) //nolint:wrapcheck // of two fields
}

func publish(ctx context.Context, url, name string, body []byte) error {
	connection, err := amqp.Dial(url)
	if err != nil {
		return fmt.Errorf("reach RabbitMQ: %w", err)
	}
	defer func() { _ = connection.Close() }()
	opened, err := queue.Open(connection, name)
	if err != nil {
		return err //nolint:wrapcheck // says what it was
	}
	return opened.Publish(ctx, body) //nolint:wrapcheck // as above
}

func score(ctx context.Context, dsn string, text []byte) error {
	var what event.Event
	if err := json.Unmarshal(text, &what); err != nil {
		return fmt.Errorf("read the event: %w", err)
	}
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer func() { _ = db.Close() }()
	return event.Update(ctx, db, what) //nolint:wrapcheck // says what it was
}
