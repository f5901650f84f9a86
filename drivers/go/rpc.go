package tega

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// Kwargs are arguments by name; as the last argument of a call.
type Kwargs map[string]any

// Call calls the function at a path, wherever in the fleet its owner is connected, and returns its result. Where the link
// breaks in mid-call, that is ErrOutcomeUnknown, and the call isn't made again.
func (c *Client) Call(ctx context.Context, path Path, args ...any) (json.RawMessage, error) {
	_, word, err := path.writable()
	if err != nil {
		return nil, err
	}
	var arguments struct {
		Args   []any  `json:"args"`
		Kwargs Kwargs `json:"kwargs"`
	}
	arguments.Args, arguments.Kwargs = args, Kwargs{}
	if n := len(args); n > 0 {
		if named, ok := args[n-1].(Kwargs); ok {
			arguments.Args = args[:n-1]
			if named != nil {
				arguments.Kwargs = named
			}
		}
	}
	if arguments.Args == nil {
		arguments.Args = []any{}
	}
	body, err := json.Marshal(arguments)
	if err != nil {
		e := fail(ErrBadRequest, "%s: the arguments can't be sent: %v", path, err)
		e.Path, e.cause = path, err
		return nil, e
	}
	answer, _, err := c.do(ctx, &request{mode: once, kind: "RPC", word: word, body: body})
	if err != nil {
		return nil, err
	}
	var told struct{ Result json.RawMessage }
	if err := json.Unmarshal(answer, &told); err != nil || told.Result == nil {
		return nil, unreadable("RPC", word, fmt.Errorf("no result in it (%v)", err))
	}
	return told.Result, nil
}

// Call calls a function whose result is of a type.
func Call[T any](ctx context.Context, c *Client, path Path, args ...any) (T, error) {
	var value T
	result, err := c.Call(ctx, path, args...)
	if err == nil {
		err = decode(result, path, &value)
	}
	return value, err
}

// Handler is a function that others may call. What it returns is written as JSON. An error's text is what the caller is
// told, as ErrRPCFailed. Its context ends with the link that the call came by: nobody waits any more then.
type Handler func(ctx context.Context, call *Incoming) (any, error)

// Incoming is a call of a function that this client serves.
type Incoming struct {
	// Path is the leaf that was called.
	Path Path
	// By is the tega ID of the caller, or of the server that it called through.
	By string
	// Args are the arguments by place, and Kwargs those by name: each is JSON, and nothing of it is checked.
	Args   []json.RawMessage
	Kwargs map[string]json.RawMessage
}

// Arg reads an argument: the one of this name, else the one in this place, from 0. False: it isn't there.
func (in *Incoming) Arg(place int, name string, into any) (bool, error) {
	raw, ok := in.Kwargs[name]
	if !ok && place >= 0 && place < len(in.Args) {
		raw, ok = in.Args[place], true
	}
	if !ok {
		return false, nil
	}
	if err := decode(raw, in.Path, into); err != nil {
		return true, fail(ErrBadRequest, "argument %s: %s", name, text(err))
	}
	return true, nil
}

// Service is a function that is served.
type Service struct {
	c    *Client
	path Path
	keep bool
}

// ServeOption says how to serve.
type ServeOption func(*serveOptions)

type serveOptions struct {
	signature string
	keep      bool
}

// Signature says which arguments the function takes, for people and for forms: "host, count".
func Signature(arguments string) ServeOption {
	return func(o *serveOptions) { o.signature = arguments }
}

// Stay makes the leaf stay when this client goes, so that calls are answered with ErrNoOwner until it's back. Use it with
// an [ID] of its own.
func Stay() ServeOption { return func(o *serveOptions) { o.keep = true } }

// Serve puts a function at a path, for others to call, until [Service.Close] or the end of the client. Its leaf is
// ephemeral, unless [Stay] says otherwise. How many calls run at once is said by [Concurrency].
func (c *Client) Serve(ctx context.Context, path Path, handler Handler, opts ...ServeOption) (*Service, error) {
	keys, _, err := path.writable()
	if err != nil {
		return nil, err
	}
	var o serveOptions
	for _, opt := range opts {
		opt(&o)
	}
	name := keys[len(keys)-1]
	if !isID(name) {
		name = "f"
	}
	leaf := "%" + c.options.id + "." + name
	if o.signature != "" {
		leaf += "(" + o.signature + ")"
	}
	path = Join(keys...)
	c.mu.Lock()
	_, known := c.serves[path]
	if !known {
		// Before the leaf is there: whoever sees it may call.
		c.serves[path] = handler
	}
	c.mu.Unlock()
	if known {
		return nil, fail(ErrBadRequest, "%s: this client serves a function there already", path)
	}
	s := &Service{c, path, o.keep}
	if o.keep {
		err = s.putOnce(ctx, leaf)
	} else {
		_, err = c.Put(ctx, path, leaf, Ephemeral())
	}
	if err != nil {
		s.forget()
		return nil, err
	}
	return s, nil
}

