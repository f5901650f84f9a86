package tega

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// link is one WebSocket, from its SESSION to its end. One goroutine reads, another writes.
type link struct {
	c    *Client
	ws   *websocket.Conn
	out  *batch
	kick chan struct{}
	done chan struct{}
	// Ends with the link: for what was asked by it.
	ctx    context.Context
	cancel context.CancelFunc
	// When the server was last heard, in nanoseconds since begun.
	begun time.Time
	heard atomic.Int64
	// Guards the deadlines.
	patience sync.Mutex
	stopped  bool
	// The refusal that came without a number; it's of what was sent before the next answer's request. The reader's own.
	refused *Error

	// Under the client's lock.
	open map[uint32]*request // sent, without an answer
	seq  uint32
	side []outgoing // goes before all requests
	pong []byte
	// The newest position of each root that this link told of.
	positions map[string]uint64
}

// outgoing is a frame, or the request that makes one.
type outgoing struct {
	frame   string
	request *request
}

// batch collects small frames for one write.
type batch struct {
	net.Conn
	w *bufio.Writer // nil until the handshake is over
}

func (b *batch) Write(p []byte) (int, error) {
	if b.w == nil {
		return b.Conn.Write(p)
	}
	return b.w.Write(p)
}

// SetWriteDeadline isn't for single frames, once they are collected.
func (b *batch) SetWriteDeadline(t time.Time) error {
	if b.w == nil {
		return b.Conn.SetWriteDeadline(t)
	}
	return nil
}

// listen notes that the server was heard, and gives it its time to be heard again.
func (l *link) listen() error {
	now, ping := time.Since(l.begun), l.c.options.ping
	if last := time.Duration(l.heard.Load()); last != 0 && now-last < ping/4 {
		return nil
	}
	l.heard.Store(int64(now))
	l.patience.Lock()
	defer l.patience.Unlock()
	if l.stopped {
		return errors.New("it's ended")
	}
	return l.ws.SetReadDeadline(time.Now().Add(3*ping + ping/2))
}

// stop ends the reader, wherever it is, and gives the writer a moment.
func (l *link) stop() {
	l.patience.Lock()
	defer l.patience.Unlock()
	l.stopped = true
	_ = l.ws.SetReadDeadline(time.Unix(1, 0))
	_ = l.out.Conn.SetWriteDeadline(time.Now().Add(250 * time.Millisecond))
}

// mayWrite gives the server its time to take what is sent.
func (l *link) mayWrite() error {
	l.patience.Lock()
	defer l.patience.Unlock()
	if l.stopped {
		return errors.New("it's ended")
	}
	return l.out.Conn.SetWriteDeadline(time.Now().Add(3 * l.c.options.ping))
}

