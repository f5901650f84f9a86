package tega

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
)

// Kind is what a change did.
type Kind string

// The kinds of a change.
const (
	KindPut      Kind = "put"      // Value is there now
	KindDelete   Kind = "delete"   // Value was there
	KindRollback Kind = "rollback" // an old state came back, and Value is there now
	// KindState is no change: Value is all that is there now. It comes where it was asked for by [FromState], and where what
	// happened while the link was down, or while nobody read, can't be told any more.
	KindState Kind = "state"
)

// Change is what a watch is told.
type Change struct {
	Kind Kind
	// Path is where; of a change above what is watched, it's what is watched.
	Path Path
	// Value is JSON. Of the state of a regex: an object of values by their paths. Null: nothing is there.
	Value json.RawMessage
	// By is the tega ID of who did it.
	By string
	// Root and Version are those that the commit gave it; of an ephemeral node and a state the version is NoVersion.
	Root    string
	Version int64
	// Ephemeral: it's of an ephemeral node.
	Ephemeral bool
	// BackTo is the version that a rollback went back to.
	BackTo int64
	// Truncated: the value is too large to be told and isn't there; read it.
	Truncated bool
}

// Decode reads the value. Into an any, numbers come as [json.Number].
func (ch Change) Decode(into any) error { return decode(ch.Value, ch.Path, into) }

// WatchOption says how to watch.
type WatchOption func(*listenOptions)

type listenOptions struct {
	queue  int
	state  bool
	global bool
}

// Queue bounds what waits to be taken; 256 changes or messages unless said otherwise.
func Queue(n int) WatchOption { return func(o *listenOptions) { o.queue = n } }

// FromState begins with the present state; after each break it comes again, behind what was missed.
func FromState() WatchOption { return func(o *listenOptions) { o.state = true } }

// Global makes a subscription hear messages that are published at other servers of the fleet, too.
func Global() WatchOption { return func(o *listenOptions) { o.global = true } }

func listenOpts(opts []WatchOption) (listenOptions, error) {
	o := listenOptions{queue: 256}
	for _, opt := range opts {
		opt(&o)
	}
	if o.queue < 1 {
		return o, fail(ErrBadRequest, "a queue of %d: at least 1 is wanted", o.queue)
	}
	return o, nil
}

// Watch is told of each change that others make, once and in order, over any number of links. Its queue is bounded: when
// it's full, nothing more is taken in until it's read empty; then what was missed comes, or the present state.
type Watch struct {
	c    *Client
	on   *channel
	path Path
	opts listenOptions

	changes chan Change
	wake    chan struct{}
	ready   chan *Error // the first answer came
	closed  chan struct{}
	close   sync.Once

	mu    sync.Mutex
	queue []Change
	// What is known of each root; nil: it never began.
	since    map[string]stand
	position int64
	live     bool // what comes on this link is for it: the answer that begins it came
	behind   bool // the queue was full
	owes     bool // the state comes next, whatever the reader wants
	stated   bool // a state was told
	holding  bool // a state that the answer had no room for is being read; what comes meanwhile waits
	held     [][]entry
	reads    int              // how many states were read
	has      map[string]stand // up to where the roots were in the last that was read
	ended    bool
	err      *Error
}

// stand is where a reader of a root stands.
type stand struct {
	inc     string
	version int64
}

// Watch watches a node and everything below it; the empty path is everything. It lasts until ctx ends or until
// [Watch.Close], and is set when Watch returns: what others change from then on is told. Changes that are made under the
// same tega ID aren't.
func (c *Client) Watch(ctx context.Context, path Path, opts ...WatchOption) (*Watch, error) {
	on, err := pathChannel(path)
	if err != nil {
		return nil, err
	}
	return c.watch(ctx, on, path, opts)
}

// WatchRegex watches the nodes whose whole path matches, its keys joined by dots, and everything below them.
func (c *Client) WatchRegex(ctx context.Context, pattern string, opts ...WatchOption) (*Watch, error) {
	on, err := regexChannel(pattern)
	if err != nil {
		return nil, err
	}
	return c.watch(ctx, on, "", opts)
}

func (c *Client) watch(ctx context.Context, on *channel, path Path, opts []WatchOption) (*Watch, error) {
	o, err := listenOpts(opts)
	if err != nil {
		return nil, err
	}
	w := &Watch{
		c: c, on: on, path: path, opts: o,
		changes: make(chan Change), wake: make(chan struct{}, 1), ready: make(chan *Error, 1),
		closed: make(chan struct{}), position: -1, owes: o.state,
	}
	if err := c.listen(ctx, w, false, w.ready, func() { w.pump(ctx) }); err != nil {
		return nil, err
	}
	return w, nil
}

// Changes is where they come. It's closed when the watch ends; [Watch.Err] says why.
func (w *Watch) Changes() <-chan Change { return w.changes }

// Next waits for the next change. When the watch has ended, the error is that of Err, or ErrClosed.
func (w *Watch) Next(ctx context.Context) (Change, error) {
	select {
	case change, ok := <-w.changes:
		if ok {
			return change, nil
		}
		if err := w.Err(); err != nil {
			return Change{}, err
		}
		return Change{}, fail(ErrClosed, "this watch is closed")
	case <-ctx.Done():
		return Change{}, ended(ctx, contextCode(ctx), "no change came in time")
	}
}

func contextCode(ctx context.Context) Code {
	if ctx.Err() == context.Canceled {
		return ErrCanceled
	}
	return ErrTimeout
}

// Err is why the watch ended; nil: it goes on, or it was closed.
func (w *Watch) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		return nil
	}
	return w.err
}

// Close ends the watch. Once more is no error.
func (w *Watch) Close() { w.close.Do(func() { close(w.closed) }) }

// pump hands over what is queued.
func (w *Watch) pump(ctx context.Context) {
	defer close(w.changes)
	for {
		change, there, over := w.take()
		switch {
		case there:
			select {
			case w.changes <- change:
				continue
			case <-ctx.Done():
			case <-w.closed:
			case <-w.c.closed:
			}
			return
		case over:
			return
		}
		select {
		case <-w.wake:
			continue
		case <-ctx.Done():
		case <-w.closed:
		case <-w.c.closed:
		}
		return
	}
}

// take is the next change, or that there will be none any more.
func (w *Watch) take() (change Change, there, over bool) {
	w.mu.Lock()
	if len(w.queue) > 0 {
		change, there = w.queue[0], true
		w.queue[0] = Change{}
		if w.queue = w.queue[1:]; len(w.queue) == 0 {
			w.queue = nil
		}
	}
	over = w.ended && !there
	ask := len(w.queue) == 0 && w.behind && w.live
	if ask {
		w.live = false
	}
	w.mu.Unlock()
	if ask {
		w.c.again(w)
	}
	return change, there, over
}

func (w *Watch) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *Watch) String() string { return fmt.Sprintf("watch of %s", w.on.word) }
