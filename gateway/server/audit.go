package server

import (
	"regexp"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/trail"
)

// maxSubject bounds a name that goes into the log or the audit trail: a stranger
// chose it.
const maxSubject = 64

// beginAudit has a privileged call in the audit trail before it is carried out: all
// that change something, and reads of personal details. What changes something is
// on disk first. Without a trail, or room in it, the call is refused.
func (c *chain) beginAudit(one *call) error {
	if one.audited {
		return nil
	}
	object := objectOf(one.request)
	if c.trail == nil || !one.rule.mutates && !object.Details {
		return nil
	}
	one.audited, one.object = true, object
	position, err := c.trail.Begin(one.entry())
	if err == nil && one.rule.mutates {
		err = c.trail.Flush(position)
	}
	if err != nil {
		one.audited = false
		return &fault.Error{
			Kind: fault.Unavailable, Stage: fault.StageRequest, RetryAfter: time.Minute, Err: err,
			Message: "the gateway cannot write its audit trail and refuses what it could not account for; its operator has to see to the trail's disk",
		}
	}
	return nil
}

// endAudit adds what became of a privileged call, before it is answered. That it
// was begun is in the trail already, so an end that cannot be written changes
// nothing for the caller.
func (c *chain) endAudit(one *call, err error) {
	if !one.audited || one.ended {
		return
	}
	one.ended = true
	entry := one.entry()
	entry.Outcome, entry.Messages = outcomeOf(err), one.messages
	if entry.Transaction = transactionOf(one.response); err != nil {
		entry.Transaction = fault.Of(err).TransactionID
	}
	position, failed := c.trail.End(entry)
	if failed == nil {
		failed = c.trail.Flush(position)
	}
	if failed != nil {
		c.log.Error("the end of a call could not be written to the audit trail", "request", one.id, "method", one.method, "error", failed)
	}
}

// auditDenial adds a call that was not let in or not permitted.
func (c *chain) auditDenial(one *call, err error) {
	if c.trail == nil || one.audited {
		return
	}
	if kind := fault.Of(err).Kind; kind != fault.Denied && kind != fault.Unauthenticated {
		return
	}
	entry := one.entry()
	entry.Outcome = outcomeOf(err)
	c.trail.Deny(entry)
}

func (one *call) entry() trail.Entry {
	who := trail.Caller{Subject: one.who.name, Fingerprint: one.who.fingerprint, Role: string(one.who.role)}
	if one.who.issuer != "" {
		who.Subject, who.Issuer = one.who.subject, one.who.issuer
	}
	if len(who.Subject) > maxSubject {
		who.Subject = who.Subject[:maxSubject]
	}
	return trail.Entry{Request: one.id, Method: one.method, Caller: who, Object: one.object}
}

// outcomeOf is the code that the caller is answered.
func outcomeOf(err error) string {
	if err == nil {
		return codes.OK.String()
	}
	return status.Code(statusOf(err)).String()
}

var (
	// A member is named so in the consortium, a PBX by its operator, a conversation
	// by Asterisk, a recording at random. What looks otherwise was put there by a
	// caller, and may be anything.
	mspForm       = regexp.MustCompile(`^[A-Za-z][A-Za-z-]{0,31}MSP$`)
	pbxForm       = regexp.MustCompile(`^[a-z][a-z0-9]{0,15}(-[a-z0-9]{1,8}){0,4}$`)
	linkedIDForm  = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_.]{0,15}(-[A-Za-z0-9_.]{1,8}){0,4}-)?\d{10}\.\d{1,10}$`)
	recordingForm = regexp.MustCompile(`^[0-9a-f]{32}$`)
	manyDigits    = regexp.MustCompile(`\d{5,}`)
)

// objectOf is what a request is about, as far as it may be repeated.
func objectOf(request proto.Message) trail.Object {
	object := trail.Object{}
	if request == nil {
		return object
	}
	name(&object, request.ProtoReflect(), 0)
	return object
}

// name walks a request for the members by which records are named.
func name(object *trail.Object, message protoreflect.Message, depth int) {
	take := func(into *string, form *regexp.Regexp, value string, digits bool) {
		if form.MatchString(value) && (digits || !manyDigits.MatchString(value)) {
			*into = value
		} else {
			object.Withheld = true
		}
	}
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsList() || field.IsMap():
		case field.Kind() == protoreflect.MessageKind:
			if depth < 3 {
				name(object, value.Message(), depth+1)
			}
		case field.Kind() == protoreflect.BoolKind:
			object.Details = object.Details || field.Name() == "include_details" && value.Bool()
		case field.Kind() != protoreflect.StringKind:
		case field.Name() == "msp":
			take(&object.MSP, mspForm, value.String(), false)
		case field.Name() == "pbx":
			take(&object.PBX, pbxForm, value.String(), false)
		case field.Name() == "linkedid":
			take(&object.LinkedID, linkedIDForm, value.String(), true)
		case field.Name() == "id" || field.Name() == "recording_id":
			take(&object.Recording, recordingForm, value.String(), true)
		}
		return true
	})
}

// transactionOf is the transaction that an answer names, "" where none.
func transactionOf(response proto.Message) string {
	if response == nil {
		return ""
	}
	return transactionIn(response.ProtoReflect(), 0)
}

func transactionIn(message protoreflect.Message, depth int) (id string) {
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsList() || field.IsMap():
		case field.Name() == "transaction_id" && field.Kind() == protoreflect.StringKind:
			id = value.String()
		case field.Kind() == protoreflect.MessageKind && depth < 3:
			id = transactionIn(value.Message(), depth+1)
		}
		return id == ""
	})
	return id
}