// serve reads until the link breaks, and says why.
func (l *link) serve() error {
	wrote := make(chan error, 1)
	go func() { wrote <- l.write() }()
	err := l.read()
	l.cancel()
	close(l.done)
	l.stop()
	if other := <-wrote; other != nil && err != nil && isTimeout(err) {
		err = other
	}
	_ = l.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
	_ = l.out.w.Flush()
	_ = l.ws.Close()
	if isTimeout(err) {
		err = errors.New("the server is silent")
	}
	return closing(err)
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func (l *link) read() error {
	if err := l.listen(); err != nil {
		return err
	}
	for {
		kind, reader, err := l.ws.NextReader()
		if err != nil {
			return err
		}
		frame, err := io.ReadAll(reader)
		if err != nil {
			return err
		}
		if kind != websocket.TextMessage {
			return errors.New("the server sent a binary message")
		}
		if err := l.listen(); err != nil {
			return err
		}
		if err := l.take(frame); err != nil {
			return err
		}
	}
}

// take does what a frame of the server's says.
func (l *link) take(frame []byte) error {
	line, body, _ := bytes.Cut(frame, []byte{'\n'})
	command, rest, _ := strings.Cut(string(line), " ")
	switch command {
	case "RESPONSE":
		word, _, _ := strings.Cut(rest, " ")
		seq, err := strconv.ParseUint(word, 10, 32)
		if err != nil {
			return fmt.Errorf("the server answered to %q, which is no number", word)
		}
		l.answered(uint32(seq), body)
	case "NOTIFY":
		var entries []entry
		if err := json.Unmarshal(body, &entries); err != nil {
			return fmt.Errorf("the server sent a notification that can't be read: %w", err)
		}
		l.notify(entries)
	case "MESSAGE":
		at := strings.LastIndexByte(rest, ' ')
		if at < 0 {
			return errors.New("the server sent a message without a sender")
		}
		l.message(rest[:at], rest[at+1:], body)
	case "REQUEST":
		words := strings.SplitN(rest, " ", 4)
		if len(words) < 3 {
			return errors.New("the server sent a request that can't be read")
		}
		words = append(words, "-")
		return l.called(words[0], words[1], words[2], words[3], body)
	case "ERROR":
		l.refuse(refusal(body))
	}
	// Whatever else a newer server says isn't for this driver.
	return nil
}

// refuse takes a refusal that has no number: of what went before a request that is open still.
func (l *link) refuse(e *Error) {
	if e == nil {
		e = fail(ErrInternal, "the server refused something, and it can't be read why")
	}
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	for _, r := range l.open {
		if r.before != "" {
			l.refused = e
			return
		}
	}
	l.c.options.logf("%s: %s", l.c.options.address, e.Message)
}

func (l *link) answered(seq uint32, body []byte) {
	c := l.c
	c.mu.Lock()
	r := l.open[seq]
	delete(l.open, seq)
	full := len(l.open) == onTheWire-1
	if r != nil && !r.gone && r.mode != ofLink {
		c.waiting--
	}
	c.mu.Unlock()
	if full {
		l.wake()
	}
	var refused *Error
	if r != nil && r.before != "" {
		refused, l.refused = l.refused, nil
	}
	if r == nil || r.gone {
		return
	}
	a := answer{body: body, link: l}
	if r.before != "" {
		// The request itself is refused at sight: its answer says that what went before it is through.
		if a.body = nil; refused != nil {
			a.err = refused
		}
	} else if bytes.HasPrefix(body, []byte(`{"error"`)) {
		if e := refusal(body); e != nil {
			a.err = e
		}
	}
	r.deliver(a)
}

// write sends what there is to send, until the link breaks or the client is closed.
func (l *link) write() error {
	ping := time.NewTicker(l.c.options.ping)
	defer ping.Stop()
	for {
		asks := false
		select {
		case <-l.kick:
		case <-ping.C:
			asks = time.Since(l.begun)-time.Duration(l.heard.Load()) > l.c.options.ping/2
		case <-l.done:
			return nil
		case <-l.c.ctx.Done():
			l.stop()
			return nil
		}
		if err := l.flush(asks); err != nil {
			l.stop()
			return err
		}
	}
}

func (l *link) flush(ping bool) error {
	var frames []outgoing
	for {
		var pong []byte
		frames, pong = l.next(frames[:0])
		if len(frames) == 0 && pong == nil && !ping {
			return nil
		}
		if err := l.mayWrite(); err != nil {
			return err
		}
		if pong != nil {
			if err := l.ws.WriteControl(websocket.PongMessage, pong, time.Time{}); err != nil {
				return err
			}
		}
		if ping {
			if err := l.ws.WriteControl(websocket.PingMessage, nil, time.Time{}); err != nil {
				return err
			}
			ping = false
		}
		for _, frame := range frames {
			if err := l.send(frame); err != nil {
				return err
			}
		}
		if err := l.out.w.Flush(); err != nil {
			return err
		}
	}
}

// next takes what may be sent now, a share of it.
func (l *link) next(frames []outgoing) ([]outgoing, []byte) {
	const share = 64
	c := l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	pong := l.pong
	l.pong = nil
	n := len(l.side)
	if n > share {
		n = share
	}
	for _, o := range l.side[:n] {
		if o.request != nil {
			l.number(o.request)
		}
		frames = append(frames, o)
	}
	if l.side = l.side[n:]; len(l.side) == 0 {
		l.side = nil
	}
	for len(frames) < share && c.queue.head != nil && len(l.open) < onTheWire {
		r := c.queue.head
		c.queue.remove(r)
		l.number(r)
		frames = append(frames, outgoing{request: r})
	}
	return frames, pong
}

// number opens a request under a number that no other open one has.
func (l *link) number(r *request) {
	for {
		l.seq++
		if l.open[l.seq] == nil {
			break
		}
	}
	r.seq = l.seq
	r.attempts++
	l.open[l.seq] = r
}

func (l *link) send(o outgoing) error {
	if o.request == nil {
		return l.ws.WriteMessage(websocket.TextMessage, []byte(o.frame))
	}
	r := o.request
	if r.before != "" {
		if err := l.ws.WriteMessage(websocket.TextMessage, []byte(r.before)); err != nil {
			return err
		}
	}
	frame := make([]byte, 0, 64+len(r.kind)+len(l.c.options.id)+len(r.word)+len(r.body))
	frame = append(frame, "REQUEST "...)
	frame = strconv.AppendUint(frame, uint64(r.seq), 10)
	frame = append(frame, ' ')
	frame = append(frame, r.kind...)
	frame = append(frame, ' ')
	frame = append(frame, l.c.options.id...)
	frame = append(frame, ' ')
	frame = append(frame, r.word...)
	frame = append(frame, '\n')
	frame = append(frame, r.body...)
	return l.ws.WriteMessage(websocket.TextMessage, frame)
}
