package limit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/gateway/fault"
)

func bounds(bound Bound) Bounds { return Bounds{Write: bound, Read: bound, List: bound, Stream: bound} }

func config(client, total Bound) Config {
	c := DefaultConfig()
	c.Client, c.Total = bounds(client), bounds(total)
	return c
}

// refused checks that the refusal is typed and says when to come again.
func refused(t *testing.T, err error, says string) time.Duration {
	t.Helper()
	require.Error(t, err)
	what := fault.Of(err)
	require.Equal(t, fault.Busy, what.Kind)
	require.ErrorContains(t, err, says)
	require.Positive(t, what.RetryAfter)
	require.Zero(t, what.RetryAfter%time.Millisecond)
	return what.RetryAfter
}

func TestOneCallerMeetsItsRateAndOthersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(config(Bound{10, 3, 100}, Bound{1000, 1000, 100}), nil)
		for range 3 {
			done, err := l.Begin(t.Context(), "greedy", Read)
			require.NoError(t, err)
			done()
		}
		_, err := l.Begin(t.Context(), "greedy", Read)
		wait := refused(t, err, "more than 10 read calls a second")
		require.Equal(t, 100*time.Millisecond, wait)
		_, err = l.Begin(t.Context(), "greedy", List)
		require.NoError(t, err, "classes have budgets of their own")
		_, err = l.Begin(t.Context(), "modest", Read)
		require.NoError(t, err)
		time.Sleep(wait)
		_, err = l.Begin(t.Context(), "greedy", Read)
		require.NoError(t, err, "who waits as told is served")
	})
}

func TestAllTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(config(Bound{1000, 1000, 100}, Bound{10, 2, 100}), nil)
		for i := range 2 {
			_, err := l.Begin(t.Context(), fmt.Sprint(i), Write)
			require.NoError(t, err)
		}
		for i := range 100 {
			_, err := l.Begin(t.Context(), fmt.Sprint(i), Write)
			require.LessOrEqual(t, refused(t, err, "all callers together"), 100*time.Millisecond, "refusals cost nothing of the budget")
		}
	})
}

func TestWhoHasTooMuchUnderWayWaitsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(config(Bound{1000, 1000, 2}, Bound{1000, 1000, 100}), nil)
		first, err := l.Begin(t.Context(), "a", Write)
		require.NoError(t, err)
		_, err = l.Begin(t.Context(), "a", Write)
		require.NoError(t, err)
		began := time.Now()
		time.AfterFunc(time.Second, first)
		_, err = l.Begin(t.Context(), "a", Write)
		require.NoError(t, err)
		require.Equal(t, time.Second, time.Since(began))
		_, err = l.Begin(t.Context(), "a", Write)
		refused(t, err, "2 write calls under way")
		require.Equal(t, time.Second+l.config.Patience, time.Since(began))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = l.Begin(gone, "a", Write)
		require.ErrorIs(t, err, context.Canceled)
		_, err = l.Begin(t.Context(), "b", Write)
		require.NoError(t, err)
	})
}

func TestOtherBoundsWhileCallsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(config(Bound{1000, 1000, 1}, Bound{1000, 1000, 100}), nil)
		first, err := l.Begin(t.Context(), "a", Write)
		require.NoError(t, err)
		_, err = l.Begin(t.Context(), "a", Write)
		refused(t, err, "1 write calls under way")
		next := config(Bound{1, 2, 1}, Bound{1000, 1000, 100})
		next.Client.Read = Bound{1000, 1000, 1}
		next.Patience = time.Hour
		l.Set(next)
		second, err := l.Begin(t.Context(), "a", Write)
		require.NoError(t, err, "the new bound has its own place")
		time.AfterFunc(time.Minute, second)
		third, err := l.Begin(t.Context(), "a", Write)
		require.NoError(t, err, "it waits for the second as long as may now be waited")
		first() // it ends where it began
		third()
		for range 2 {
			done, err := l.Begin(t.Context(), "a", Write)
			require.NoError(t, err)
			done()
		}
		_, err = l.Begin(t.Context(), "a", Write)
		refused(t, err, "more than 1 write calls a second")
	})
}

func TestTheTableIsBounded(t *testing.T) {
	c := config(Bound{1000, 1000, 2}, Bound{1e6, 1e6, 1e6})
	c.Clients = 3
	l := New(c, nil)
	for i := range 1000 {
		done, err := l.Begin(t.Context(), fmt.Sprint(i), Read)
		require.NoError(t, err)
		done()
		require.LessOrEqual(t, len(l.clients), 3)
		require.Equal(t, len(l.clients), l.recent.Len())
	}
	var running []func()
	for i := range 3 {
		done, err := l.Begin(t.Context(), fmt.Sprint("busy ", i), Read)
		require.NoError(t, err)
		running = append(running, done)
	}
	_, err := l.Begin(t.Context(), "one more", Read)
	refused(t, err, "as many callers at once")
	running[1]()
	running[1]() // telling twice does no harm
	_, err = l.Begin(t.Context(), "one more", Read)
	require.NoError(t, err)
	require.NotContains(t, l.clients, "busy 1")
	require.Contains(t, l.clients, "busy 0", "who has calls under way is not forgotten")
}

