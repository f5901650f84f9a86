package tega

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Client is one session with a server, over one link that is made again when it breaks. All its methods may be called
// from any goroutine, and share the link without waiting for each other.
type Client struct {
	options options
	ctx     context.Context
	cancel  context.CancelFunc
	closed  chan struct{} // Close was called
	close   sync.Once
	tasks   sync.WaitGroup
	http    *http.Client
	// Request IDs are unique by this and a count.
	random string
	count  atomic.Int64

	mu      sync.Mutex
	over    *Error // why nothing is done any more
	link    *link  // nil while there's none
	why     error  // why there's none
	queue   fifo
	waiting int // requests with somebody who waits, sent or not
	order   uint64
	// Listeners by their channels.
	channels map[channelKey]*listening
	heard    []feed // all of them; nil: to be gathered anew
	owned    []*owned
	serves   map[Path]Handler
	calls    calls
}

// Dial connects to a server: http://HOST[:PORT] or unix:PATH; empty, to the one that TEGA_URL names, else to the local
// socket where there is one, else to http://127.0.0.1:8739. It tries once. From then on the link is made again by itself,
// until [Client.Close].
func Dial(ctx context.Context, url string, opts ...Option) (*Client, error) {
	o := defaults()
	for _, opt := range opts {
		opt(&o)
	}
	var random [12]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("tega: no random numbers: %w", err)
	}
	if o.id == "" {
		o.id = "go-" + hex.EncodeToString(random[:4])
	}
	var err error
	if o.address, err = findAddress(url); err != nil {
		return nil, err
	}
	if o.dial == nil {
		o.dial = o.address.connect
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	c := &Client{
		options:  o,
		random:   hex.EncodeToString(random[:]),
		closed:   make(chan struct{}),
		channels: map[channelKey]*listening{},
		serves:   map[Path]Handler{},
	}
	c.http = newHTTP(o.dial)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	l, err := c.connect(ctx)
	if err != nil {
		c.cancel()
		return nil, err
	}
	c.tasks.Add(1)
	go c.run(l)
	return c, nil
}

// ID is the tega ID that this client acts under.
func (c *Client) ID() string { return c.options.id }

// Close ends the session: watches and subscriptions end, ephemeral nodes go. Requests that wait fail with ErrClosed, or
// with ErrOutcomeUnknown where they were sent and change something. Once more is no error.
func (c *Client) Close() error {
	c.end(fail(ErrClosed, "this client is closed"))
	c.close.Do(func() { close(c.closed) })
	c.tasks.Wait()
	c.http.CloseIdleConnections()
	return nil
}

// end makes the client over: what waits and all that comes fails with this error.
func (c *Client) end(why *Error) {
	c.mu.Lock()
	if c.over != nil {
		c.mu.Unlock()
		return
	}
	c.over = why
	var waiting []*request
	for r := c.queue.head; r != nil; r = c.queue.head {
		c.queue.remove(r)
		waiting = append(waiting, r)
	}
	if c.link != nil {
		for seq, r := range c.link.open {
			delete(c.link.open, seq)
			waiting = append(waiting, r)
		}
	}
	c.waiting = 0
	feeds, l := c.feeds(), c.link
	c.channels, c.heard = map[channelKey]*listening{}, nil
	c.mu.Unlock()
	for _, r := range waiting {
		if !r.gone && r.mode != ofLink {
			r.deliver(answer{err: c.overFor(r, why)})
		}
	}
	for _, f := range feeds {
		f.end(why)
	}
	c.cancel()
	if l != nil {
		l.stop()
	}
}

func (c *Client) overFor(r *request, why *Error) error {
	if r.attempts == 0 || r.mode == reading {
		return why
	}
	e := fail(ErrOutcomeUnknown, "%s: %s before the answer came; it may have happened", r.title(), why.Message)
	e.RequestID, e.cause = r.id, why
	return e
}

func (r *request) title() string { return r.kind + " " + r.word }

// wake tells the link that there's something to send.
func (l *link) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// do sends a request and waits for its answer, or until its time is over.
func (c *Client) do(ctx context.Context, r *request) ([]byte, *link, error) {
	if n := len(r.before) + len(r.body) + len(r.word) + 128; n > maxMessage {
		return nil, nil, fail(ErrTooLarge, "%s: %d bytes, and a message has at most %d; nothing happened", r.title(), n,
			maxMessage)
	}
	r.answer = make(chan answer, 1)
	c.mu.Lock()
	if c.over != nil {
		defer c.mu.Unlock()
		return nil, nil, c.over
	}
	if ctx.Err() != nil {
		c.mu.Unlock()
		return nil, nil, c.unsent(ctx, r)
	}
	if c.waiting >= maxWaiting {
		c.mu.Unlock()
		return nil, nil, fail(ErrTooMany, "%s: %d requests wait already; nothing happened, try again later", r.title(),
			maxWaiting)
	}
	c.order++
	c.waiting++
	r.order = c.order
	c.queue.push(r)
	l := c.link
	c.mu.Unlock()
	if l != nil {
		l.wake()
	}
	var late <-chan time.Time
	if _, ok := ctx.Deadline(); !ok {
		timer := time.NewTimer(c.options.timeout)
		defer timer.Stop()
		late = timer.C
	}
	var a answer
	select {
	case a = <-r.answer:
	case <-ctx.Done():
		a = c.giveUp(ctx, r)
	case <-late:
		a = c.giveUp(ctx, r)
	}
	return a.body, a.link, c.judged(r, a.err)
}

