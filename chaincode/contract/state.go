package contract

import (
	"encoding/json"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

const (
	// maxInputBytes bounds an argument or a transient value: 1500 records and
	// their envelopes take about 1.2 MiB, a block at most 4 MB.
	maxInputBytes = 2 << 20
	// maxListed bounds what one query returns; beyond it the caller pages.
	maxListed = 1000
	// batchFrom is the number of writes from which one message to the peer is
	// cheaper than one each.
	batchFrom = 4
)

// input takes a large input from the argument or, where that is empty, from
// transient data.
func input(ctx contractapi.TransactionContextInterface, name, argument string) ([]byte, error) {
	data, err := transient(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case data != nil && argument != "":
		return nil, ledger.Errorf(ledger.CodeInvalid, "%s came as an argument and as transient data: send one of them", name)
	case data == nil:
		data = []byte(argument)
	}
	if len(data) == 0 {
		return nil, ledger.Errorf(ledger.CodeInvalid, "%s is missing: send it as the argument or as transient data", name)
	}
	return bounded(name, data)
}

// checked is a pointer to a type that says whether a value of it is well formed.
type checked[T any] interface {
	*T
	Check() error
}

// checkedInput is input, decoded and found to be well formed.
func checkedInput[T any, P checked[T]](ctx contractapi.TransactionContextInterface, name, argument string) (T, error) {
	var value T
	data, err := input(ctx, name, argument)
	if err != nil {
		return value, err
	}
	if err := ledger.DecodeStrict(data, &value); err != nil {
		return value, err
	}
	return value, P(&value).Check()
}

// secret takes an input that must not stand in the block from transient data.
func secret(ctx contractapi.TransactionContextInterface, name string) ([]byte, error) {
	data, err := transient(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, ledger.Errorf(ledger.CodeInvalid, "%s is missing: send it as transient data", name)
	}
	return bounded(name, data)
}

// transient is the transient data of that name, nil where there is none.
func transient(ctx contractapi.TransactionContextInterface, name string) ([]byte, error) {
	all, err := ctx.GetStub().GetTransient()
	if err != nil {
		return nil, ledger.Errorf(ledger.CodeInternal, "read transient data: %v", err)
	}
	data, found := all[name]
	if found && data == nil {
		data = []byte{}
	}
	return data, nil
}

func bounded(name string, data []byte) ([]byte, error) {
	if len(data) > maxInputBytes {
		return nil, ledger.Errorf(ledger.CodeTooLarge, "%s has %d bytes, at most %d are allowed: send fewer records at once", name, len(data), maxInputBytes)
	}
	return data, nil
}

// now is the transaction's time: the client's word, which the peers bound by
// their time window.
func now(ctx contractapi.TransactionContextInterface) (ledger.Time, error) {
	stamp, err := ctx.GetStub().GetTxTimestamp()
	if err != nil {
		return ledger.Time{}, ledger.Errorf(ledger.CodeInternal, "read the transaction's time: %v", err)
	}
	at := stamp.AsTime()
	if !stamp.IsValid() || at.Year() < 1970 || at.Year() > 9999 {
		return ledger.Time{}, ledger.Errorf(ledger.CodeInvalid, "the transaction's time is none: set the client's clock")
	}
	return ledger.TimeOf(at), nil
}

// write is one key to be put, into a private collection where one is named.
type write struct {
	collection string
	key        string
	value      []byte
}

// put writes all, in order, as one message to the peer where that is cheaper.
func put(stub shim.ChaincodeStubInterface, writes []write) error {
	if len(writes) >= batchFrom {
		stub.StartWriteBatch()
	}
	for _, w := range writes {
		var err error
		if w.collection == "" {
			err = stub.PutState(w.key, w.value)
		} else {
			err = stub.PutPrivateData(w.collection, w.key, w.value)
		}
		if err != nil {
			return ledger.Errorf(ledger.CodeInternal, "write state: %v", err)
		}
	}
	if len(writes) >= batchFrom {
		if err := stub.FinishWriteBatch(); err != nil {
			return ledger.Errorf(ledger.CodeInternal, "write state: %v", err)
		}
	}
	return nil
}

// get reads one value and answers CodeNotFound, in the sentence given, where
// there is none.
func get(stub shim.ChaincodeStubInterface, key, sentence string) ([]byte, error) {
	value, err := stub.GetState(key)
	if err != nil {
		return nil, ledger.Errorf(ledger.CodeInternal, "read state: %v", err)
	}
	if value == nil {
		return nil, ledger.Errorf(ledger.CodeNotFound, "%s", sentence)
	}
	return value, nil
}

// scan calls visit for every key under the partial composite key, and answers
// CodeTooLarge past maxListed instead of leaving some out. It is for queries
// only: a transaction must not range over what others write.
func scan(stub shim.ChaincodeStubInterface, objectType string, parts []string, visit func(key string, value []byte) error) error {
	iterator, err := stub.GetStateByPartialCompositeKey(objectType, parts)
	if err != nil {
		return ledger.Errorf(ledger.CodeInternal, "scan state: %v", err)
	}
	defer func() { _ = iterator.Close() }()
	for n := 0; iterator.HasNext(); n++ {
		if n == maxListed {
			return ledger.Errorf(ledger.CodeTooLarge, "there are more than %d results: narrow the query", maxListed)
		}
		entry, err := iterator.Next()
		if err != nil {
			return ledger.Errorf(ledger.CodeInternal, "scan state: %v", err)
		}
		if err := visit(entry.GetKey(), entry.GetValue()); err != nil {
			return err
		}
	}
	return nil
}

// checkNames answers CodeInvalid unless every given name may stand in a key.
// Fields and values alternate.
func checkNames(fieldsAndValues ...string) error {
	for i := 0; i+1 < len(fieldsAndValues); i += 2 {
		if err := ledger.CheckName(fieldsAndValues[i], fieldsAndValues[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// decodeStored reads a value back from state. One that a newer chaincode wrote is
// refused with CodeNewer; that another does not fit is our fault, not the caller's.
func decodeStored(stored []byte, v any) error {
	err := ledger.DecodeStrict(stored, v)
	if err == nil {
		return nil
	}
	var versioned struct {
		V int `json:"v"`
	}
	if json.Unmarshal(stored, &versioned) == nil && versioned.V > ledger.SchemaVersion {
		return ledger.CheckVersion("a stored value", versioned.V)
	}
	return ledger.Errorf(ledger.CodeInternal, "a stored value cannot be read: %s", ledger.AsError(err).Message)
}

// encode renders a value for state.
func encode(v any) ([]byte, error) {
	value, err := ledger.Canonical(v)
	if err != nil {
		return nil, ledger.Errorf(ledger.CodeInternal, "%v", err)
	}
	return value, nil
}

// text renders a result as canonical JSON: contract-api passes strings through
// untouched.
func text(v any) (string, error) {
	canonical, err := encode(v)
	return string(canonical), err
}

// listText renders stored values, canonical already, as one JSON array.
func listText(values [][]byte) string {
	size := 2
	for _, value := range values {
		size += len(value) + 1
	}
	out := make([]byte, 0, size)
	out = append(out, '[')
	for i, value := range values {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, value...)
	}
	return string(append(out, ']'))
}
