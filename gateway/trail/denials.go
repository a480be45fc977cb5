package trail

import (
	"context"
	"sync"
	"time"
)

const (
	// Of denials that are alike, so many have an entry each in a window, the others
	// are counted: whoever is not let in must not fill our disk.
	eachWindow = 10
	window     = time.Minute
	// alike bounds the kinds of denials counted apart; the rest are one kind.
	alike = 1024
)

// denials holds back what is denied over and over.
type denials struct {
	trail *Trail
	mu    sync.Mutex
	kinds map[kind]*count
}

// kind is what makes denials alike.
type kind struct{ fingerprint, method, outcome string }

type count struct {
	since       time.Time
	entry       Entry
	seen, extra int64
}

// Deny adds the entry of a call that was denied, or counts it.
func (t *Trail) Deny(entry Entry) { t.denials.add(time.Now(), entry) }

func (d *denials) add(now time.Time, entry Entry) {
	of := kind{entry.Caller.Fingerprint, entry.Method, entry.Outcome}
	d.mu.Lock()
	if d.kinds == nil {
		d.kinds = map[kind]*count{}
	}
	one, known := d.kinds[of]
	if !known {
		if len(d.kinds) >= alike {
			of, entry = kind{}, Entry{}
			one = d.kinds[of]
		}
		if one == nil {
			one = &count{since: now, entry: entry}
			d.kinds[of] = one
		}
	}
	one.seen++
	held := one.seen > eachWindow || entry.Method == ""
	if held {
		one.extra++
	}
	d.mu.Unlock()
	if held {
		return
	}
	entry.Event = Denied
	if _, err := d.trail.append(entry); err != nil {
		d.trail.log.Error("a denial could not be written to the audit trail", "error", err)
	}
}

// settle writes what was counted in windows that are over, all when now is zero.
func (d *denials) settle(now time.Time) {
	d.mu.Lock()
	var due []Entry
	for of, one := range d.kinds {
		if !now.IsZero() && now.Sub(one.since) < window {
			continue
		}
		delete(d.kinds, of)
		if one.extra > 0 {
			entry := one.entry
			entry.Event, entry.Request, entry.Object, entry.Messages = Repeated, "", Object{}, one.extra
			due = append(due, entry)
		}
	}
	d.mu.Unlock()
	for _, entry := range due {
		if _, err := d.trail.append(entry); err != nil {
			d.trail.log.Error("denials could not be written to the audit trail", "error", err)
		}
	}
}

// Run writes what was counted, and the trail's head to the log, where it is out of
// reach of whoever may change the trail, until the context ends.
func (t *Trail) Run(ctx context.Context) {
	ticker := time.NewTicker(window)
	defer ticker.Stop()
	var told uint64
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			t.denials.settle(now)
			seq, head := t.Head()
			if err := t.Flush(seq); err != nil {
				t.log.Error("the audit trail cannot be written", "error", err)
			} else if seq != told {
				told = seq
				t.log.Info("audit trail", "entries", seq, "head", head)
			}
		}
	}
}
