package tega

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// op is one operation of a transaction.
type op struct {
	path      Path
	keys      []string
	value     json.RawMessage // nil: it's a delete
	version   *int64
	ephemeral bool
	read      bool // the version is the one that was read, not one that the caller named
}

// Tx is a transaction: what it reads, it reads from the server; what it writes is sent by Commit, as a whole, and happens
// as a whole or not at all.
//
// It sees its own writes. A node that it read and writes then is checked: where another changed it in between, the commit
// is refused with ErrConflict. What is checked is the node at that very path with all below it; one that the transaction
// has written at, above or below before it read it, isn't checked once more.
//
// A Tx is for one goroutine.
type Tx struct {
	c    *Client
	ops  []op
	size int
	seen map[Path]seen
	id   string
}

type seen struct {
	node Node
	err  error
}

// Begin begins a transaction. One that isn't committed costs nothing.
func (c *Client) Begin() *Tx { return &Tx{c: c, seen: map[Path]seen{}} }

// Update runs a transaction: it calls change with one, commits it, and where another changed meanwhile what was read,
// does both again. An error of change ends it, and nothing happens. A conflict with a version that change itself named by
// [IfVersion] isn't tried again.
//
// change may run more than once, and must have no effects but on its transaction.
func (c *Client) Update(ctx context.Context, change func(tx *Tx) error, opts ...WriteOption) (Receipt, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.options.timeout)
		defer cancel()
	}
	for pause := time.Millisecond; ; pause *= 2 {
		tx := c.Begin()
		if err := change(tx); err != nil {
			return Receipt{}, err
		}
		receipt, err := tx.Commit(ctx, opts...)
		if !tx.overtaken(err) {
			return receipt, err
		}
		if pause > 100*time.Millisecond {
			pause = 100 * time.Millisecond
		}
		if !c.pause(ctx, jitter(pause)) {
			return receipt, err
		}
	}
}

// overtaken tells whether a commit failed because another changed what it had read.
func (tx *Tx) overtaken(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Code != ErrConflict || e.Expected == nil {
		return false
	}
	keys, err := e.Path.Keys()
	if err != nil {
		return false
	}
	for _, o := range tx.ops {
		if o.version != nil && len(o.keys) == len(keys) && within(o.keys, keys) {
			return o.read
		}
	}
	return false
}

// Get reads a node as the commit would leave it. Twice the same comes from memory, and is the same.
func (tx *Tx) Get(ctx context.Context, path Path, opts ...GetOption) (Node, error) {
	keys, err := path.Keys()
	if err != nil {
		return Node{}, err
	}
	var o getOptions
	for _, opt := range opts {
		opt(&o)
	}
	if o.version != nil || o.internal {
		return Node{}, fail(ErrBadRequest, "%s: a transaction reads the present, in the plain form", path)
	}
	path = Join(keys...)
	below := false
	for i := len(tx.ops) - 1; i >= 0; i-- {
		if within(tx.ops[i].keys, keys) {
			return tx.replay(Node{Path: path, Version: NoVersion}, keys, tx.ops[i:])
		}
		below = below || within(keys, tx.ops[i].keys)
	}
	known, ok := tx.seen[path]
	if !ok {
		known.node, known.err = tx.c.Get(ctx, path, opts...)
		if known.err != nil && !errors.Is(known.err, ErrNotFound) {
			return Node{}, known.err
		}
		known.node.Path = path
		if len(tx.seen) < maxOps {
			tx.seen[path] = known
		}
	}
	if !below {
		return known.node, known.err
	}
	return tx.replay(known.node, keys, tx.ops)
}

// replay applies operations to what was read.
func (tx *Tx) replay(node Node, keys []string, ops []op) (Node, error) {
	var value any
	there := node.Value != nil
	if there {
		var err error
		if value, err = generic(node.Value); err != nil {
			return Node{}, unreadable("GET", string(node.Path), err)
		}
	}
	for _, o := range ops {
		switch {
		case within(o.keys, keys):
			// At the node, or above it.
			value, there = nil, false
			if o.value != nil {
				above, err := generic(o.value)
				if err != nil {
					return Node{}, err
				}
				value, there = descend(above, keys[len(o.keys):])
			}
		case within(keys, o.keys):
			var err error
			if value, there, err = o.edit(value, there, len(keys)); err != nil {
				return Node{}, err
			}
		}
	}
	if !there {
		e := fail(ErrNotFound, "nothing at %s", node.Path)
		e.Path = node.Path
		return Node{}, e
	}
	text, err := json.Marshal(value)
	if err != nil {
		return Node{}, err
	}
	// It has no version before it's committed.
	return Node{Path: node.Path, Value: text, Version: NoVersion}, nil
}

