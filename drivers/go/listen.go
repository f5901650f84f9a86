package tega

import (
	"context"
	"time"
)

// feed is one listener, as the link knows it. All but end are called by the goroutine that reads, in the order in which
// frames came; end may come from anywhere.
type feed interface {
	// body is that of the SUBSCRIBE that begins it, or goes on with it on a new link.
	body() []byte
	// began takes the answer.
	began(l *link, a answer)
	notified(entries []entry)
	heard(m *Message)
	broke()
	end(why *Error)
	channel() *channel
}

// listening is one channel and who listens to it.
type listening struct {
	feeds []feed
	// Messages from beyond this server are wanted.
	global bool
}

// feeds is all listeners. The slice is never changed.
func (c *Client) feeds() []feed {
	if c.heard == nil {
		c.heard = make([]feed, 0, len(c.channels))
		for _, listening := range c.channels {
			c.heard = append(c.heard, listening.feeds...)
		}
	}
	return c.heard
}

// subscribe asks for a channel.
func (l *link) subscribe(on *listening, f feed) {
	ch := f.channel()
	l.side = append(l.side, outgoing{request: &request{
		mode: ofLink, kind: "SUBSCRIBE", word: ch.word, body: f.body(), onAnswer: f.began,
	}})
	if on.global {
		// The scope goes back to local by each request.
		l.side = append(l.side, outgoing{frame: "SUBSCRIBE " + ch.word + " global " + ch.flag()})
	}
}

func (ch *channel) flag() string {
	if ch.regex {
		return "True"
	}
	return "False"
}

// listen registers a feed and waits until the server has taken it. Its task is run until it ends.
func (c *Client) listen(ctx context.Context, f feed, global bool, ready <-chan *Error, task func()) error {
	ch := f.channel()
	c.mu.Lock()
	if c.over != nil {
		defer c.mu.Unlock()
		return c.over
	}
	on := c.channels[ch.key()]
	if on == nil {
		if len(c.channels) >= maxChannels {
			c.mu.Unlock()
			return fail(ErrTooMany, "%s: %d channels are listened to already, which is the most", ch.word, maxChannels)
		}
		on = &listening{}
		c.channels[ch.key()] = on
	}
	on.feeds = append(on.feeds, f)
	on.global = on.global || global
	c.heard = nil
	if c.link != nil {
		c.link.subscribe(on, f)
		c.link.wake()
	}
	c.mu.Unlock()

	timer := time.NewTimer(c.options.timeout)
	defer timer.Stop()
	late := timer.C
	if _, ok := ctx.Deadline(); ok {
		late = nil
	}
	select {
	case err := <-ready:
		if err != nil {
			c.leave(f)
			return err
		}
	case <-ctx.Done():
		c.leave(f)
		return c.unsent(ctx, &request{kind: "SUBSCRIBE", word: ch.word})
	case <-late:
		c.leave(f)
		return c.unsent(ctx, &request{kind: "SUBSCRIBE", word: ch.word})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over != nil {
		return c.over
	}
	c.tasks.Add(1)
	go func() {
		defer c.tasks.Done()
		task()
		c.leave(f)
	}()
	return nil
}

// leave takes a feed out; the server is told where nobody else listens there.
func (c *Client) leave(f feed) {
	key := f.channel().key()
	c.mu.Lock()
	defer c.mu.Unlock()
	on := c.channels[key]
	if on == nil {
		return
	}
	var left []feed
	for _, other := range on.feeds {
		if other != f {
			left = append(left, other)
		}
	}
	if len(left) == len(on.feeds) {
		return
	}
	on.feeds, c.heard = left, nil
	if len(left) > 0 {
		return
	}
	delete(c.channels, key)
	if c.link != nil {
		c.link.side = append(c.link.side, outgoing{frame: "UNSUBSCRIBE " + key.word + " " + f.channel().flag()})
		c.link.wake()
	}
}

// again asks anew for what a feed missed because it wasn't read.
func (c *Client) again(f feed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if on := c.channels[f.channel().key()]; c.link != nil && on != nil {
		c.link.subscribe(on, f)
		c.link.wake()
	}
}

func (l *link) notify(entries []entry) {
	if !read(entries) || len(entries) == 0 {
		return
	}
	l.c.mu.Lock()
	feeds := l.c.feeds()
	l.c.mu.Unlock()
	for _, f := range feeds {
		f.notified(entries)
	}
}
