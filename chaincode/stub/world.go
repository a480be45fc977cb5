package stub

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/queryresult"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// defaultQueryLimit is the peer's ledger.state.totalQueryLimit.
const defaultQueryLimit = 100_000

// implicitPrefix begins the name of an organisation's implicit collection.
const implicitPrefix = "_implicit_org_"

// Version is where a value was committed: block and transaction within it.
type Version struct {
	Block uint64
	Tx    uint64
}

type keyHash = [sha256.Size]byte

type value struct {
	bytes   []byte
	version Version
}

type hashed struct {
	hash    keyHash
	version Version
}

// collection is private data: hashes on every peer, values on its members'.
type collection struct {
	members map[string]bool
	hashes  map[keyHash]hashed
	values  space
}

// space is an ordered set of keys with their values.
type space struct {
	entries map[string]value
	keys    []string // sorted but for its tail
	sorted  int
}

// standardName is the name of the chaincode that a world is made for.
const standardName = "callseal"

// World is the committed state of one chaincode on a channel. It is safe for
// concurrent use.
type World struct {
	// QueryLimit is where range scans stop silently, 100,000 unless changed.
	QueryLimit int

	*channel
	name        string
	public      space
	metadata    map[string][]byte // validation parameters
	collections map[string]*collection
	history     map[string][]*queryresult.KeyModification
}

// channel is what the chaincodes of one channel share. Its lock is the only one:
// a block changes the state of all of them at once.
type channel struct {
	mu        sync.Mutex
	height    uint64
	committed map[string]bool
	issued    uint64
	msps      []string
	deployed  map[string]deployment
}

// deployment is a chaincode that others can call, with its own state.
type deployment struct {
	chaincode shim.Chaincode
	world     *World
}

// NewWorld makes the empty ledger of a channel with the given organisations,
// each of which has its implicit collection, for one chaincode.
func NewWorld(msps ...string) *World {
	return newWorld(&channel{committed: map[string]bool{}, msps: msps, deployed: map[string]deployment{}}, standardName)
}

func newWorld(on *channel, name string) *World {
	w := &World{
		QueryLimit: defaultQueryLimit, channel: on, name: name, public: newSpace(), metadata: map[string][]byte{},
		collections: map[string]*collection{}, history: map[string][]*queryresult.KeyModification{},
	}
	for _, msp := range on.msps {
		w.DefineCollection(implicitPrefix+msp, msp)
	}
	return w
}

// Deploy adds another chaincode to the channel, which the others can call by name,
// and answers its state. Its transactions and theirs share blocks and transaction
// ids. Deployed again under its name it is upgraded: the state stays.
func (w *World) Deploy(name string, chaincode shim.Chaincode) *World {
	w.mu.Lock()
	before, found := w.deployed[name]
	w.mu.Unlock()
	world := before.world
	if !found {
		world = newWorld(w.channel, name)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deployed[name] = deployment{chaincode: chaincode, world: world}
	return world
}

// DefineCollection adds a private data collection with its members.
func (w *World) DefineCollection(name string, members ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &collection{members: map[string]bool{}, hashes: map[keyHash]hashed{}, values: newSpace()}
	for _, member := range members {
		c.members[member] = true
	}
	w.collections[name] = c
}

// Begin starts a transaction.
func (w *World) Begin(call Call) *Tx {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.issued++
	if call.TxID == "" {
		call.TxID = fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "tx %s %d", w.name, w.issued)))
	}
	if call.Channel == "" {
		call.Channel = "calls"
	}
	if call.Time.IsZero() {
		call.Time = time.Now()
	}
	return w.part(call, &simulation{parts: map[string]*Tx{}})
}

// part is a simulation's part in this chaincode.
func (w *World) part(call Call, of *simulation) *Tx {
	tx := &Tx{world: w, call: call, simulation: of, reads: map[string]*Version{}, privateReads: map[hashedKey]*Version{}, writes: map[target]Write{}}
	of.parts[w.name] = tx
	return tx
}

// Invoke simulates one transaction, as an endorsing peer does. Commit it
// afterwards to keep its writes; a peer would not endorse a failed one.
func (w *World) Invoke(chaincode shim.Chaincode, call Call) (*peer.Response, *Tx) {
	tx := w.Begin(call)
	return tx.run(chaincode), tx
}

// Submit simulates a transaction and, where it succeeded, commits it in a block
// of its own.
func (w *World) Submit(chaincode shim.Chaincode, call Call) (*peer.Response, peer.TxValidationCode) {
	response, tx := w.Invoke(chaincode, call)
	if response.GetStatus() >= shim.ERRORTHRESHOLD {
		return response, peer.TxValidationCode_NOT_VALIDATED
	}
	return response, w.Commit(tx)[0]
}

