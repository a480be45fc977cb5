package fabric

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// A transaction of hundreds of records is a megabyte, in messages within messages:
// payload, data, action, response, extension, results. Reading it by unmarshalling
// copies it once a layer; what is here finds the parts where they are. Whoever reads
// a block must read in it what the peers read, so everything is found as
// [proto.Unmarshal] would find it, whatever order and repetition it comes in.

// field is a field of an encoded message.
type field struct {
	number protowire.Number
	kind   protowire.Type
	// part is its content where it has a length, value where it is a varint.
	part  []byte
	value uint64
}

// eachField calls for the fields of an encoded message.
func eachField(message []byte, call func(field) error) error {
	for len(message) > 0 {
		var one field
		var n int
		if one.number, one.kind, n = protowire.ConsumeTag(message); n < 0 {
			return fmt.Errorf("read a field: %w", protowire.ParseError(n))
		}
		message = message[n:]
		switch one.kind {
		case protowire.BytesType:
			one.part, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			one.value, n = protowire.ConsumeVarint(message)
		default:
			n = protowire.ConsumeFieldValue(one.number, one.kind, message)
		}
		if n < 0 {
			return fmt.Errorf("read field %d: %w", one.number, protowire.ParseError(n))
		}
		if err := call(one); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}

// eachPart calls for one field, that may be there several times: bytes, texts or
// messages.
func eachPart(message []byte, wanted protowire.Number, call func(part []byte) error) error {
	return eachField(message, func(one field) error {
		if one.number != wanted || one.kind != protowire.BytesType {
			return nil
		}
		return call(one.part)
	})
}

// bytesIn is a field of bytes: of several the last counts. It is a part of the
// message, not a copy.
func bytesIn(message []byte, wanted protowire.Number) (found []byte, err error) {
	err = eachPart(message, wanted, func(part []byte) error {
		found = part
		return nil
	})
	return found, err
}

// messageIn is a field that is a message: several are one in pieces.
func messageIn(message []byte, wanted protowire.Number) (found []byte, err error) {
	err = eachPart(message, wanted, func(part []byte) error {
		if found == nil {
			found = part
		} else {
			found = append(found[:len(found):len(found)], part...)
		}
		return nil
	})
	return found, err
}

// step is a way from a message to what is in it.
type step struct {
	name string
	in   func(message []byte, wanted protowire.Number) ([]byte, error)
	at   protowire.Number
}

// follow goes several steps.
func follow(message []byte, steps ...step) (found []byte, err error) {
	for _, one := range steps {
		if message, err = one.in(message, one.at); err != nil {
			return nil, fmt.Errorf("read %s: %w", one.name, err)
		}
	}
	return message, nil
}

// The ways through an envelope, as common, peer and rwset define its messages.
var (
	toPayload       = step{"payload", bytesIn, 1}           // of an envelope
	toSignature     = step{"signature", bytesIn, 2}         // of an envelope
	toHeader        = step{"header", messageIn, 1}          // of a payload
	toTransaction   = step{"transaction", bytesIn, 2}       // of a payload
	toChannelHeader = step{"channel header", bytesIn, 1}    // of a header
	toAction        = step{"action", bytesIn, 2}            // of a transaction's action
	toEndorsed      = step{"endorsed action", messageIn, 2} // of an action's payload
	toResponse      = step{"proposal response", bytesIn, 1} // of an endorsed action
	toExtension     = step{"chaincode action", bytesIn, 2}  // of a proposal response
	toResults       = step{"results", bytesIn, 1}           // of a chaincode action
	toAnswer        = step{"answer", messageIn, 3}          // of a chaincode action
	toAnswerPayload = step{"answer", bytesIn, 3}            // of an answer
	toNamespaceSet  = step{"write set", bytesIn, 2}         // of a namespace's part of the results
)

// The fields of what there are several of.
const (
	actionsOfTransaction  protowire.Number = 1
	endorsementsOfAction  protowire.Number = 2
	namespacesOfResults   protowire.Number = 2
	namespaceName         protowire.Number = 1
	writesOfSet           protowire.Number = 3
	keyOfWrite            protowire.Number = 1
	deletionOfWrite       protowire.Number = 2
	valueOfWrite          protowire.Number = 3
	endorserOfEndorsement protowire.Number = 1
)

// eachAction calls for the actions of a payload's transaction.
func eachAction(payload []byte, call func(action []byte) error) error {
	transaction, err := follow(payload, toTransaction)
	if err != nil {
		return err
	}
	return eachPart(transaction, actionsOfTransaction, func(part []byte) error {
		action, err := follow(part, toAction)
		if err != nil {
			return err
		}
		return call(action)
	})
}
