package tega

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Close codes of a server.
const (
	closedBad   = 4000
	closedToken = 4001
	closedBusy  = 1013
)

// connect makes a link: handshake and SESSION.
func (c *Client) connect(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.connect)
	defer cancel()
	token, err := c.options.findToken()
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	l := &link{
		c: c, kick: make(chan struct{}, 1), done: make(chan struct{}), begun: time.Now(),
		open: map[uint32]*request{}, positions: map[string]uint64{},
	}
	watched, watching := make(chan struct{}), sync.WaitGroup{}
	// However far it got: whoever gives up waits no longer.
	defer watching.Wait()
	defer close(watched)
	dialer := websocket.Dialer{
		NetDialContext: func(dialing context.Context, _, _ string) (net.Conn, error) {
			conn, err := c.options.dial(dialing)
			if err != nil {
				return nil, err
			}
			watching.Add(1)
			go func() {
				defer watching.Done()
				select {
				case <-ctx.Done():
					conn.Close()
				case <-watched:
				}
			}()
			l.out = &batch{Conn: conn}
			return l.out, nil
		},
		HandshakeTimeout: c.options.connect,
		ReadBufferSize:   16 << 10,
		WriteBufferSize:  16 << 10,
	}
	ws, response, err := dialer.DialContext(ctx, "ws://"+c.options.address.host+"/_pubsub", header)
	if err != nil {
		return nil, c.notReached(ctx, response, err)
	}
	l.ws = ws
	l.ctx, l.cancel = context.WithCancel(c.ctx)
	if err := l.hello(ctx); err != nil {
		l.cancel()
		ws.Close()
		return nil, err
	}
	ws.SetReadLimit(maxAnswer)
	ws.SetPingHandler(func(payload string) error {
		c.mu.Lock()
		l.pong = append([]byte{}, payload...)
		c.mu.Unlock()
		l.wake()
		return l.listen()
	})
	ws.SetPongHandler(func(string) error { return l.listen() })
	ws.SetCloseHandler(func(int, string) error { return nil })
	l.out.w = bufio.NewWriterSize(l.out.Conn, 64<<10)
	return l, nil
}

// notReached is why a handshake failed.
func (c *Client) notReached(ctx context.Context, response *http.Response, err error) error {
	var e *Error
	if response != nil {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
		if e = refusal(body); e == nil {
			e = fail(byStatus(response.StatusCode), "the handshake was answered with %s", response.Status)
		}
		e.Message = fmt.Sprintf("%s: %s", c.options.address, e.Message)
		return e
	}
	switch e = fail(ErrNoLink, "%s can't be reached: %v", c.options.address, err); {
	case ctx.Err() == context.Canceled:
		return ended(ctx, ErrCanceled, "%s: given up by the caller", c.options.address)
	case ctx.Err() != nil || isTimeout(err):
		return ended(ctx, ErrNoLink, "%s can't be reached: no answer in time", c.options.address)
	}
	e.cause = err
	return e
}

func byStatus(status int) Code {
	switch {
	case status == http.StatusUnauthorized:
		return ErrUnauthorized
	case status == http.StatusForbidden:
		return ErrForbidden
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusRequestEntityTooLarge:
		return ErrTooLarge
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		return ErrTooMany
	case status < 500:
		return ErrBadRequest
	}
	return ErrInternal
}

// hello says who speaks, and waits until the server knows.
func (l *link) hello(ctx context.Context) error {
	c := l.c
	deadline, _ := ctx.Deadline()
	_ = l.ws.SetWriteDeadline(deadline)
	if err := l.ws.WriteMessage(websocket.TextMessage, []byte("SESSION "+c.options.id+" local 2")); err != nil {
		return c.notReached(ctx, nil, err)
	}
	_ = l.ws.SetReadDeadline(deadline)
	for {
		_, frame, err := l.ws.ReadMessage()
		if err != nil {
			var e *Error
			if errors.As(closing(err), &e) && e.Code != ErrNoLink {
				e.Message = fmt.Sprintf("%s: %s", c.options.address, e.Message)
				return e
			}
			return c.notReached(ctx, nil, err)
		}
		if bytes.HasPrefix(frame, []byte("SESSIONACK ")) {
			return nil
		}
	}
}

// closing is what the end of a link means.
func closing(err error) error {
	var closed *websocket.CloseError
	if !errors.As(err, &closed) {
		return err
	}
	code := ErrNoLink
	switch closed.Code {
	case closedBad:
		code = ErrBadRequest
	case closedToken:
		code = ErrUnauthorized
	case closedBusy:
		code = ErrTooMany
	}
	return fail(code, "the server closed the link: %d %s", closed.Code, closed.Text)
}
