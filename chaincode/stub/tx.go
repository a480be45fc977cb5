package stub

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/queryresult"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Call is what a client proposes, and on whose peer.
type Call struct {
	// Args are the function's name and its arguments.
	Args []string
	// Transient is data that stays out of the block.
	Transient map[string][]byte
	// Creator is the client's serialized identity; see Identity.Creator.
	Creator []byte
	// Time is the client's time of the transaction, now unless set.
	Time time.Time
	// PeerMSP is the organisation of the peer that simulates. Empty sees all
	// private data.
	PeerMSP string
	// TxID is made up unless set.
	TxID string
	// Channel is "calls" unless set.
	Channel string
	// Fault, when set, is called before every access to the ledger with the
	// stub's method and the key. Its error is what the chaincode gets; it may
	// panic.
	Fault func(method, key string) error
}

type writeKind int

const (
	dataWrite writeKind = iota
	metadataWrite
)

// target is what at most one write of a transaction goes to.
type target struct {
	collection, key string
	kind            writeKind
}

// Write is one write of a transaction. An empty Value deletes.
type Write struct {
	// Chaincode is empty for the transaction's own, else the name of the one that was
	// called.
	Chaincode string
	// Collection is empty for public state.
	Collection string
	Key        string
	Value      []byte
	// Purge is set for PurgePrivateData.
	Purge bool

	kind writeKind
}

type hashedKey struct {
	collection string
	hash       keyHash
}

// Tx is one simulated transaction, or its part in a chaincode that another one
// called. It is for one goroutine.
type Tx struct {
	*simulation
	world *World
	call  Call

	reads        map[string]*Version
	privateReads map[hashedKey]*Version
	scans        []*scan
	writes       map[target]Write
	batch        map[target]Write // nil outside a write batch
	event        *peer.ChaincodeEvent
	running      bool
}

// simulation is what the parts of one transaction share: a peer has one simulator
// for them, whose rules on queries and writes hold for all.
type simulation struct {
	parts                        map[string]*Tx // by chaincode
	wrote, paged, queriedPrivate bool
}

var _ shim.ChaincodeStubInterface = (*Tx)(nil)

// Writes are the transaction's writes, private ones too, in order of chaincode (its
// own first), collection and key.
func (t *Tx) Writes() []Write {
	all := t.ownWrites()
	for _, name := range t.others() {
		for _, write := range t.parts[name].ownWrites() {
			write.Chaincode = name
			all = append(all, write)
		}
	}
	return all
}

func (t *Tx) ownWrites() []Write {
	all := make([]Write, 0, len(t.writes))
	for _, write := range t.writes {
		all = append(all, write)
	}
	slices.SortFunc(all, func(a, b Write) int {
		return cmp.Or(cmp.Compare(a.Collection, b.Collection), cmp.Compare(a.Key, b.Key), cmp.Compare(a.kind, b.kind))
	})
	return all
}

