package tega

import (
	"context"
	"encoding/json"
	"sync"
)

// Message is what somebody published.
type Message struct {
	// Channel is where.
	Channel Path
	// Value is JSON.
	Value json.RawMessage
	// By is the tega ID of who published it.
	By string
	// Lost counts the messages that were lost here, because nobody took them in time; the others are empty then.
	Lost int
}

// Decode reads the value. Into an any, numbers come as [json.Number].
func (m Message) Decode(into any) error { return decode(m.Value, m.Channel, into) }

// Publish sends a message to everybody who listens to this channel, but not to this client. It's kept by nobody. Where
// the link breaks before the server has taken it, that is ErrOutcomeUnknown, and it isn't sent again.
func (c *Client) Publish(ctx context.Context, channel Path, value any) error {
	_, word, err := channel.writable()
	if err != nil {
		return err
	}
	op, err := newPut(channel, value, writeOptions{})
	if err != nil {
		return err
	}
	// A PUBLISH isn't answered. Frames are taken in order, so the answer to a question that is refused at sight says that
	// the message is through; a refusal of the message comes before it.
	r := &request{mode: once, kind: "GET", word: "-", body: []byte(`{"version":"-"}`)}
	r.before = "PUBLISH " + word + "\n" + `{"message":` + string(op.value) + "}"
	_, _, err = c.do(ctx, r)
	return err
}

// Messages is a subscription to a channel of messages. It goes on over any number of links; what was published in
// between isn't heard. Its queue is bounded: what finds no place is lost, and counted.
type Messages struct {
	c    *Client
	on   *channel
	opts listenOptions

	messages chan Message
	wake     chan struct{}
	ready    chan *Error
	closed   chan struct{}
	close    sync.Once

	mu    sync.Mutex
	queue []Message
	lost  int
	ended bool
	err   *Error
}

// Subscribe hears the messages of exactly this channel. It lasts until ctx ends or until [Messages.Close].
func (c *Client) Subscribe(ctx context.Context, channel Path, opts ...WatchOption) (*Messages, error) {
	if _, _, err := channel.writable(); err != nil {
		return nil, err
	}
	on, err := pathChannel(channel)
	if err != nil {
		return nil, err
	}
	return c.hear(ctx, on, opts)
}

// SubscribeRegex hears the messages of all channels that match, as a whole or up to where a key ends.
func (c *Client) SubscribeRegex(ctx context.Context, pattern string, opts ...WatchOption) (*Messages, error) {
	on, err := regexChannel(pattern)
	if err != nil {
		return nil, err
	}
	return c.hear(ctx, on, opts)
}

func (c *Client) hear(ctx context.Context, on *channel, opts []WatchOption) (*Messages, error) {
	o, err := listenOpts(opts)
	if err != nil {
		return nil, err
	}
	m := &Messages{
		c: c, on: on, opts: o, messages: make(chan Message), wake: make(chan struct{}, 1),
		ready: make(chan *Error, 1), closed: make(chan struct{}),
	}
	if err := c.listen(ctx, m, o.global, m.ready, func() { m.pump(ctx) }); err != nil {
		return nil, err
	}
	return m, nil
}

// Messages is where they come. It's closed when the subscription ends; [Messages.Err] says why.
func (m *Messages) Messages() <-chan Message { return m.messages }

// Next waits for the next message. ErrLagging says that some were lost here; those after them come.
func (m *Messages) Next(ctx context.Context) (Message, error) {
	select {
	case message, ok := <-m.messages:
		switch {
		case ok && message.Lost > 0:
			e := fail(ErrLagging, "%d messages on %s were lost, because nobody took them in time", message.Lost, m.on.word)
			e.Lost = message.Lost
			return message, e
		case ok:
			return message, nil
		}
		if err := m.Err(); err != nil {
			return Message{}, err
		}
		return Message{}, fail(ErrClosed, "this subscription is closed")
	case <-ctx.Done():
		return Message{}, ended(ctx, contextCode(ctx), "no message came in time")
	}
}

// Err is why the subscription ended; nil: it goes on, or it was closed.
func (m *Messages) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		return nil
	}
	return m.err
}

// Close ends the subscription. Once more is no error.
func (m *Messages) Close() { m.close.Do(func() { close(m.closed) }) }

func (m *Messages) pump(ctx context.Context) {
	defer close(m.messages)
	for {
		message, there, over := m.take()
		switch {
		case there:
			select {
			case m.messages <- message:
				continue
			case <-ctx.Done():
			case <-m.closed:
			case <-m.c.closed:
			}
			return
		case over:
			return
		}
		select {
		case <-m.wake:
			continue
		case <-ctx.Done():
		case <-m.closed:
		case <-m.c.closed:
		}
		return
	}
}

func (m *Messages) take() (message Message, there, over bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case len(m.queue) > 0:
		message, there = m.queue[0], true
		m.queue[0] = Message{}
		if m.queue = m.queue[1:]; len(m.queue) == 0 {
			m.queue = nil
		}
	case m.lost > 0:
		message, there = Message{Lost: m.lost}, true
		m.lost = 0
	}
	return message, there, m.ended && !there
}

func (m *Messages) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// The link's side.

func (m *Messages) channel() *channel { return m.on }

func (m *Messages) body() []byte {
	if m.on.regex {
		return []byte(`{"regex":true}`)
	}
	return []byte("{}")
}

func (m *Messages) began(_ *link, a answer) {
	e, _ := a.err.(*Error)
	select {
	case m.ready <- e:
	default:
	}
	if e != nil {
		m.end(e)
	}
}

func (m *Messages) notified([]entry) {}

func (m *Messages) broke() {}

func (m *Messages) heard(message *Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// What was lost is told before anything newer, so the queue must be read empty first.
	if m.lost > 0 || len(m.queue) >= m.opts.queue {
		m.lost++
	} else {
		m.queue = append(m.queue, *message)
	}
	m.poke()
}

func (m *Messages) end(why *Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return
	}
	m.ended = true
	if why.Code != ErrClosed {
		m.err = why
	}
	select {
	case m.ready <- why:
	default:
	}
	m.poke()
}

// message takes a MESSAGE.
func (l *link) message(word, by string, body []byte) {
	keys, err := pathOf(word)
	if err != nil {
		return
	}
	var told map[string]json.RawMessage
	value := json.RawMessage(body)
	if json.Unmarshal(body, &told) == nil && len(told) == 1 && told["message"] != nil {
		value = told["message"]
	}
	message := Message{Channel: Join(keys...), Value: value, By: by}
	l.c.mu.Lock()
	feeds := l.c.feeds()
	l.c.mu.Unlock()
	for _, f := range feeds {
		if f.channel().hears(keys) {
			f.heard(&message)
		}
	}
}