// Commit validates the transactions in order, as one block, and applies the
// writes of those that are valid, in all chaincodes they wrote to.
func (w *World) Commit(block ...*Tx) []peer.TxValidationCode {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.height++
	codes := make([]peer.TxValidationCode, len(block))
	for i, tx := range block {
		codes[i] = w.validate(tx)
		if codes[i] != peer.TxValidationCode_VALID {
			continue
		}
		w.committed[tx.call.TxID] = true
		for _, part := range tx.parts {
			part.world.apply(part, Version{Block: w.height, Tx: uint64(i)})
		}
	}
	return codes
}

// Get is the committed value of a public key, nil where there is none.
func (w *World) Get(key string) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.public.entries[key].bytes
}

// Keys are the public keys in order.
func (w *World) Keys() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.public.between("", ""))
}

// Height is the number of blocks committed.
func (w *World) Height() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.height
}

// validate checks all that a transaction read, whichever chaincode read it.
func (w *World) validate(tx *Tx) peer.TxValidationCode {
	if w.committed[tx.call.TxID] {
		return peer.TxValidationCode_DUPLICATE_TXID
	}
	for _, name := range slices.Sorted(maps.Keys(tx.parts)) {
		part := tx.parts[name]
		if code := part.world.validatePart(part); code != peer.TxValidationCode_VALID {
			return code
		}
	}
	return peer.TxValidationCode_VALID
}

func (w *World) validatePart(tx *Tx) peer.TxValidationCode {
	for key, read := range tx.reads {
		if !sameVersion(read, w.public.version(key)) {
			return peer.TxValidationCode_MVCC_READ_CONFLICT
		}
	}
	for _, scan := range tx.scans {
		if !scan.holds(&w.public) {
			return peer.TxValidationCode_PHANTOM_READ_CONFLICT
		}
	}
	for key, read := range tx.privateReads {
		if !sameVersion(read, w.collections[key.collection].version(key.hash)) {
			return peer.TxValidationCode_MVCC_READ_CONFLICT
		}
	}
	return peer.TxValidationCode_VALID
}

func (w *World) apply(tx *Tx, at Version) {
	for _, write := range tx.writes {
		switch {
		case write.kind == metadataWrite && write.Collection == "":
			w.metadata[write.Key] = write.Value
		case write.kind == metadataWrite:
			w.metadata[write.Collection+"\x00"+write.Key] = write.Value
		case write.Collection != "":
			w.collections[write.Collection].put(write.Key, write.Value, at)
		default:
			w.public.put(write.Key, write.Value, at)
			w.history[write.Key] = append(w.history[write.Key], &queryresult.KeyModification{
				TxId: tx.call.TxID, Value: write.Value, Timestamp: timestamppb.New(tx.call.Time), IsDelete: len(write.Value) == 0,
			})
		}
	}
}

func (c *collection) version(hash keyHash) *Version {
	if entry, found := c.hashes[hash]; found {
		return &entry.version
	}
	return nil
}

func (c *collection) put(key string, bytes []byte, at Version) {
	c.values.put(key, bytes, at)
	if len(bytes) == 0 {
		delete(c.hashes, sha256.Sum256([]byte(key)))
		return
	}
	c.hashes[sha256.Sum256([]byte(key))] = hashed{hash: sha256.Sum256(bytes), version: at}
}

func newSpace() space { return space{entries: map[string]value{}} }

func (s *space) version(key string) *Version {
	if entry, found := s.entries[key]; found {
		return &entry.version
	}
	return nil
}

func (s *space) put(key string, bytes []byte, at Version) {
	if len(bytes) == 0 {
		delete(s.entries, key)
		return
	}
	if _, found := s.entries[key]; !found {
		s.keys = append(s.keys, key)
	}
	s.entries[key] = value{bytes: bytes, version: at}
}

// between are the keys from start (included) to end (excluded; empty for all),
// in order. The slice is valid until the next put.
func (s *space) between(start, end string) []string {
	if s.sorted != len(s.keys) {
		slices.Sort(s.keys)
		s.keys = slices.Compact(s.keys)
		s.sorted = len(s.keys)
	}
	if len(s.keys) != len(s.entries) { // deletions leave keys behind
		s.keys = slices.DeleteFunc(s.keys, func(key string) bool { _, found := s.entries[key]; return !found })
		s.sorted = len(s.keys)
	}
	from, _ := slices.BinarySearch(s.keys, start)
	to := len(s.keys)
	if end != "" {
		to, _ = slices.BinarySearch(s.keys, end)
	}
	if to < from {
		to = from
	}
	return s.keys[from:to]
}

// sameVersion compares what was read with what is there; nil is no value.
func sameVersion(a, b *Version) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// collectionFor finds a collection or answers as a peer does.
func (w *World) collectionFor(name string) (*collection, error) {
	if name == "" {
		return nil, fmt.Errorf("collection must not be an empty string")
	}
	c, found := w.collections[name]
	if !found {
		return nil, fmt.Errorf("collection [%s] is not defined", strings.ToValidUTF8(name, "?"))
	}
	return c, nil
}
