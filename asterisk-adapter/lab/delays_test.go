package lab_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/callseal/callseal/asterisk-adapter/ami"
	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/asterisk-adapter/recording"
)

// BenchmarkHangUp measures, over calls on a real Asterisk, how long after the
// phone's BYE each sign of the call's end is there to be acted on. Run it with
// -bench HangUp -benchtime 100x.
func BenchmarkHangUp(b *testing.B) {
	inst := lab.Require(b)
	ast, err := inst.Start(b.Context(), lab.Options{Dir: os.Getenv("CALLSEAL_LAB_DIR")})
	if err != nil {
		b.Fatal(err)
	}
	defer ast.Stop()
	if err := ast.RegisterPhones(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()

	var mu sync.Mutex
	seen := make(map[string]map[string]time.Time) // sign, uniqueid
	callOf := make(map[string]string)             // uniqueid by Call-ID
	note := func(sign, id string, at time.Time) {
		mu.Lock()
		defer mu.Unlock()
		if seen[sign] == nil {
			seen[sign] = make(map[string]time.Time)
		}
		if _, ok := seen[sign][id]; !ok {
			seen[sign][id] = at
		}
	}
	up := make(chan string, 8)

	workers.Go(func() {
		_ = ami.New(ami.Options{Address: ast.AMI(), User: lab.User, Secret: ast.Secret()}).Run(ctx, ami.Handler{
			Connected: func(int) { up <- "ami" },
			Event: func(e ami.Event) {
				switch e.Name {
				case "Cdr":
					row, err := cdr.ParseEvent(e.Get, time.Local)
					if err != nil {
						b.Error(err)
						return
					}
					note("AMI-Cdr", row.UniqueID, e.Received)
					mu.Lock()
					callOf[row.UserField] = row.UniqueID
					mu.Unlock()
				case "Hangup", "MixMonitorStop":
					id, _ := e.Get("Uniqueid")
					note("AMI-"+e.Name, id, e.Received)
				}
			},
		})
	})
	observer := ari.New(ari.Options{URL: ast.ARI(), User: lab.User, Password: ast.Secret()})
	workers.Go(func() {
		_ = observer.Run(ctx, ari.Handler{Connected: func(int, ari.Listing) { up <- "ari" }, Lost: func(err error) { fmt.Println(err) }})
	})
	workers.Go(func() {
		tail := cdr.Tail{Path: ast.CSV(), Zone: time.UTC}
		first := sync.OnceFunc(func() { up <- "csv" })
		_ = tail.Run(ctx, func(e cdr.Entry) error {
			if e.Err != nil {
				b.Error(e.Err)
			}
			note("CSV-line", e.Row.UniqueID, time.Now())
			return nil
		}, first)
	})
	watcher, err := recording.NewWatcher(recording.Options{Folders: []string{ast.RecordingDir()}})
	if err != nil {
		b.Fatal(err)
	}
	workers.Go(func() {
		_ = watcher.Run(ctx, func(c recording.Closed) error {
			note("close-write", c.UniqueID, c.Noticed)
			d, err := recording.Digest(ctx, c.Path)
			if err != nil {
				b.Error(err)
			}
			_ = d
			note("digested", c.UniqueID, time.Now())
			return nil
		})
	})
	markers, err := fsnotify.NewWatcher()
	if err != nil {
		b.Fatal(err)
	}
	defer markers.Close()
	if err := markers.Add(ast.ClosedDir()); err != nil {
		b.Fatal(err)
	}
	workers.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-markers.Events:
				note("marker", filepath.Base(e.Name), time.Now())
			}
		}
	})
	for range 3 {
		<-up
	}

	reports, err := ast.PlaceCalls(ctx, lab.Call{Duration: time.Second}, b.N, 1)
	if err != nil {
		b.Fatal(err)
	}
	// The last call's signs.
	deadline := time.Now().Add(5 * time.Second)
	for {
		mu.Lock()
		all := len(seen["AMI-Cdr"]) >= b.N && len(seen["CSV-line"]) >= b.N && len(seen["marker"]) >= b.N && len(seen["digested"]) >= b.N
		mu.Unlock()
		if all || time.Now().After(deadline) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for id := range seen["AMI-Cdr"] {
		times, ok := observer.Observe(ctx, id, time.Now(), time.Second)
		if !ok {
			b.Errorf("ARI saw no end of %s", id)
			continue
		}
		note("ARI-HangupRequest", id, times.HungUp)
		note("ARI-Destroyed", id, times.Destroyed)
	}
	for sign, at := range seen {
		var delays []time.Duration
		for _, r := range reports {
			if t, ok := at[callOf[r.CallID]]; ok {
				delays = append(delays, t.Sub(r.HungUp))
			}
		}
		slices.Sort(delays)
		if len(delays) < b.N {
			b.Logf("%s: only %d of %d", sign, len(delays), b.N)
		}
		if len(delays) == 0 {
			continue
		}
		for _, p := range []int{50, 95, 99} {
			b.ReportMetric(float64(delays[(len(delays)-1)*p/100].Microseconds())/1000, fmt.Sprintf("%s-p%d-ms", sign, p))
		}
	}
	b.ReportMetric(0, "ns/op")
}
