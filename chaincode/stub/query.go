package stub

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/queryresult"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
)

const (
	// firstSimpleKey stands for an empty start key, which excludes composite keys.
	firstSimpleKey = "\x01"
	// lastRune ends the range of a partial composite key.
	lastRune = string(utf8.MaxRune)
)

// scan is what one range query saw.
type scan struct {
	start, end string
	limit      int
	exhausted  bool // the caller saw the end
	seen       []seenKey
}

type seenKey struct {
	key     string
	version Version
}

// holds reports whether the query would see the same again. Where the caller
// stopped early, only what it saw counts.
func (s *scan) holds(state *space) bool {
	keys := state.between(s.start, s.end)
	if s.limit > 0 && len(keys) > s.limit {
		keys = keys[:s.limit]
	}
	if len(keys) < len(s.seen) || s.exhausted && len(keys) != len(s.seen) {
		return false
	}
	for i, seen := range s.seen {
		if keys[i] != seen.key || *state.version(seen.key) != seen.version {
			return false
		}
	}
	return true
}

// iterator walks a range as it was when the query began.
type iterator struct {
	rest   []*queryresult.KV
	seen   []seenKey
	scan   *scan // nil for private data, whose ranges are not validated
	closed bool
}

// HasNext reports whether there is another result.
func (i *iterator) HasNext() bool {
	if i.scan != nil && len(i.rest) == 0 {
		i.scan.exhausted = true
	}
	return len(i.rest) > 0
}

// Next returns the next result.
func (i *iterator) Next() (*queryresult.KV, error) {
	if i.closed {
		return nil, errors.New("query iterator not found")
	}
	if len(i.rest) == 0 {
		return nil, errors.New("no such key")
	}
	next := i.rest[0]
	i.rest = i.rest[1:]
	if i.scan != nil {
		i.scan.seen = append(i.scan.seen, i.seen[0])
		i.seen = i.seen[1:]
	}
	return next, nil
}

// Close ends the query.
func (i *iterator) Close() error {
	i.closed = true
	return nil
}

// query runs a range query over public state and answers where the next page
// would begin. The world is locked by the caller.
func (t *Tx) query(start, end string, limit int) (*iterator, string) {
	keys := t.world.public.between(start, end)
	next := ""
	if limit > 0 && len(keys) > limit {
		next = keys[limit]
		keys = keys[:limit]
	}
	it := &iterator{scan: &scan{start: start, end: end, limit: limit}}
	for _, key := range keys {
		entry := t.world.public.entries[key]
		it.rest = append(it.rest, &queryresult.KV{Namespace: t.world.name, Key: key, Value: bytes.Clone(entry.bytes)})
		it.seen = append(it.seen, seenKey{key: key, version: entry.version})
	}
	t.scans = append(t.scans, it.scan)
	return it, next
}

func (t *Tx) queryAll(start, end string) (shim.StateQueryIteratorInterface, error) {
	if err := t.access("GetStateByRange", start, end); err != nil {
		return nil, err
	}
	t.world.mu.Lock()
	defer t.world.mu.Unlock()
	it, _ := t.query(start, end, t.world.QueryLimit)
	return it, nil
}

func (t *Tx) queryPage(start, end string, pageSize int32, bookmark string) (shim.StateQueryIteratorInterface, *peer.QueryResponseMetadata, error) {
	if err := t.access("GetStateByRangeWithPagination", start, end, bookmark); err != nil {
		return nil, nil, err
	}
	if t.wrote {
		return nil, nil, fmt.Errorf("txid [%s]: paginated queries are supported only in a read-only transaction", t.call.TxID)
	}
	t.world.mu.Lock()
	defer t.world.mu.Unlock()
	if pageSize == 0 && bookmark == "" { // the peer takes this for no paging
		it, _ := t.query(start, end, t.world.QueryLimit)
		return it, &peer.QueryResponseMetadata{}, nil
	}
	t.paged = true
	if bookmark != "" {
		start = bookmark // the peer does not check that it lies in the range
	}
	it, next := t.query(start, end, min(int(pageSize), t.world.QueryLimit))
	return it, &peer.QueryResponseMetadata{FetchedRecordsCount: int32(len(it.rest)), Bookmark: next}, nil //nolint:gosec // at most QueryLimit
}

// simpleRange refuses composite keys as bounds, as the shim does.
func simpleRange(start, end string) (string, error) {
	for _, key := range []string{start, end} {
		if strings.HasPrefix(key, "\x00") {
			return "", fmt.Errorf("first character of the key [%s] contains a null character which is not allowed", key)
		}
	}
	if start == "" {
		return firstSimpleKey, nil
	}
	return start, nil
}

