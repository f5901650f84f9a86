package tega

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// NoVersion stands where there is no version: that of an ephemeral node, of the top, and what [IfAbsent] expects.
const NoVersion int64 = -1

// Node is a value with its version.
type Node struct {
	Path Path
	// Value is JSON.
	Value json.RawMessage
	// Version of an ephemeral node and of the top is NoVersion.
	Version   int64
	Ephemeral bool
}

// Decode reads the value. Into an any, numbers come as [json.Number], for a float64 can't hold them all.
func (n Node) Decode(into any) error { return decode(n.Value, n.Path, into) }

func decode(value json.RawMessage, path Path, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		e := fail(ErrBadRequest, "%s: the value isn't of the type that is wanted: %v", path, err)
		e.Path, e.cause = path, err
		return e
	}
	return nil
}

// Receipt is what a write came to.
type Receipt struct {
	// Versions that the roots have by it; empty where only ephemeral nodes changed.
	Versions map[string]int64 `json:"versions"`
	// Position is the commit's place among all.
	Position uint64 `json:"position"`
	// Durable: it's on the disk.
	Durable bool `json:"durable"`
	// Applied: the server that was asked shows it already.
	Applied bool `json:"applied"`
}

// Version is that of the one root that was written; NoVersion where it isn't one.
func (r Receipt) Version() int64 {
	if len(r.Versions) == 1 {
		for _, version := range r.Versions {
			return version
		}
	}
	return NoVersion
}

// Reader is what reads: a [Client], or a [Tx], which sees its own writes.
type Reader interface {
	Get(ctx context.Context, path Path, opts ...GetOption) (Node, error)
}

// Get reads a value of a type. Numbers in an any come as [json.Number].
func Get[T any](ctx context.Context, from Reader, path Path, opts ...GetOption) (T, error) {
	var value T
	node, err := from.Get(ctx, path, opts...)
	if err == nil {
		err = node.Decode(&value)
	}
	return value, err
}

// GetOr is Get, with a value for where nothing is.
func GetOr[T any](ctx context.Context, from Reader, path Path, or T, opts ...GetOption) (T, error) {
	value, err := Get[T](ctx, from, path, opts...)
	if errors.Is(err, ErrNotFound) {
		return or, nil
	}
	return value, err
}

// Get reads a node: what the server has, which on a replica may be old, unless [Fresh] says otherwise.
func (c *Client) Get(ctx context.Context, path Path, opts ...GetOption) (Node, error) {
	word, err := path.wire()
	if err != nil {
		return Node{}, err
	}
	body, _, err := c.do(ctx, &request{mode: reading, kind: "GET", word: word, body: getBody(opts, false)})
	if err != nil {
		return Node{}, err
	}
	var told struct {
		Value     json.RawMessage
		Version   *int64
		Ephemeral bool
	}
	if err := json.Unmarshal(body, &told); err != nil {
		return Node{}, unreadable("GET", word, err)
	}
	node := Node{Path: path, Value: told.Value, Version: NoVersion, Ephemeral: told.Ephemeral}
	if told.Version != nil {
		node.Version = *told.Version
	}
	return node, nil
}

func getBody(opts []GetOption, regex bool) []byte {
	if len(opts) == 0 && !regex {
		return []byte("{}")
	}
	var o getOptions
	for _, opt := range opts {
		opt(&o)
	}
	body := append([]byte(`{"regex":`), strconv.FormatBool(regex)...)
	if o.version != nil {
		body = strconv.AppendInt(append(body, `,"version":`...), *o.version, 10)
	}
	if o.fresh {
		body = append(body, `,"fresh":true`...)
	}
	if o.internal {
		body = append(body, `,"internal":true`...)
	}
	return append(body, '}')
}

func unreadable(kind, word string, err error) error {
	e := fail(ErrInternal, "%s %s: the answer can't be read: %v", kind, word, err)
	e.cause = err
	return e
}

// Match is a node that a regex found.
type Match struct {
	Path  Path
	Value json.RawMessage
	// Groups are the texts that the groups of each level of the pattern caught; nil for one that took no part.
	Groups [][]*string
}

// Decode reads the value.
func (m Match) Decode(into any) error { return decode(m.Value, m.Path, into) }