// edit does to the value of a node, so deep in the tree, what an operation does below it.
func (o *op) edit(value any, there bool, depth int) (any, bool, error) {
	below := o.keys[depth:]
	if o.value == nil {
		value, there = remove(value, there, below, depth)
		return value, there, nil
	}
	written, err := generic(o.value)
	if err != nil {
		return nil, false, err
	}
	top, ok := value.(map[string]any)
	if !ok {
		if there {
			return nil, false, inTheWay(o.path)
		}
		top = map[string]any{}
	}
	at := top
	for _, key := range below[:len(below)-1] {
		next, ok := at[key].(map[string]any)
		if !ok {
			if _, leaf := at[key]; leaf {
				return nil, false, inTheWay(o.path)
			}
			next = map[string]any{}
			at[key] = next
		}
		at = next
	}
	at[below[len(below)-1]] = written
	return top, true, nil
}

// remove deletes a node below another. A container that is empty by that goes with it; a root stays. As deep as a path
// may be.
func remove(value any, there bool, below []string, depth int) (any, bool) {
	if len(below) == 0 {
		return nil, false
	}
	object, ok := value.(map[string]any)
	if !ok {
		return value, there
	}
	child, ok := object[below[0]]
	if !ok {
		return value, there
	}
	if left, stays := remove(child, true, below[1:], depth+1); stays {
		object[below[0]] = left
		return value, there
	}
	delete(object, below[0])
	return value, len(object) > 0 || depth < 2
}

func inTheWay(path Path) error {
	e := fail(ErrBadRequest, "%s: a leaf is above it and can't have children; delete or replace it first", path)
	e.Path = path
	return e
}

// Put writes a value when the transaction is committed.
func (tx *Tx) Put(path Path, value any, opts ...WriteOption) error {
	op, err := newPut(path, value, writeOpts(opts))
	if err != nil {
		return err
	}
	return tx.add(op)
}

// Delete removes a node when the transaction is committed.
func (tx *Tx) Delete(path Path, opts ...WriteOption) error {
	return tx.add(op{path: path, version: writeOpts(opts).version})
}

func (tx *Tx) add(o op) error {
	keys, err := o.path.Keys()
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return fail(ErrBadRequest, "the path is empty; name a root")
	}
	o.keys, o.path = keys, Join(keys...)
	tx.size += len(o.value) + len(o.path) + 64
	if len(tx.ops) == maxOps || tx.size > maxMessage {
		return fail(ErrTooLarge, "%s: a transaction has at most %d operations and %d bytes; nothing happened", o.path, maxOps,
			maxMessage)
	}
	if o.version == nil {
		o.version, o.read = tx.readAt(o.path, keys)
	}
	tx.ops = append(tx.ops, o)
	return nil
}

// readAt is the version that a node had when it was read. An operation before on the same branch gives it a new one,
// which nobody can name.
func (tx *Tx) readAt(path Path, keys []string) (*int64, bool) {
	known, ok := tx.seen[path]
	if !ok || known.err == nil && known.node.Version == NoVersion {
		return nil, false
	}
	for _, o := range tx.ops {
		if within(o.keys, keys) || within(keys, o.keys) {
			return nil, false
		}
	}
	version := known.node.Version
	if known.err != nil {
		version = NoVersion
	}
	return &version, true
}

// Commit sends the transaction. It may be called again after ErrOutcomeUnknown: it goes under the same request ID, and so
// happens once. One without operations is done at once.
func (tx *Tx) Commit(ctx context.Context, opts ...WriteOption) (Receipt, error) {
	if len(tx.ops) == 0 {
		return Receipt{Versions: map[string]int64{}, Durable: true, Applied: true}, nil
	}
	o := writeOpts(opts)
	if o.version != nil || o.ephemeral {
		return Receipt{}, fail(ErrBadRequest, "a version and Ephemeral are for single operations of a transaction")
	}
	body := make([]byte, 0, tx.size+64)
	body = append(body, `,"ops":[`...)
	var roots []string
	ephemeral := false
	for i, op := range tx.ops {
		if i > 0 {
			body = append(body, ',')
		}
		body = op.write(body)
		ephemeral = ephemeral || op.ephemeral
		if len(roots) == 0 || roots[len(roots)-1] != op.keys[0] {
			roots = append(roots, op.keys[0])
		}
	}
	body = append(body, ']')
	if tx.id != "" {
		o.id = tx.id
	}
	done, err := tx.c.settle(ctx, "COMMIT", "-", body, o, roots...)
	if err != nil {
		var unknown *Error
		if errors.As(err, &unknown) && unknown.Code == ErrOutcomeUnknown {
			tx.id = unknown.RequestID
		}
		return Receipt{}, err
	}
	tx.c.own(tx.ops)
	if ephemeral && done.again {
		tx.c.putAllAgain(tx.ops)
	}
	return done.receipt, nil
}

func (o *op) write(body []byte) []byte {
	if o.value == nil {
		body = append(append(body, `{"delete":`...), quote(string(o.path))...)
	} else {
		body = append(append(body, `{"put":`...), quote(string(o.path))...)
		body = append(append(body, `,"value":`...), o.value...)
	}
	body = appendVersion(body, o.version)
	if o.ephemeral {
		body = append(body, `,"ephemeral":true`...)
	}
	return append(body, '}')
}
