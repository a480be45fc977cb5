package journal_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/journal"
)

const (
	childFolder = "JOURNAL_CHILD_FOLDER"
	childRound  = "JOURNAL_CHILD_ROUND"
	childLanes  = 8
)

// TestMain is also the child that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		if err := child(dir, os.Getenv(childRound)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child appends, begins and resolves as fast as it can, from many goroutines, and
// says what was acknowledged, until it is killed or the disk fails it.
func child(dir, round string) error {
	j, err := journal.Open(dir, small, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	var group sync.WaitGroup
	for lane := range childLanes {
		group.Go(func() {
			for i := int64(0); ; i++ {
				if err := step(j, fmt.Sprintf("round%s-pbx%d", round, lane), i); err != nil {
					if i == 0 || j.Err() == nil {
						fmt.Fprintln(os.Stderr, err)
					}
					return
				}
			}
		})
	}
	group.Wait()
	return j.Err()
}

func step(j *journal.Journal, pbx string, i int64) error {
	ctx := context.Background()
	results, err := j.Append(ctx, accept(pbx, i))
	if err != nil {
		return err
	}
	number := results[0].Entry.Number
	id := fmt.Sprintf("%s-%d", pbx, i)
	fmt.Printf("accepted %s %d %d\n", pbx, i, number)
	if i%2 == 0 {
		return nil
	}
	if err := j.Begin(ctx, journal.Transaction{ID: id, Stage: journal.Public, Numbers: []int64{number}, Envelope: []byte(id)}); err != nil {
		return err
	}
	fmt.Printf("begun %s %d %d\n", pbx, i, number)
	if i%4 == 1 {
		return nil
	}
	commit := &journal.Commit{TransactionID: id, Block: uint64(i)}
	if err := j.Resolve(ctx, id, journal.Outcome{Number: number, State: journal.Settled, Commit: commit}); err != nil {
		return err
	}
	fmt.Printf("settled %s %d %d\n", pbx, i, number)
	return nil
}

// acknowledged is the last thing that was said of a segment.
type acknowledged struct {
	number int64
	what   string
}

func listen(t *testing.T, said io.Reader, all map[journal.Name]acknowledged) {
	t.Helper()
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if lines.Text() == "ready" {
			continue
		}
		var what, pbx string
		var seq, number int64
		if n, _ := fmt.Sscanf(lines.Text(), "%s %s %d %d", &what, &pbx, &seq, &number); n != 4 || !strings.Contains("accepted begun settled", what) {
			continue // the last line may be torn
		}
		all[journal.Name{PBX: pbx, Epoch: 1, FirstSeq: seq}] = acknowledged{number, what}
	}
}

// run starts a child, calls during when it is ready, and answers how it ended.
func run(t *testing.T, dir string, round int, all map[journal.Name]acknowledged, during func(process *os.Process, ended <-chan struct{})) error {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), childFolder+"="+dir, fmt.Sprintf("%s=%d", childRound, round))
	command.Stderr = os.Stderr
	said, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	buffered := bufio.NewReader(said)
	first, err := buffered.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", first)
	var group sync.WaitGroup
	ended := make(chan struct{})
	group.Go(func() { during(command.Process, ended) })
	listen(t, buffered, all)
	close(ended)
	group.Wait()
	return command.Wait()
}

// check opens the journal and compares it with what was acknowledged.
func check(t *testing.T, dir string, all map[journal.Name]acknowledged) {
	t.Helper()
	j := open(t, dir, small)
	defer func() { require.NoError(t, j.Close()) }()
	begun := map[string]bool{}
	flights, err := j.InFlight()
	require.NoError(t, err)
	for _, flight := range flights {
		require.Equal(t, flight.ID, string(flight.Envelope))
		begun[flight.ID] = true
	}
	numbers, lanes := map[int64]journal.Name{}, map[string]map[int64]int64{}
	for name, said := range all {
		entry, err := j.Find(name)
		require.NoError(t, err, "%s was %s and is gone", name, said.what)
		require.Equal(t, said.number, entry.Number)
		require.Empty(t, numbers[entry.Number], "a number twice")
		numbers[entry.Number] = name
		if lanes[name.PBX] == nil {
			lanes[name.PBX] = map[int64]int64{}
		}
		lanes[name.PBX][name.FirstSeq] = entry.Number
		switch said.what {
		case "settled":
			require.Equal(t, journal.Settled, entry.State)
		case "begun":
			require.True(t, entry.State == journal.Settled || begun[entry.Transaction], "begun and forgotten")
			fallthrough
		case "accepted":
			if entry.State == journal.Settled {
				continue
			}
			payload, err := j.Payload(entry.Number)
			require.NoError(t, err)
			require.Equal(t, accept(name.PBX, name.FirstSeq).Payload, payload)
		}
	}
	for pbx, order := range lanes {
		for seq := int64(1); seq < int64(len(order)); seq++ {
			require.Less(t, order[seq-1], order[seq], "the order of %s", pbx)
		}
	}
	// Each once: what is pending beyond what was acknowledged is what was on its way.
	for _, pbx := range j.Lanes() {
		seen := map[journal.Name]bool{}
		pending, err := j.Pending(pbx, 0, 1<<30)
		require.NoError(t, err)
		last := int64(0)
		for _, entry := range pending {
			require.False(t, seen[entry.Name])
			require.Greater(t, entry.Number, last)
			seen[entry.Name], last = true, entry.Number
		}
	}
}

// Killed at random points, again and again: all that was acknowledged is there,
// once, in order.
func TestKilled(t *testing.T) {
	dir, all := t.TempDir(), map[journal.Name]acknowledged{}
	for round := range 25 {
		err := run(t, dir, round, all, func(process *os.Process, _ <-chan struct{}) {
			time.Sleep(time.Duration(1+rand.IntN(80)) * time.Millisecond)
			_ = process.Kill()
		})
		require.ErrorContains(t, err, "killed")
		check(t, dir, all)
	}
	require.Greater(t, len(all), 100)
	t.Logf("%d segments acknowledged over 25 kills, none missing", len(all))
}
