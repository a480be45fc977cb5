package server

import (
	"crypto/rand"
	"fmt"
	"regexp"
	"time"

	"github.com/callseal/callseal/gateway/fault"
)

// report logs denials and failures loudly, the rest quietly: without arguments,
// because they may be personal.
func (c *chain) report(one *call, err error) {
	log := c.log.With("request", one.id, "method", one.method, "caller", one.who.name, "role", string(one.who.role), "ms", time.Since(one.began).Milliseconds())
	if err == nil {
		log.Debug("call served")
		return
	}
	if endedByCaller(err) != nil {
		log.Debug("the caller went away, or its time was over", "error", redact(err))
		return
	}
	c.auditDenial(one, err)
	what := fault.Of(err)
	log = log.With("kind", string(what.Kind), "stage", string(what.Stage), "transaction", what.TransactionID, "error", redact(what))
	switch what.Kind {
	case fault.Denied, fault.Unauthenticated:
		log.Warn("call denied")
	case fault.Internal:
		log.Error("call failed")
	default:
		log.Info("call refused")
	}
}

// personal is what a sentence may hold that a caller or a record put there: what is
// quoted, addresses, numbers.
var personal = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|[^\s"']+@[^\s"']+|(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*|\+?\d{5,}`)

// redact is the text of an error or a panic without what callers may have put into
// it. The caller is told all of it; the log is read by others.
func redact(what any) string { return personal.ReplaceAllString(fmt.Sprint(what), "…") }

// refuse logs a refusal outside gRPC and makes the status of it.
func (c *chain) refuse(method string, who caller, err error) error {
	c.report(&call{id: rand.Text(), method: method, who: who, began: time.Now()}, err)
	return statusOf(err)
}