// Whatever callers do, no bound is exceeded and everything is given back.
func TestBoundsHold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		each := Bound{rapid.Float64Range(1, 50).Draw(rt, "rate"), rapid.IntRange(1, 20).Draw(rt, "burst"), rapid.IntRange(1, 4).Draw(rt, "concurrent")}
		c := config(each, Bound{1e6, 1e6, 6})
		c.Clients, c.Patience = 4, time.Nanosecond
		l := New(c, nil)
		type begun struct {
			who  string
			done func()
		}
		var under []begun
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			if len(under) > 0 && rapid.Bool().Draw(rt, "end one") {
				i := rapid.IntRange(0, len(under)-1).Draw(rt, "which")
				under[i].done()
				under = append(under[:i], under[i+1:]...)
				continue
			}
			who := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(rt, "who")
			if done, err := l.Begin(context.Background(), who, Read); err == nil {
				under = append(under, begun{who, done})
			}
			mine := 0
			for _, one := range under {
				if one.who == who {
					mine++
				}
			}
			if mine > each.Concurrent || len(under) > 6 || len(l.clients) > 4 {
				rt.Fatalf("%d of %s, %d in all, %d remembered", mine, who, len(under), len(l.clients))
			}
		}
		for _, one := range under {
			one.done()
		}
		for _, one := range l.clients {
			if left := one.Value.(*client).calls; left != 0 {
				rt.Fatalf("%d calls are still counted", left)
			}
		}
	})
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	value := func(name string) (sum float64) {
		families, err := registry.Gather()
		require.NoError(t, err)
		for _, family := range families {
			for _, one := range family.GetMetric() {
				if family.GetName() == name {
					sum += one.GetGauge().GetValue() + one.GetCounter().GetValue()
				}
			}
		}
		return sum
	}
	l := New(config(Bound{1, 1, 1}, Bound{10, 10, 10}), NewMetrics(registry))
	done, err := l.Begin(t.Context(), "a", Read)
	require.NoError(t, err)
	require.InDelta(t, 1, value("callseal_gateway_limit_calls_running"), 0)
	_, err = l.Begin(t.Context(), "a", Read)
	require.Error(t, err)
	done()
	require.InDelta(t, 0, value("callseal_gateway_limit_calls_running"), 0)
	require.InDelta(t, 1, value("callseal_gateway_limit_refusals_total"), 0)
}

func TestCheck(t *testing.T) {
	good := DefaultConfig()
	require.NoError(t, good.Check())
	require.NoError(t, good.Connections.Check())
	bad := DefaultConfig()
	bad.Clients, bad.Total.List.Rate, bad.Patience = 0, 0, 0
	for _, says := range []string{"clients must be", "total.list needs a rate", "patience must be"} {
		require.ErrorContains(t, bad.Check(), says)
	}
	require.ErrorContains(t, (&ConnectionConfig{}).Check(), "handshake_timeout")
}

func TestConnectionsAreCountedByNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7:5060": "192.0.2.7/32", "[::ffff:192.0.2.7]:5060": "192.0.2.7/32", "[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1": "fe80::/64",
	} {
		t.Run(address, func(t *testing.T) {
			require.Equal(t, netip.MustParsePrefix(want), network(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))))
		})
	}
	require.Equal(t, "192.0.2.0/24", coarse(netip.MustParsePrefix("192.0.2.7/32")), "a log names no subscriber")
	require.Equal(t, "2001:db8:1::/48", coarse(netip.MustParsePrefix("2001:db8:1:2::/64")))
}

func TestOneConnectionTooManyIsClosed(t *testing.T) {
	c := DefaultConnectionConfig()
	c.PerAddress, c.Total = 2, 3
	door := NewDoorkeeper(c, NewMetrics(nil), slog.New(slog.DiscardHandler))
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listening := door.Listen(inner)
	defer func() { _ = listening.Close() }()
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			one, err := listening.Accept()
			if err != nil {
				return
			}
			accepted <- one
		}
	}()
	dial := func(from string) net.Conn {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		made, err := dialer.Dial("tcp", inner.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = made.Close() })
		return made
	}
	closed := func(one net.Conn) {
		require.NoError(t, one.SetReadDeadline(time.Now().Add(30*time.Second)))
		_, err := one.Read(make([]byte, 1))
		var timeout net.Error
		require.Error(t, err)
		require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "it was not closed")
	}
	dial("127.0.0.2")
	dial("127.0.0.2")
	first, second := <-accepted, <-accepted
	closed(dial("127.0.0.2"))
	dial("127.0.0.3")
	third := <-accepted
	closed(dial("127.0.0.4"))
	require.NoError(t, first.Close())
	_ = first.Close()
	dial("127.0.0.2")
	fourth := <-accepted
	for _, one := range []net.Conn{second, third, fourth} {
		require.NoError(t, one.Close())
	}
	require.Zero(t, door.open)
	require.Empty(t, door.by, "nothing is kept on addresses without connections")
}