// others are the other chaincodes with a part in the transaction, in order.
func (t *Tx) others() []string {
	var names []string
	for name := range t.parts {
		if name != t.world.name {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// In is the transaction's part in another chaincode; nil where it has none.
func (t *Tx) In(chaincode string) *Tx { return t.parts[chaincode] }

// Reads are the public keys the transaction read by name in its own chaincode, in
// order; for those of another use In.
func (t *Tx) Reads() []string {
	keys := make([]string, 0, len(t.reads))
	for key := range t.reads {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// Scanned reports whether the transaction ran a range query, in any chaincode: what
// others write within the range then makes it a phantom.
func (t *Tx) Scanned() bool {
	for _, part := range t.parts {
		if len(part.scans) > 0 {
			return true
		}
	}
	return false
}

// Event is the last event set, nil where there is none. Those of called chaincodes
// are lost, as on a peer.
func (t *Tx) Event() *peer.ChaincodeEvent { return t.event }

// Published is every piece of the transaction that enters the block, where all
// members of the channel can read it for ever: arguments, creator, public reads
// and writes, names of collections, hashes, event and response. Of a chaincode that
// was called it is the reads and writes, not arguments and response.
func (t *Tx) Published(response *peer.Response) [][]byte {
	out := [][]byte{t.call.Creator, []byte(response.GetMessage()), response.GetPayload()}
	for _, argument := range t.call.Args {
		out = append(out, []byte(argument))
	}
	for _, part := range t.parts {
		out = append(out, part.published()...)
	}
	if t.event != nil {
		out = append(out, []byte(t.event.GetEventName()), t.event.GetPayload())
	}
	return out
}

// published is the part's reads and writes, as the block holds them.
func (t *Tx) published() [][]byte {
	out := [][]byte{[]byte(t.world.name)}
	for key := range t.reads {
		out = append(out, []byte(key))
	}
	for key := range t.privateReads {
		out = append(out, []byte(key.collection), bytes.Clone(key.hash[:]))
	}
	for _, scan := range t.scans {
		out = append(out, []byte(scan.start), []byte(scan.end))
		for _, seen := range scan.seen {
			out = append(out, []byte(seen.key))
		}
	}
	for _, write := range t.writes {
		if write.Collection == "" {
			out = append(out, []byte(write.Key), write.Value)
			continue
		}
		key, value := sha256.Sum256([]byte(write.Key)), sha256.Sum256(write.Value)
		out = append(out, []byte(write.Collection), key[:], value[:])
	}
	return out
}

// run invokes a chaincode and sends what it left in a write batch.
func (t *Tx) run(chaincode shim.Chaincode) *peer.Response {
	t.running = true
	defer func() { t.running = false }()
	response := chaincode.Invoke(t)
	if err := t.FinishWriteBatch(); err != nil {
		return shim.Error("failed send batch: " + err.Error())
	}
	return response
}

// access is the common beginning of everything that goes to the peer.
func (t *Tx) access(method string, keys ...string) error {
	for _, key := range keys {
		if !utf8.ValidString(key) {
			panic(fmt.Sprintf("failed to marshal message: a key of %s contains invalid UTF-8", method))
		}
		if t.call.Fault != nil {
			if err := t.call.Fault(method, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// GetArgs returns the arguments, the function first.
func (t *Tx) GetArgs() [][]byte {
	args := make([][]byte, len(t.call.Args))
	for i, argument := range t.call.Args {
		args[i] = []byte(argument)
	}
	return args
}

// GetStringArgs returns the arguments, the function first.
func (t *Tx) GetStringArgs() []string { return slices.Clone(t.call.Args) }

// GetFunctionAndParameters splits the arguments.
func (t *Tx) GetFunctionAndParameters() (function string, parameters []string) {
	if len(t.call.Args) == 0 {
		return "", []string{}
	}
	return t.call.Args[0], slices.Clone(t.call.Args[1:])
}

// GetArgsSlice returns the arguments joined.
func (t *Tx) GetArgsSlice() ([]byte, error) { return bytes.Join(t.GetArgs(), nil), nil }

// GetTxID returns the transaction's id.
func (t *Tx) GetTxID() string { return t.call.TxID }

// GetChannelID returns the channel's name.
func (t *Tx) GetChannelID() string { return t.call.Channel }

// InvokeChaincode calls another chaincode of the same channel, deployed with
// World.Deploy, as the same client: what it reads is validated, and what it writes
// applied, with this transaction, whatever it answers; called again it sees none of
// its writes. As on a peer a chaincode can call neither itself nor one that is
// waiting for it: a transaction runs in a chaincode once at a time.
func (t *Tx) InvokeChaincode(name string, args [][]byte, channel string) *peer.Response {
	if channel != "" && channel != t.call.Channel {
		return shim.Error("calls to other channels are not modelled")
	}
	if name == t.world.name || t.parts[name] != nil && t.parts[name].running {
		return shim.Error(fmt.Sprintf("INVOKE_CHAINCODE failed: transaction ID: %s: failed to execute transaction %s: txid: %s(%s) exists", t.call.TxID, t.call.TxID, t.call.TxID, t.call.Channel))
	}
	t.world.mu.Lock()
	other, found := t.world.deployed[name]
	t.world.mu.Unlock()
	if !found {
		return shim.Error(fmt.Sprintf("INVOKE_CHAINCODE failed: transaction ID: %s: could not get chaincode %s: no such chaincode is defined on the channel", t.call.TxID, name))
	}
	part := t.parts[name]
	if part == nil {
		part = other.world.part(t.call, t.simulation)
	}
	part.call.Args = make([]string, len(args))
	for i, arg := range args {
		part.call.Args[i] = string(arg)
	}
	return part.run(other.chaincode)
}

// GetState reads a committed value and notes its version.
func (t *Tx) GetState(key string) ([]byte, error) {
	if err := t.access("GetState", key); err != nil {
		return nil, err
	}
	t.world.mu.Lock()
	defer t.world.mu.Unlock()
	return t.read(key), nil
}

// GetMultipleStates reads several committed values in one message.
func (t *Tx) GetMultipleStates(keys ...string) ([][]byte, error) {
	if err := t.access("GetMultipleStates", keys...); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, nil
	}
	t.world.mu.Lock()
	defer t.world.mu.Unlock()
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i] = t.read(key)
	}
	return values, nil
}

func (t *Tx) read(key string) []byte {
	t.reads[key] = t.world.public.version(key)
	return bytes.Clone(t.world.public.entries[key].bytes)
}

// PutState writes a value when the transaction commits.
func (t *Tx) PutState(key string, value []byte) error {
	return t.write("PutState", Write{Key: key, Value: bytes.Clone(value)})
}

// DelState deletes a key when the transaction commits.
func (t *Tx) DelState(key string) error { return t.write("DelState", Write{Key: key}) }

// SetStateValidationParameter sets a key's endorsement policy.
func (t *Tx) SetStateValidationParameter(key string, policy []byte) error {
	return t.write("SetStateValidationParameter", Write{Key: key, Value: bytes.Clone(policy), kind: metadataWrite})
}

// GetStateValidationParameter reads a key's committed endorsement policy.
func (t *Tx) GetStateValidationParameter(key string) ([]byte, error) {
	if err := t.access("GetStateValidationParameter", key); err != nil {
		return nil, err
	}
	t.world.mu.Lock()
	defer t.world.mu.Unlock()
	t.reads[key] = t.world.public.version(key)
	return bytes.Clone(t.world.metadata[key]), nil
}

// write adds to the write set, or to the batch.
func (t *Tx) write(method string, write Write) error {
	if write.Key == "" {
		return errors.New("key must not be an empty string")
	}
	if t.batch != nil {
		t.batch[write.target()] = write
		return nil
	}
	return t.send(method, write)
}

func (t *Tx) send(method string, write Write) error {
	if err := t.access(method, write.Key); err != nil {
		return err
	}
	switch {
	case t.paged:
		return fmt.Errorf("txid [%s]: the transaction has already performed a paginated query, writes are not allowed", t.call.TxID)
	case t.queriedPrivate:
		return fmt.Errorf("txid [%s]: the transaction has already performed queries on private data, writes are not allowed", t.call.TxID)
	}
	if write.Collection != "" {
		t.world.mu.Lock()
		_, err := t.world.collectionFor(write.Collection)
		t.world.mu.Unlock()
		if err != nil {
			return err
		}
	}
	t.wrote = true
	t.writes[write.target()] = write
	return nil
}

func (w Write) target() target { return target{collection: w.Collection, key: w.Key, kind: w.kind} }

// StartWriteBatch collects writes until FinishWriteBatch.
func (t *Tx) StartWriteBatch() {
	if t.batch == nil {
		t.batch = map[target]Write{}
	}
}

// FinishWriteBatch sends the collected writes; their errors show here.
func (t *Tx) FinishWriteBatch() error {
	batch := t.batch
	t.batch = nil
	for _, write := range batch {
		if err := t.send("FinishWriteBatch", write); err != nil {
			return fmt.Errorf("failed send batch: %w", err)
		}
	}
	return nil
}

// GetPrivateData reads a private value on a member's peer. Elsewhere a value
// that exists is an error: its hash is known and it is not.
func (t *Tx) GetPrivateData(collection, key string) ([]byte, error) {
	if err := t.access("GetPrivateData", key); err != nil {
		return nil, err
	}
	t.world.mu.Lock()
	defer t.world.mu.Unlock()
	return t.readPrivate(collection, key)
}

// GetMultiplePrivateData reads several private values in one message. As the
// peer does, it takes a value it does not hold for none.
func (t *Tx) GetMultiplePrivateData(collection string, keys ...string) ([][]byte, error) {
	if err := t.access("GetMultiplePrivateData", keys...); err != nil {
		return nil, err
	}
	t.world.mu.Lock()
	defer t.world.mu.Unlock()
	values := make([][]byte, len(keys))
	for i, key := range keys {
		value, err := t.readPrivate(collection, key)
		if err != nil && !errors.Is(err, errNotHere) {
			return nil, err
		}
		values[i] = value
	}
	return values, nil
}

var errNotHere = errors.New("private data matching public hash version is not available")

func (t *Tx) readPrivate(name, key string) ([]byte, error) {
	c, err := t.world.collectionFor(name)
	if err != nil {
		return nil, err
	}
	hash := hashedKey{collection: name, hash: sha256.Sum256([]byte(key))}
	version := c.version(hash.hash)
	if version != nil && !t.holds(c) {
		return nil, errNotHere
	}
	t.privateReads[hash] = version
	return bytes.Clone(c.values.entries[key].bytes), nil
}

func (t *Tx) holds(c *collection) bool { return t.call.PeerMSP == "" || c.members[t.call.PeerMSP] }

// GetPrivateDataHash reads the SHA-256 of a private value, which every peer has.
func (t *Tx) GetPrivateDataHash(collection, key string) ([]byte, error) {
	if err := t.access("GetPrivateDataHash", key); err != nil {
		return nil, err
	}
	t.world.mu.Lock()
	defer t.world.mu.Unlock()
	c, err := t.world.collectionFor(collection)
	if err != nil {
		return nil, err
	}
	hash := hashedKey{collection: collection, hash: sha256.Sum256([]byte(key))}
	entry, found := c.hashes[hash.hash]
	t.privateReads[hash] = c.version(hash.hash)
	if !found {
		return nil, nil
	}
	return entry.hash[:], nil
}

// PutPrivateData writes a private value when the transaction commits. Any
// organisation may write to any collection; the collection's policy decides at
// validation, which is not modelled.
func (t *Tx) PutPrivateData(collection, key string, value []byte) error {
	if collection == "" {
		return errors.New("collection must not be an empty string")
	}
	return t.write("PutPrivateData", Write{Collection: collection, Key: key, Value: bytes.Clone(value)})
}

// DelPrivateData deletes a private value when the transaction commits.
func (t *Tx) DelPrivateData(collection, key string) error {
	if collection == "" {
		return errors.New("collection must not be an empty string")
	}
	return t.write("DelPrivateData", Write{Collection: collection, Key: key})
}

// PurgePrivateData deletes a private value and its past when the transaction
// commits.
func (t *Tx) PurgePrivateData(collection, key string) error {
	if collection == "" {
		return errors.New("collection must not be an empty string")
	}
	return t.write("PurgePrivateData", Write{Collection: collection, Key: key, Purge: true})
}

// SetPrivateDataValidationParameter sets a private key's endorsement policy.
func (t *Tx) SetPrivateDataValidationParameter(collection, key string, policy []byte) error {
	return t.write("SetPrivateDataValidationParameter", Write{Collection: collection, Key: key, Value: bytes.Clone(policy), kind: metadataWrite})
}

// GetPrivateDataValidationParameter reads a private key's committed endorsement
// policy.
func (t *Tx) GetPrivateDataValidationParameter(collection, key string) ([]byte, error) {
	if err := t.access("GetPrivateDataValidationParameter", key); err != nil {
		return nil, err
	}
	t.world.mu.Lock()
	defer t.world.mu.Unlock()
	return bytes.Clone(t.world.metadata[collection+"\x00"+key]), nil
}

// GetHistoryForKey lists a key's committed writes, the newest first.
func (t *Tx) GetHistoryForKey(key string) (shim.HistoryQueryIteratorInterface, error) {
	if err := t.access("GetHistoryForKey", key); err != nil {
		return nil, err
	}
	t.world.mu.Lock()
	defer t.world.mu.Unlock()
	past := slices.Clone(t.world.history[key])
	slices.Reverse(past)
	return &historyIterator{rest: past}, nil
}

// GetCreator returns the client's serialized identity.
func (t *Tx) GetCreator() ([]byte, error) { return t.call.Creator, nil }

// GetTransient returns the transient data.
func (t *Tx) GetTransient() (map[string][]byte, error) { return t.call.Transient, nil }

// GetBinding returns bytes that differ from transaction to transaction.
func (t *Tx) GetBinding() ([]byte, error) {
	digest := sha256.Sum256(append([]byte(t.call.TxID), t.call.Creator...))
	return digest[:], nil
}

// GetDecorations returns none.
func (t *Tx) GetDecorations() map[string][]byte { return nil }

// GetSignedProposal returns an empty one.
func (t *Tx) GetSignedProposal() (*peer.SignedProposal, error) { return &peer.SignedProposal{}, nil }

// GetTxTimestamp returns the client's time.
func (t *Tx) GetTxTimestamp() (*timestamppb.Timestamp, error) {
	if err := t.access("GetTxTimestamp", ""); err != nil {
		return nil, err
	}
	return timestamppb.New(t.call.Time), nil
}

// SetEvent sets the transaction's one event.
func (t *Tx) SetEvent(name string, payload []byte) error {
	if name == "" {
		return errors.New("event name can not be empty string")
	}
	t.event = &peer.ChaincodeEvent{EventName: name, Payload: bytes.Clone(payload), TxId: t.call.TxID}
	return nil
}

type historyIterator struct {
	rest []*queryresult.KeyModification
}

func (i *historyIterator) HasNext() bool { return len(i.rest) > 0 }
func (i *historyIterator) Close() error  { return nil }

func (i *historyIterator) Next() (*queryresult.KeyModification, error) {
	if len(i.rest) == 0 {
		return nil, errors.New("no such key")
	}
	next := i.rest[0]
	i.rest = i.rest[1:]
	return next, nil
}