// Select finds nodes by a list of regular expressions joined by `\.`, one for each level, each matched from the start of
// a key. The matches come in the order of their paths.
func (c *Client) Select(ctx context.Context, pattern string, opts ...GetOption) ([]Match, error) {
	r := &request{mode: reading, kind: "GET", word: regexEscapes.Replace(pattern), body: getBody(opts, true)}
	body, _, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	var told struct {
		Value map[Path]struct {
			Groups   [][]*string
			Instance json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &told); err != nil {
		return nil, unreadable("GET", r.word, err)
	}
	matches := make([]Match, 0, len(told.Value))
	for _, path := range sortedPaths(told.Value) {
		matches = append(matches, Match{path, told.Value[path].Instance, told.Value[path].Groups})
	}
	return matches, nil
}

// Put writes a value: anything that [json.Marshal] takes. What was below the path goes.
func (c *Client) Put(ctx context.Context, path Path, value any, opts ...WriteOption) (Receipt, error) {
	o := writeOpts(opts)
	op, err := newPut(path, value, o)
	if err != nil {
		return Receipt{}, err
	}
	members := append([]byte(`,"value":`), op.value...)
	if o.ephemeral {
		return c.putEphemeral(ctx, op, members, o)
	}
	return c.write(ctx, "PUT", op.path, members, o)
}

// Delete removes a node with all below it.
func (c *Client) Delete(ctx context.Context, path Path, opts ...WriteOption) (Receipt, error) {
	return c.write(ctx, "DELETE", path, nil, writeOpts(opts))
}

// Rollback makes the state of an old version the present one, by a commit of its own: a version, or -N for N commits
// back.
func (c *Client) Rollback(ctx context.Context, root string, backTo int64, opts ...WriteOption) (Receipt, error) {
	members := strconv.AppendInt([]byte(`,"backto":`), backTo, 10)
	return c.write(ctx, "ROLLBACK", Join(root), members, writeOpts(opts))
}

func writeOpts(opts []WriteOption) writeOptions {
	var o writeOptions
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

func newPut(path Path, value any, o writeOptions) (op, error) {
	var text []byte
	var err error
	switch raw := value.(type) {
	case json.RawMessage:
		if text = raw; !json.Valid(raw) {
			err = errors.New("it's no JSON")
		}
	case float64:
		if math.IsNaN(raw) || math.IsInf(raw, 0) {
			err = errors.New("only finite numbers can be stored")
		} else {
			text, err = json.Marshal(raw)
		}
	default:
		text, err = json.Marshal(value)
	}
	if err != nil {
		e := fail(ErrBadRequest, "%s: the value can't be stored: %v", path, err)
		e.Path, e.cause = path, err
		return op{}, e
	}
	return op{path: path, value: text, version: o.version, ephemeral: o.ephemeral}, nil
}

// write sends one operation.
func (c *Client) write(ctx context.Context, kind string, path Path, members []byte, o writeOptions) (Receipt, error) {
	keys, word, err := path.writable()
	if err != nil {
		return Receipt{}, err
	}
	if o.ephemeral {
		return Receipt{}, fail(ErrBadRequest, "%s %s: only a put can be ephemeral", kind, path)
	}
	members = appendVersion(members, o.version)
	done, err := c.settle(ctx, kind, word, members, o, keys[0])
	if err != nil {
		return Receipt{}, err
	}
	if kind != "ROLLBACK" {
		c.own([]op{{path: path, keys: keys}})
	}
	return done.receipt, nil
}

// writable reads a path that isn't the top.
func (p Path) writable() (keys []string, word string, err error) {
	if keys, err = p.Keys(); err != nil {
		return nil, "", err
	}
	if len(keys) == 0 {
		return nil, "", fail(ErrBadRequest, "the path is empty; name a root, such as config-r1")
	}
	word, err = p.wire()
	return keys, word, err
}

func appendVersion(members []byte, version *int64) []byte {
	if version != nil {
		members = strconv.AppendInt(append(members, `,"version":`...), *version, 10)
	}
	return members
}

// pauses before a write is sent again whose outcome the server doesn't know.
var pauses = []time.Duration{100 * time.Millisecond, 400 * time.Millisecond, 1500 * time.Millisecond}

// tooOld is how a server says that it can't judge a request ID, and has done nothing.
const tooOld = "nothing was applied now"

// settled is a write that was answered.
type settled struct {
	receipt Receipt
	again   bool // it was sent more than once
}

// settle sends a change under a request ID, and again where the server can't say whether it happened. Each of the
// members begins with a comma.
func (c *Client) settle(ctx context.Context, kind, word string, members []byte, o writeOptions, roots ...string) (settled, error) {
	drawn := o.id == ""
	if drawn {
		o.id = c.requestID(roots...)
	}
	body := make([]byte, 0, len(members)+len(o.id)+48)
	body = append(append(append(body, `{"request_id":`...), quote(o.id)...), members...)
	if o.durable {
		body = append(body, `,"durable":true`...)
	}
	body = append(body, '}')
	attempts := 0
	for again := 0; ; again++ {
		r := &request{mode: writing, kind: kind, word: word, body: body, id: o.id, attempts: attempts}
		answer, l, err := c.do(ctx, r)
		if err == nil {
			receipt, err := c.received(l, answer)
			if err != nil {
				// It was answered, so that it happened or didn't; which, this answer doesn't say.
				e := fail(ErrOutcomeUnknown, "%s %s: the answer can't be read: %v", kind, word, err)
				e.RequestID, e.cause = o.id, err
				return settled{}, e
			}
			return settled{receipt, r.attempts > 1}, nil
		}
		if l != nil && codeOf(err) == ErrOutcomeUnknown {
			c.forget(roots)
			if drawn && again == 0 && r.attempts == 1 && strings.Contains(err.Error(), tooOld) {
				// It was sent for the first time, and the server takes the position in it for an old one.
				o.id = ""
				return c.settle(ctx, kind, word, members, o, roots...)
			}
		}
		// Without a link it's the caller's time that is over.
		if again == len(pauses) || l == nil || codeOf(err) != ErrOutcomeUnknown || !c.pause(ctx, pauses[again]) {
			return settled{}, err
		}
		attempts = r.attempts
	}
}

// pause waits; false: there's no time for that.
func (c *Client) pause(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-c.ctx.Done():
	}
	return false
}

// received reads a receipt, and remembers the positions that it tells of.
func (c *Client) received(l *link, body []byte) (Receipt, error) {
	receipt := Receipt{Applied: true}
	if err := json.Unmarshal(body, &receipt); err != nil {
		return receipt, err
	}
	if len(receipt.Versions) == 0 {
		return receipt, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for root := range receipt.Versions {
		known, ok := l.positions[root]
		if receipt.Position > known && (ok || len(l.positions) < maxRoots) {
			l.positions[root] = receipt.Position
		}
	}
	return receipt, nil
}
