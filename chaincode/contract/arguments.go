package contract

import (
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"
	"github.com/hyperledger/fabric-contract-api-go/v2/metadata"

	"github.com/callseal/callseal/chaincode/ledger"
)

// arguments turns a transaction's arguments into the functions' parameters, in
// place of contract-api's own conversion, which takes an empty text for 0,
// quotes what it refuses, and validates megabytes of text against a schema.
type arguments struct{}

// FromString reads one argument. Functions take strings and integers only.
func (arguments) FromString(argument string, kind reflect.Type, described *metadata.ParameterMetadata, _ *metadata.ComponentMetadata) (reflect.Value, error) {
	name := "an argument"
	if described != nil {
		name = described.Name
	}
	if !utf8.ValidString(argument) {
		return reflect.Value{}, ledger.Errorf(ledger.CodeInvalid, "%s is not valid UTF-8", name)
	}
	switch kind.Kind() {
	case reflect.String:
		return reflect.ValueOf(argument), nil
	case reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(argument, 10, kind.Bits())
		if err != nil || strconv.FormatInt(n, 10) != argument {
			return reflect.Value{}, ledger.Errorf(ledger.CodeInvalid, "%s is not an integer, plainly written", name)
		}
		return reflect.ValueOf(n).Convert(kind), nil
	default:
		return reflect.Value{}, ledger.Errorf(ledger.CodeInternal, "functions take strings and integers only")
	}
}

// ToString renders a result. Functions answer strings only: JSON, already
// canonical.
func (arguments) ToString(result reflect.Value, kind reflect.Type, _ *metadata.ReturnMetadata, _ *metadata.ComponentMetadata) (string, error) {
	if kind.Kind() != reflect.String {
		return "", ledger.Errorf(ledger.CodeInternal, "functions answer strings only")
	}
	return result.String(), nil
}

// functions are the callable functions, "contract:Function", with the number of
// their arguments: contract-api ignores what comes after them, yet it would
// stand in the block for ever.
type functions struct {
	counts   map[string]int
	standard string // the contract of functions that name none
}

var transactionContext = reflect.TypeFor[contractapi.TransactionContextInterface]()

// add lists a contract's functions: the methods that take a transaction
// context.
func (f functions) add(name string, contract any) {
	for method := range reflect.TypeOf(contract).Methods() {
		if method.Type.NumIn() > 1 && method.Type.In(1) == transactionContext {
			f.counts[name+":"+method.Name] = method.Type.NumIn() - 2
		}
	}
}

// check answers CodeInvalid unless the function exists and takes that many
// arguments. Names are as contract-api takes them: the first letter of the
// function in either case, the standard contract where none is named.
func (f functions) check(function string, arguments int) error {
	contract, name, named := strings.Cut(function, ":")
	if !named {
		contract, name = f.standard, function
	}
	if first, size := utf8.DecodeRuneInString(name); size > 0 {
		name = string(unicode.ToUpper(first)) + name[size:]
	}
	want, found := f.counts[contract+":"+name]
	if !found {
		return ledger.Errorf(ledger.CodeInvalid, "there is no such function: name one as in calls:Anchor")
	}
	if arguments != want {
		return ledger.Errorf(ledger.CodeInvalid, "%s:%s takes %d arguments, %d were given", contract, name, want, arguments)
	}
	return nil
}
