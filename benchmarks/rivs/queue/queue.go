// Package queue is a durable queue of RabbitMQ whose messages are confirmed.
package queue

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Queue is a durable queue seen through one channel, on which every message is
// persistent and confirmed by the broker before Publish ends. It is not for several
// goroutines.
type Queue struct {
	name    string
	channel *amqp.Channel
}

// ErrNotKept is a message that the broker did not take.
var ErrNotKept = errors.New("the broker did not keep the message")

// Open opens a queue, which is made where it is new. Closing the connection closes it.
func Open(connection *amqp.Connection, name string) (*Queue, error) {
	channel, err := connection.Channel()
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	if err := channel.Confirm(false); err != nil {
		return nil, fmt.Errorf("have messages confirmed: %w", err)
	}
	if _, err := channel.QueueDeclare(name, true, false, false, false, nil); err != nil {
		return nil, fmt.Errorf("make the queue %s: %w", name, err)
	}
	return &Queue{name: name, channel: channel}, nil
}

// Send sends a message and answers what waits for its confirmation.
func (q *Queue) Send(ctx context.Context, body []byte) (wait func() error, err error) {
	message := amqp.Publishing{DeliveryMode: amqp.Persistent, ContentType: "application/json", Body: body}
	confirmation, err := q.channel.PublishWithDeferredConfirmWithContext(ctx, "", q.name, true, false, message)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	return func() error {
		kept, err := confirmation.WaitContext(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("await the confirmation: %w", err)
		case !kept:
			return ErrNotKept
		}
		return nil
	}, nil
}

// Publish sends a message and waits until the broker has it on disk.
func (q *Queue) Publish(ctx context.Context, body []byte) error {
	wait, err := q.Send(ctx, body)
	if err != nil {
		return err
	}
	return wait()
}

// Consume answers the queue's messages, each of which must be acknowledged. No more
// than so many are delivered unacknowledged.
func (q *Queue) Consume(ahead int) (<-chan amqp.Delivery, error) {
	if err := q.channel.Qos(ahead, 0, false); err != nil {
		return nil, fmt.Errorf("bound what is delivered: %w", err)
	}
	deliveries, err := q.channel.Consume(q.name, "", false, false, false, false, nil)
	if err != nil {
		return nil, fmt.Errorf("consume: %w", err)
	}
	return deliveries, nil
}
