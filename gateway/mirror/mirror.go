// Package mirror turns values of the ledger into the messages that mirror them, and
// back: their fields have the names of the values' JSON members, so one is made of the
// other by name. A test holds the two together.
package mirror

import (
	"fmt"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
)

// Fill fills a message with a value in canonical form, as a contract answers it. An
// error is INTERNAL: the value has what this version does not know.
func Fill(canonical []byte, into proto.Message) error {
	if err := protojson.Unmarshal(canonical, into); err != nil {
		return &fault.Error{Kind: fault.Internal, Stage: fault.StageEvaluate, Message: "a value on the ledger cannot be read by this version", Err: err}
	}
	return nil
}

// Each makes messages of a JSON array of values.
func Each[M any, P interface {
	*M
	proto.Message
}](canonical []byte) ([]P, error) {
	var elements []jsontext.Value
	if err := json.Unmarshal(canonical, &elements); err != nil {
		return nil, fmt.Errorf("read the contract's answer: %w", err)
	}
	messages := make([]P, 0, len(elements))
	for _, element := range elements {
		var message P = new(M)
		if err := Fill(element, message); err != nil {
			return nil, err
		}
		messages = append(messages, message)
	}
	return messages, nil
}

// Value fills a value of the ledger, a pointer, with what the message says that mirrors
// it. An error is INVALID_ARGUMENT.
func Value(message proto.Message, into any) error {
	text, err := json.Marshal(members(message.ProtoReflect()), json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fault.New(fault.Invalid, "the request cannot be read as a %s", reflect.TypeOf(into).Elem().Name())
	}
	filled(reflect.ValueOf(into))
	return nil
}

func members(message protoreflect.Message) map[string]any {
	all := map[string]any{}
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		name := string(field.Name())
		if !field.IsList() {
			all[name] = member(field, value)
			return true
		}
		list := make([]any, value.List().Len())
		for i := range list {
			list[i] = member(field, value.List().Get(i))
		}
		all[name] = list
		return true
	})
	return all
}

func member(field protoreflect.FieldDescriptor, value protoreflect.Value) any {
	if field.Message() == nil {
		return value.Interface()
	}
	if at, isTime := value.Message().Interface().(*timestamppb.Timestamp); isTime {
		return ledger.TimeOf(at.AsTime())
	}
	return members(value.Message())
}

// filled has lists that a value must have be empty rather than absent: a message
// does not tell the two apart.
func filled(value reflect.Value) {
	switch value.Kind() {
	case reflect.Pointer:
		if !value.IsNil() {
			filled(value.Elem())
		}
	case reflect.Slice:
		for i := range value.Len() {
			filled(value.Index(i))
		}
	case reflect.Struct:
		for i := range value.NumField() {
			field, kind := value.Field(i), value.Type().Field(i)
			if !kind.IsExported() {
				continue
			}
			if tag := kind.Tag.Get("json"); field.Kind() == reflect.Slice && field.IsNil() && tag != "" && !optional(tag) {
				field.Set(reflect.MakeSlice(field.Type(), 0, 0))
			}
			filled(field)
		}
	default:
	}
}

func optional(tag string) bool {
	const mark = ",omitzero"
	return len(tag) > len(mark) && tag[len(tag)-len(mark):] == mark
}
