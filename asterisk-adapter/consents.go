package adapter

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/asterisk-adapter/consent"
)

// Labels of mixerCounts.consents.
const (
	consentDelivered = "delivered"
	consentRefused   = "refused"
	consentUnasked   = "unasked"
)

// forgetEvery is how often what is known of old calls is dropped.
const forgetEvery = time.Hour

// consents are the parts that ask, and that do what follows from the answers.
type consents struct {
	book     *consent.Book
	line     *ari.Controller
	asker    *consent.Asker
	marks    *consent.Marks
	delivery *consent.Delivery
	follower *consent.Follower
}

// openConsents opens them, as configured.
func (a *Adapter) openConsents() error {
	config := a.config.Consent
	if config == nil {
		return nil
	}
	password, err := secret(config.ARI.PasswordFile, config.ARI.Password)
	if err != nil {
		return err
	}
	rules := consent.Rules{Grant: config.Grant, Deny: config.Deny, Silence: config.Silence, Jurisdiction: config.Jurisdiction}
	announcement, err := consent.FileDigest(config.Announcement)
	if err != nil {
		return fmt.Errorf("consent.announcement: %w", err)
	}
	if config.StaffEvidence != "" {
		if rules.StaffEvidence, err = consent.FileDigest(config.StaffEvidence); err != nil {
			return fmt.Errorf("consent.staff_evidence: %w", err)
		}
	}
	book, err := consent.OpenBook(filepath.Join(a.config.StateDir, "consents.db"))
	if err != nil {
		return err
	}
	c := &consents{book: book, line: ari.NewController(ari.Options{URL: config.ARI.URL, User: config.ARI.User, Password: password, App: config.ARI.Application})}
	a.consents = c
	c.delivery = consent.NewDelivery(consent.Delivery{
		Book: book, Client: pb.NewConsentServiceClient(a.connection), MSP: a.config.MSP, PBX: a.config.PBX, Log: a.log,
		Delivered: func(*consent.Statement) { a.mixer.counts.consents.WithLabelValues(consentDelivered).Inc() },
		Refused:   func(*consent.Statement) { a.mixer.counts.consents.WithLabelValues(consentRefused).Inc() },
	})
	stated := func(statement *consent.Statement) {
		a.mixer.counts.statements.WithLabelValues(statement.Status, statement.Method).Inc()
		c.delivery.Stir()
	}
	c.asker = &consent.Asker{
		Line: c.line, Book: book, Rules: rules, PBX: a.config.PBX,
		Announcement: strings.TrimSuffix(config.Announcement, filepath.Ext(config.Announcement)), AnnouncementDigest: announcement,
		Tries: config.Tries, Wait: config.wait, Evidence: config.Evidence, Ref: a.pseudonyms.ofParty,
		Stated: stated, Unasked: func() { a.mixer.counts.consents.WithLabelValues(consentUnasked).Inc() }, Log: a.log,
	}
	c.marks = &consent.Marks{Folder: config.Marks, Evidence: config.Evidence, PBX: a.config.PBX, Book: book, Parties: a.partiesOn, Log: a.log}
	c.marks.Stated = func(ctx context.Context, statement *consent.Statement) {
		stated(statement)
		// The dialplan ended one recording; the conversation may have others.
		a.mixer.end(ctx, statement.LinkedID)
	}
	c.follower = &consent.Follower{
		Book: book, Watch: pb.NewWatchServiceClient(a.connection), Policies: pb.NewPolicyServiceClient(a.connection), MSP: a.config.MSP, PBX: a.config.PBX,
		Objected: a.mixer.end, Log: a.log,
	}
	a.mixer.forbidden = c.forbids
	a.omissions.forbidden = c.forbade
	a.metrics.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "callseal_adapter_consent_outbox", Help: "Statements of consent that are not on the ledger."},
		func() float64 {
			waiting, _, err := book.Depth()
			if err != nil {
				a.log.Warn("the book of consents cannot be counted", "error", err)
			}
			return float64(waiting)
		}))
	a.standings.expect(sourceConsent)
	return nil
}

func (a *Adapter) closeConsents() error {
	if a.consents == nil {
		return nil
	}
	return a.consents.book.Close()
}

// asks are the parts that ask.
func (a *Adapter) asks() []func(context.Context) error {
	c := a.consents
	if c == nil {
		return nil
	}
	return []func(context.Context) error{a.ask, c.marks.Run, c.delivery.Run, c.follower.Run, c.forget}
}

// ask asks the channels that the dialplan sends, until the context ends.
func (a *Adapter) ask(ctx context.Context) error {
	c := a.consents
	defer c.asker.End()
	return c.line.Run(ctx, ari.ControlHandler{
		Connected: func(attempt int) {
			a.stands(sourceConsent, nil)
			a.log.Info("ARI connected for consent", "attempt", attempt)
			c.asker.Resume(ctx)
		},
		Lost: func(err error) {
			a.stands(sourceConsent, err)
			a.log.Warn("ARI lost for consent: nobody is asked until it is back", "error", err)
		},
		Happened: func(h ari.Happening) { c.asker.Happened(ctx, h) },
	})
}

// forbids says whether a party of a call objects, so that it may not be recorded.
func (c *consents) forbids(linkedID string) bool {
	forbidden, err := c.book.Forbids(linkedID)
	return err == nil && forbidden
}

// forbade says whether a channel was asked and might not be recorded.
func (c *consents) forbade(uniqueID string) bool {
	call, err := c.book.Call(uniqueID)
	return err == nil && call != nil && !call.Allowed
}

// partiesOn are the parties of a channel's leg, by its CDR.
func (a *Adapter) partiesOn(uniqueID string) (caller, called string, known bool) {
	legs, err := a.journal.ByUniqueID(uniqueID)
	leg := recordedLeg(legs)
	if err != nil || leg == nil {
		return "", "", false
	}
	return leg.Call.CallerRef, leg.Call.CalleeRef, true
}

// forget drops what is known of old calls, every so often.
func (c *consents) forget(ctx context.Context) error {
	ticker := time.NewTicker(forgetEvery)
	defer ticker.Stop()
	for {
		if err := c.book.Forget(time.Now()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