// putOnce puts a leaf that stays, unless it's there.
func (s *Service) putOnce(ctx context.Context, leaf string) error {
	known, err := Get[any](ctx, s.c, s.path)
	if err == nil && known == leaf {
		return nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	_, err = s.c.Put(ctx, s.path, leaf)
	return err
}

func (s *Service) forget() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	delete(s.c.serves, s.path)
}

// Close ends the function. Its leaf goes, unless it's to stay.
func (s *Service) Close(ctx context.Context) error {
	s.forget()
	if s.keep {
		return nil
	}
	_, err := s.c.Delete(ctx, s.path)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// calls is those that run and wait.
type calls struct {
	mu      sync.Mutex
	running int
	waiting []func()
}

// called takes a REQUEST of the server's.
func (l *link) called(seq, kind, by, word string, body []byte) error {
	c := l.c
	if _, err := strconv.ParseUint(seq, 10, 32); err != nil {
		return fmt.Errorf("the server asked under %q, which is no number", seq)
	}
	in := &Incoming{By: by}
	var handler Handler
	if keys, err := pathOf(word); err == nil && kind == "RPC" {
		in.Path = Join(keys...)
		c.mu.Lock()
		handler = c.serves[in.Path]
		c.mu.Unlock()
	}
	if handler == nil {
		l.respond(seq, kind, nil, fail(ErrRPCFailed, "this client serves no function at %s", unescape(word)))
		return nil
	}
	var arguments struct {
		Args   []json.RawMessage
		Kwargs map[string]json.RawMessage
	}
	if err := json.Unmarshal(body, &arguments); err != nil {
		l.respond(seq, kind, nil, fail(ErrRPCFailed, `%s: {"args":[…],"kwargs":{…}} is wanted`, in.Path))
		return nil
	}
	in.Args, in.Kwargs = arguments.Args, arguments.Kwargs
	run := func() {
		// Whoever waited for it may be gone.
		if l.ctx.Err() == nil {
			value, err := handle(l.ctx, handler, in)
			l.respond(seq, kind, value, err)
		}
	}
	if !c.calls.begin(run, c.options.running, c.options.queued) {
		l.respond(seq, kind, nil, fail(ErrRPCFailed, "%s is busy: %d calls run and %d wait; nothing happened, try again later",
			in.Path, c.options.running, c.options.queued))
	}
	return nil
}

// begin runs a call, now or when it's its turn; false: there's no room.
func (cs *calls) begin(run func(), running, waiting int) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.running < running {
		cs.running++
		go cs.work(run)
		return true
	}
	if len(cs.waiting) >= waiting {
		return false
	}
	cs.waiting = append(cs.waiting, run)
	return true
}

func (cs *calls) work(run func()) {
	for run != nil {
		run()
		cs.mu.Lock()
		run = nil
		if len(cs.waiting) > 0 {
			run, cs.waiting[0] = cs.waiting[0], nil
			cs.waiting = cs.waiting[1:]
		} else {
			cs.waiting = nil
			cs.running--
		}
		cs.mu.Unlock()
	}
}

// handle runs a handler. One that panics fails, and takes nothing with it.
func handle(ctx context.Context, handler Handler, in *Incoming) (value any, failure *Error) {
	defer func() {
		if why := recover(); why != nil {
			failure = fail(ErrRPCFailed, "the function panicked: %v", why)
		}
	}()
	value, err := handler(ctx, in)
	if err != nil {
		return nil, fail(ErrRPCFailed, "%s", text(err))
	}
	return value, nil
}

// respond answers a call: with a value, or with an error.
func (l *link) respond(seq, kind string, value any, e *Error) {
	if e == nil {
		frame, err := frameOf(seq, kind, l.c.options.id, map[string]any{"result": value})
		switch {
		case err != nil:
			e = fail(ErrRPCFailed, "the result can't be sent: %v", err)
		case len(frame) > maxMessage:
			e = fail(ErrRPCFailed, "the result has %d bytes, and a message at most %d", len(frame), maxMessage)
		default:
			l.aside(frame)
			return
		}
	}
	message := e.Message
	if len(message) > 4<<10 {
		message = strings.ToValidUTF8(message[:4<<10], "") + "…"
	}
	body := map[string]any{"error": map[string]any{"code": ErrRPCFailed, "message": message}}
	if frame, err := frameOf(seq, kind, l.c.options.id, body); err == nil {
		l.aside(frame)
	}
}

func frameOf(seq, kind, id string, body any) (string, error) {
	var b bytes.Buffer
	b.WriteString("RESPONSE " + seq + " " + kind + " " + id + "\n")
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// aside sends a frame before all requests.
func (l *link) aside(frame string) {
	l.c.mu.Lock()
	full := len(l.side) >= maxSide
	if !full {
		l.side = append(l.side, outgoing{frame: frame})
	}
	l.c.mu.Unlock()
	if full {
		// The server asks and asks, and takes no answers.
		l.stop()
		return
	}
	l.wake()
}
