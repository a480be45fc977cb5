package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/callseal/callseal/asterisk-adapter/admission"
	"github.com/callseal/callseal/asterisk-adapter/conversation"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
)

// This file adds to a leg, before it is closed, what its CDR does not tell: what
// happened to it, where it was, what it cost. What nobody knows stays absent.

// applications are those that a CDR names last and that are features by themselves.
var applications = map[string]string{
	"Queue": conversation.KindQueue, "ConfBridge": conversation.KindConference, "Park": conversation.KindPark, "ParkedCall": conversation.KindPark,
	"Pickup": conversation.KindPickup, "PickupChan": conversation.KindPickup,
}

// enrich adds what is known beside the CDR to a leg, and seals its details anew.
func (a *Adapter) enrich(ctx context.Context, leg *journal.Leg) error {
	call, details := &leg.Call, leg.Details.Call
	if a.conversations.awaits(call.End.Std()) && !a.conversations.book.Await(ctx, details.Channel, observeWait) && ctx.Err() == nil {
		a.log.Warn("AMI did not tell a channel's end: what happened to its call may be incomplete", "uniqueid", call.Leg.UniqueID)
	}
	known := a.conversations.book.Leg(details.Channel, details.DstChannel)
	if call.HangupCause == 0 {
		call.HangupCause = known.Cause
	}
	call.Attestation = cmp.Or(known.Facts.Attestation, call.Attestation)
	call.Verdict = cmp.Or(known.Facts.Verdict, call.Verdict)
	details.Features = known.Features
	if feature := applications[details.LastApp]; feature != "" && !slices.Contains(details.Features, feature) {
		details.Features = append(details.Features, feature)
		slices.Sort(details.Features)
	}
	details.Journey = known.Journey
	if known.Facts.Network != (ledger.CallNetwork{}) {
		details.Network = &known.Facts.Network
	}
	details.Location = a.now().Locations.of(details, known)
	if cost := a.cost(call, details); cost != nil {
		details.Cost = cost
	}
	a.refer(call, details, known)
	var err error
	call.DetailsDigest, err = leg.Details.Digest()
	return err
}

// cost is what an answered call that went out cost, by the number dialled.
func (a *Adapter) cost(call *ledger.Call, details *ledger.CallDetails) *ledger.CallCost {
	if call.Disposition != ledger.Answered || call.Direction == "inbound" {
		return nil
	}
	rate, found := a.now().rates.Of(details.Dst)
	if !found {
		return nil
	}
	return &ledger.CallCost{Currency: rate.Currency, Micros: rate.Price(call.BillsecMS / 1000), Rate: rate.Name}
}

// refer makes the call_ref of a leg that goes over a trunk, of the SIP Call-ID that both
// ends of the trunk see.
func (a *Adapter) refer(call *ledger.Call, details *ledger.CallDetails, known conversation.Leg) {
	if a.view == nil {
		return
	}
	var callID string
	switch trunks := a.config.Trunks; {
	case trunks.name(details.Channel) || slices.Contains(trunks, details.DContext) && !trunks.name(details.DstChannel):
		callID = known.Facts.CallID
		if callID == "" && a.observer != nil {
			callID = a.observer.CallID(details.Channel)
		}
	case trunks.name(details.DstChannel):
		callID = known.Other.CallID
		if callID == "" && a.observer != nil {
			callID = a.observer.CallID(details.DstChannel)
		}
	}
	if callID == "" {
		return
	}
	ref, err := a.view.CallRef(callID)
	if err != nil {
		if !errors.Is(err, admission.ErrNotReady) {
			a.log.Warn("a trunk leg's call_ref cannot be made", "error", err)
		}
		return
	}
	call.CallRef = ref
}

// Trunks are the endpoints (PJSIP/carrier) and contexts (from-trunk) of lines to other
// operators.
type Trunks []string

// name says whether a channel is one of a trunk's.
func (t Trunks) name(channel string) bool {
	return channel != "" && slices.Contains(t, conversation.Endpoint(channel))
}

// Locations maps endpoints (PJSIP/1001), networks (10.1.0.0/16) and contexts
// (from-trunk) to places: labels or ISO 3166 codes.
type Locations map[string]string

// check answers what is wrong with one.
func (l Locations) check() error {
	var wrong []error
	for key, place := range l {
		if key == "" || place == "" || len(place) > maxPlace {
			wrong = append(wrong, fmt.Errorf("locations: %q is mapped to %q, use a label of 1 to %d bytes", key, place, maxPlace))
		}
	}
	return errors.Join(wrong...)
}

// maxPlace bounds the name of a place, in bytes.
const maxPlace = 100

// of is where the parties of a leg were; nil where nothing says so.
func (l Locations) of(details *ledger.CallDetails, known conversation.Leg) *ledger.CallLocation {
	if len(l) == 0 {
		return nil
	}
	found := ledger.CallLocation{
		Origin:      cmp.Or(l[conversation.Endpoint(details.Channel)], l[details.DContext], l.network(known.Facts.Network.Remote)),
		Destination: cmp.Or(l[conversation.Endpoint(details.DstChannel)], l.network(known.Other.Network.Remote)),
	}
	if found == (ledger.CallLocation{}) {
		return nil
	}
	return &found
}

// network is the place of the narrowest network that an address, host:port, is in.
func (l Locations) network(remote string) string {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return ""
	}
	place, bits := "", -1
	for key, label := range l {
		if !strings.Contains(key, "/") {
			continue
		}
		network, err := netip.ParsePrefix(key)
		if err == nil && network.Contains(address.Addr().Unmap()) && network.Bits() > bits {
			place, bits = label, network.Bits()
		}
	}
	return place
}