// GetStateByRange queries simple keys.
func (t *Tx) GetStateByRange(start, end string) (shim.StateQueryIteratorInterface, error) {
	start, err := simpleRange(start, end)
	if err != nil {
		return nil, err
	}
	return t.queryAll(start, end)
}

// GetStateByRangeWithPagination queries a page of simple keys.
func (t *Tx) GetStateByRangeWithPagination(start, end string, pageSize int32, bookmark string) (shim.StateQueryIteratorInterface, *peer.QueryResponseMetadata, error) {
	start, err := simpleRange(start, end)
	if err != nil {
		return nil, nil, err
	}
	return t.queryPage(start, end, pageSize, bookmark)
}

// GetStateByPartialCompositeKey queries the composite keys that begin with the
// given parts.
func (t *Tx) GetStateByPartialCompositeKey(objectType string, parts []string) (shim.StateQueryIteratorInterface, error) {
	start, err := shim.CreateCompositeKey(objectType, parts)
	if err != nil {
		return nil, err
	}
	return t.queryAll(start, start+lastRune)
}

// GetStateByPartialCompositeKeyWithPagination queries a page of the composite
// keys that begin with the given parts.
func (t *Tx) GetStateByPartialCompositeKeyWithPagination(objectType string, parts []string, pageSize int32, bookmark string) (shim.StateQueryIteratorInterface, *peer.QueryResponseMetadata, error) {
	start, err := shim.CreateCompositeKey(objectType, parts)
	if err != nil {
		return nil, nil, err
	}
	return t.queryPage(start, start+lastRune, pageSize, bookmark)
}

// GetAllStatesCompositeKeyWithPagination queries a page of all composite keys.
func (t *Tx) GetAllStatesCompositeKeyWithPagination(pageSize int32, bookmark string) (shim.StateQueryIteratorInterface, *peer.QueryResponseMetadata, error) {
	return t.queryPage("\x00", "\x00"+lastRune, pageSize, bookmark)
}

// CreateCompositeKey joins parts to a key.
func (t *Tx) CreateCompositeKey(objectType string, parts []string) (string, error) {
	return shim.CreateCompositeKey(objectType, parts)
}

// SplitCompositeKey takes a composite key apart.
func (t *Tx) SplitCompositeKey(key string) (string, []string, error) {
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(key, "\x00"), "\x00"), "\x00")
	return parts[0], parts[1:], nil
}

// errRich is what LevelDB answers to a rich query.
var errRich = errors.New("ExecuteQuery not supported for leveldb")

// GetQueryResult answers that LevelDB has no rich queries.
func (t *Tx) GetQueryResult(string) (shim.StateQueryIteratorInterface, error) { return nil, errRich }

// GetQueryResultWithPagination answers that LevelDB has no rich queries.
func (t *Tx) GetQueryResultWithPagination(string, int32, string) (shim.StateQueryIteratorInterface, *peer.QueryResponseMetadata, error) {
	return nil, nil, errRich
}

// GetPrivateDataQueryResult answers that LevelDB has no rich queries.
func (t *Tx) GetPrivateDataQueryResult(string, string) (shim.StateQueryIteratorInterface, error) {
	return nil, errRich
}

// GetPrivateDataByRange queries a collection's simple keys, in read-only
// transactions.
func (t *Tx) GetPrivateDataByRange(collection, start, end string) (shim.StateQueryIteratorInterface, error) {
	start, err := simpleRange(start, end)
	if err != nil {
		return nil, err
	}
	return t.queryPrivate(collection, start, end)
}

// GetPrivateDataByPartialCompositeKey queries a collection's composite keys that
// begin with the given parts, in read-only transactions.
func (t *Tx) GetPrivateDataByPartialCompositeKey(collection, objectType string, parts []string) (shim.StateQueryIteratorInterface, error) {
	start, err := shim.CreateCompositeKey(objectType, parts)
	if err != nil {
		return nil, err
	}
	return t.queryPrivate(collection, start, start+lastRune)
}

func (t *Tx) queryPrivate(name, start, end string) (shim.StateQueryIteratorInterface, error) {
	if err := t.access("GetPrivateDataByRange", start, end); err != nil {
		return nil, err
	}
	if t.wrote {
		return nil, fmt.Errorf("txid [%s]: queries on private data are supported only in a read-only transaction", t.call.TxID)
	}
	t.world.mu.Lock()
	defer t.world.mu.Unlock()
	c, err := t.world.collectionFor(name)
	if err != nil {
		return nil, err
	}
	t.queriedPrivate = true
	it := &iterator{}
	if !t.holds(c) {
		return it, nil
	}
	for _, key := range c.values.between(start, end) {
		if len(it.rest) == t.world.QueryLimit {
			break
		}
		it.rest = append(it.rest, &queryresult.KV{Namespace: t.world.name, Key: key, Value: bytes.Clone(c.values.entries[key].bytes)})
	}
	return it, nil
}