// judged is what an error means for the caller.
func (c *Client) judged(r *request, err error) error {
	var e *Error
	if r.mode != writing || !errors.As(err, &e) {
		return err
	}
	if r.attempts > 1 && nothingHappened(e.Code) && e.Code != ErrClosed {
		// It says so of the last attempt only.
		unknown := fail(ErrOutcomeUnknown, "%s: sent %d times; the last answer was: %s", r.title(), r.attempts, e.Message)
		unknown.RequestID, unknown.cause = r.id, nil
		return unknown
	}
	if e.Code == ErrOutcomeUnknown {
		e.RequestID = r.id
	}
	return err
}

// giveUp takes a request back whose time is over.
func (c *Client) giveUp(ctx context.Context, r *request) answer {
	c.mu.Lock()
	sent := c.link != nil && c.link.open[r.seq] == r
	if !r.queued && !sent {
		// Its answer is on the way.
		c.mu.Unlock()
		return <-r.answer
	}
	if r.queued {
		c.queue.remove(r)
	}
	// On the wire its place stays taken until the answer comes.
	r.gone = true
	c.waiting--
	defer c.mu.Unlock()
	if r.attempts == 0 {
		return answer{err: c.unsentLocked(ctx, r)}
	}
	if r.mode == writing {
		e := ended(ctx, ErrOutcomeUnknown, "%s: no answer in time; it may have happened", r.title())
		e.RequestID = r.id
		return answer{err: e}
	}
	if ctx.Err() == context.Canceled {
		return answer{err: ended(ctx, ErrCanceled, "%s: given up by the caller", r.title())}
	}
	return answer{err: ended(ctx, ErrTimeout, "%s: no answer in time", r.title())}
}

func (c *Client) unsent(ctx context.Context, r *request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unsentLocked(ctx, r)
}

func (c *Client) unsentLocked(ctx context.Context, r *request) error {
	switch {
	case ctx.Err() == context.Canceled:
		return ended(ctx, ErrCanceled, "%s: given up by the caller; nothing happened", r.title())
	case c.link == nil:
		return ended(ctx, ErrNoLink, "%s: no link to %s: %v; nothing happened", r.title(), c.options.address, c.why)
	}
	return ended(ctx, ErrTooMany, "%s: too much waited before it; nothing happened", r.title())
}

// run keeps the link, from the first one on.
func (c *Client) run(l *link) {
	defer c.tasks.Done()
	pause, refused := leastPause, false
	for {
		begun := time.Now()
		c.begin(l)
		err := l.serve()
		c.broke(l, err)
		if c.ctx.Err() != nil {
			return
		}
		c.options.logf("%s: %v; connecting again", c.options.address, err)
		refused = errors.Is(err, ErrUnauthorized)
		if time.Since(begun) > time.Second {
			pause = leastPause
		}
		for l = nil; l == nil; {
			if !c.sleep(jitter(pause)) {
				return
			}
			if pause *= 2; pause > mostPause {
				pause = mostPause
			}
			if l, err = c.connect(c.ctx); err == nil {
				break
			}
			if c.ctx.Err() != nil {
				return
			}
			c.mu.Lock()
			c.why = err
			c.mu.Unlock()
			unauthorized := errors.Is(err, ErrUnauthorized)
			if unauthorized && refused {
				c.end(fail(ErrUnauthorized, "%s: %s", c.options.address, text(err)))
				return
			}
			refused = unauthorized
		}
	}
}

// text is an error's message without the package's name.
func text(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

func (c *Client) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// jitter is a random time up to this one: what lost one server together doesn't come back together.
func jitter(most time.Duration) time.Duration {
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		return most
	}
	n := uint64(random[0]) | uint64(random[1])<<8 | uint64(random[2])<<16 | uint64(random[3])<<24
	return time.Duration(uint64(most) >> 16 * n >> 16)
}

// begin puts a link into service: first what it needs to know, then what waits.
func (c *Client) begin(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over != nil {
		return
	}
	c.link, c.why = l, nil
	for _, listening := range c.channels {
		for _, f := range listening.feeds {
			l.subscribe(listening, f)
		}
	}
	for _, o := range c.owned {
		l.side = append(l.side, c.putAgain(o))
	}
	l.wake()
}

// broke takes a link out of service. Reads and writes wait for the next one; what can't be sent again has an outcome
// that nobody knows.
func (c *Client) broke(l *link, why error) {
	c.mu.Lock()
	if c.link == l {
		c.link, c.why = nil, why
	}
	var lost, again []*request
	for seq, r := range l.open {
		delete(l.open, seq)
		switch {
		case r.gone || r.mode == ofLink:
		case r.mode == once:
			lost = append(lost, r)
			c.waiting--
		default:
			again = append(again, r)
		}
	}
	sort.Slice(again, func(i, j int) bool { return again[i].order > again[j].order })
	for _, r := range again {
		c.queue.unshift(r)
	}
	feeds := c.feeds()
	c.mu.Unlock()
	for _, r := range lost {
		e := fail(ErrOutcomeUnknown, "%s: the link broke before the answer came (%v); it may have happened", r.title(), why)
		r.deliver(answer{err: e})
	}
	for _, f := range feeds {
		f.broke()
	}
}

// forget drops the positions of roots: the server can't judge request IDs by them any more, as after a root was moved to
// another home.
func (c *Client) forget(roots []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil {
		for _, root := range roots {
			delete(c.link.positions, root)
		}
	}
}

// requestID is a new one: with the newest position that this link told of one of these roots, by which a server knows
// whether it can still judge the ID.
func (c *Client) requestID(roots ...string) string {
	id := c.random + "-" + strconv.FormatInt(c.count.Add(1), 36)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil {
		return id
	}
	var newest uint64
	found := false
	for _, root := range roots {
		if position, ok := c.link.positions[root]; ok {
			found = true
			if position > newest {
				newest = position
			}
		}
	}
	if !found {
		return id
	}
	return "@" + strconv.FormatUint(newest, 10) + ":" + id
}
