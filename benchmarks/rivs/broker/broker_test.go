package broker

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/rivs/queue"
)

func TestARealBrokerKeepsAndDelivers(t *testing.T) {
	b := Start(t)
	publisher, err := queue.Open(b.Dial(), "events")
	require.NoError(t, err)
	consumer, err := queue.Open(b.Dial(), "events")
	require.NoError(t, err)
	const messages = 20
	for n := range messages {
		require.NoError(t, publisher.Publish(t.Context(), []byte(strconv.Itoa(n))))
	}
	deliveries, err := consumer.Consume(1)
	require.NoError(t, err)
	for n := range messages {
		select {
		case delivery := <-deliveries:
			require.Equal(t, strconv.Itoa(n), string(delivery.Body))
			require.NoError(t, delivery.Ack(false))
		case <-time.After(patience):
			t.Fatal("a message did not come")
		}
	}
	// Nothing is left, neither the broker nor epmd, nor anything on their ports.
	server, mapper, at := b.server.PID(), b.mapper.PID(), b.ports
	b.Stop()
	for _, pid := range []int{server, mapper} {
		require.NoDirExists(t, filepath.Join("/proc", strconv.Itoa(pid)))
	}
	for _, port := range []int{at.clients, at.nodes, at.mapper} {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err)
		require.NoError(t, listener.Close())
	}
}

func TestWithoutRabbitMQ(t *testing.T) {
	before := programs
	t.Cleanup(func() { programs = before })
	programs = []string{filepath.Join(t.TempDir(), "rabbitmq-server")}
	_, err := find()
	require.ErrorContains(t, err, "install Debian's package rabbitmq-server")
	programs = []string{os.Args[0]}
	t.Setenv("PATH", "")
	_, err = find()
	require.ErrorContains(t, err, "install Debian's package erlang-base")
}
