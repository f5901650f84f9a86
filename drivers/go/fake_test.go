package tega_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	tega "tega.local/tega"
)

// fake is a server that says what a test wants. serve gets each connection once SESSION was acknowledged, and its number
// from 1; the connection ends with it.
func fake(t *testing.T, serve func(ws *peer, n int)) string {
	t.Helper()
	var count atomic.Int64
	var upgrader websocket.Upgrader
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		p := &peer{ws: ws}
		if hello := p.read(); !strings.HasPrefix(hello, "SESSION ") || !strings.HasSuffix(hello, " local 2") {
			return
		}
		p.write("SESSIONACK fake")
		serve(p, int(count.Add(1)))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

type peer struct {
	ws *websocket.Conn
	mu sync.Mutex
}

// read is the next frame; empty: the connection is over.
func (p *peer) read() string {
	_, frame, err := p.ws.ReadMessage()
	if err != nil {
		return ""
	}
	return string(frame)
}

func (p *peer) write(frame string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.ws.WriteMessage(websocket.TextMessage, []byte(frame))
}

// asked is the next request: its number, its command line from the type on, and its body.
func (p *peer) asked() (seq, line, body string) {
	for {
		frame := p.read()
		if frame == "" {
			return "", "", ""
		}
		head, body, _ := strings.Cut(frame, "\n")
		if words := strings.SplitN(head, " ", 3); words[0] == "REQUEST" {
			return words[1], words[2], body
		}
	}
}

func (p *peer) answer(seq, body string) { p.write("RESPONSE " + seq + " X fake\n" + body) }

const receipt = `{"versions":{"a":3},"position":9,"durable":true}`

func refused(code string) string {
	return `{"error":{"code":"` + code + `","message":"` + code + ` it is"}}`
}

func TestThatNothingHappenedIsBelievedOfTheFirstAttemptOnly(t *testing.T) {
	for _, code := range []tega.Code{tega.ErrNoLink, tega.ErrTooMany, tega.ErrReadOnly, tega.ErrNoSpace, tega.ErrClosing} {
		url := fake(t, func(ws *peer, n int) {
			seq, _, _ := ws.asked()
			if n == 2 {
				return // the link breaks with the request again
			}
			for seq != "" {
				ws.answer(seq, refused(string(code)))
				if seq, _, _ = ws.asked(); n == 1 {
					return // the link breaks with the second request
				}
			}
		})
		c := dial(t, url)
		e := wantCode(t, must2(c.Put(ctx, "a.b", 1)), code)
		wantCode(t, e, tega.ErrNothingHappened)
		e = wantCode(t, must2(c.Put(within(t, 400*time.Millisecond), "a.b", 1)), tega.ErrOutcomeUnknown)
		if e.RequestID == "" || !strings.Contains(e.Message, string(code)) {
			t.Errorf("it doesn't say what the last answer was: %v", e)
		}
	}
}

func TestAWriteOfWhichTheServerCantTellIsSentAgainUnderItsID(t *testing.T) {
	var bodies []string
	url := fake(t, func(ws *peer, _ int) {
		for {
			seq, _, body := ws.asked()
			if seq == "" {
				return
			}
			if bodies = append(bodies, body); len(bodies)%3 != 0 {
				ws.answer(seq, refused("outcome_unknown"))
			} else {
				ws.answer(seq, receipt)
			}
		}
	})
	c := dial(t, url)
	equal(t, must(c.Put(ctx, "a.b", 1))(t).Position, 9)
	equal(t, bodies[0] == bodies[1] && bodies[1] == bodies[2], true)
	// The next one knows a position by which the server can judge its ID.
	equal(t, must(c.Delete(ctx, "a.b"))(t).Version(), 3)
	equal(t, strings.Contains(bodies[3], `"request_id":"@9:`), true)
	equal(t, strings.Contains(bodies[0], `"request_id":"@`), false)
	// Where there's no time for it, it's told.
	bodies = nil
	e := wantCode(t, must2(c.Put(within(t, 50*time.Millisecond), "a.b", 1)), tega.ErrOutcomeUnknown)
	equal(t, strings.Contains(bodies[0], e.RequestID), true)
}

func TestAnIDThatTheServerTakesForOldIsDrawnAnew(t *testing.T) {
	const old = `{"error":{"code":"outcome_unknown","message":"request ID \"x\" is too old, or of another server, to be judged; nothing was applied now: read, then decide"}}`
	var ids []string
	url := fake(t, func(ws *peer, _ int) {
		for {
			seq, _, body := ws.asked()
			if seq == "" {
				return
			}
			var told struct {
				ID string `json:"request_id"`
			}
			check(t, json.Unmarshal([]byte(body), &told))
			if ids = append(ids, told.ID); told.ID[0] == '@' || told.ID == "mine" {
				ws.answer(seq, old)
			} else {
				ws.answer(seq, receipt)
			}
		}
	})
	c := dial(t, url)
	for i := 0; i < 3; i++ {
		must(c.Put(ctx, "a.b", i))(t)
	}
	// random, @9: and random, random: the position in the second receipt is taken for good again.
	equal(t, len(ids), 5)
	equal(t, strings.HasPrefix(ids[1], "@9:") && ids[2][0] != '@', true)
	// One that the caller chose may have been used before.
	e := wantCode(t, must2(c.Put(within(t, 50*time.Millisecond), "a.b", 1, tega.RequestID("mine"))), tega.ErrOutcomeUnknown)
	equal(t, e.RequestID, "mine")
}

func TestAPingIsAnswered(t *testing.T) {
	ponged := make(chan string, 1)
	url := fake(t, func(ws *peer, _ int) {
		ws.ws.SetPongHandler(func(payload string) error {
			ponged <- payload
			return nil
		})
		_ = ws.ws.WriteControl(websocket.PingMessage, []byte("there?"), time.Now().Add(time.Second))
		ws.read()
	})
	dial(t, url)
	equal(t, <-ponged, "there?")
}

func TestCloseWaitsForNobody(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	url := fake(t, func(*peer, int) { <-stop })
	c := dial(t, url)
	done := make(chan error, 20)
	for i := 0; i < cap(done); i++ {
		// More than all buffers on the way hold.
		go func() { done <- must2(c.Put(ctx, "a.b", strings.Repeat("x", 1<<20))) }()
	}
	time.Sleep(300 * time.Millisecond)
	begun := time.Now()
	check(t, c.Close())
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	for i := 0; i < cap(done); i++ {
		if err := <-done; !errors.Is(err, tega.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
	// Nor for a server that says nothing to a new link.
	silent := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer silent.Close()
	cancelled, cancel := context.WithCancel(ctx)
	time.AfterFunc(50*time.Millisecond, cancel)
	begun = time.Now()
	_, err := tega.Dial(cancelled, silent.Addr().String())
	wantCode(t, err, tega.ErrCanceled)
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAThousandRequestsAreOnTheWireAtMost(t *testing.T) {
	const all = 1_500
	seqs := make(chan string, all)
	url := fake(t, func(ws *peer, _ int) {
		go func() {
			time.Sleep(300 * time.Millisecond)
			for i := 0; i < all; i++ {
				if i == 0 && len(seqs) != 1_000 {
					t.Errorf("%d are on the wire", len(seqs))
				}
				ws.answer(<-seqs, `{"value":1}`)
			}
		}()
		for {
			seq, _, _ := ws.asked()
			if seq == "" {
				return
			}
			seqs <- seq
		}
	})
	c := dial(t, url)
	var tasks sync.WaitGroup
	for i := 0; i < all; i++ {
		tasks.Add(1)
		go func() {
			defer tasks.Done()
			if err := must2(c.Get(ctx, "a.b")); err != nil {
				t.Error(err)
			}
		}()
	}
	tasks.Wait()
}

func TestWhatWaitsGoesInItsOrderBehindWhatTheLinkNeeds(t *testing.T) {
	lines := make(chan string, 100)
	url := fake(t, func(ws *peer, n int) {
		for i := 0; ; i++ {
			seq, line, _ := ws.asked()
			if seq == "" {
				return
			}
			lines <- line
			if n == 1 && strings.HasPrefix(line, "GET") {
				if strings.HasSuffix(line, "a.4") {
					return
				}
				continue
			}
			ws.answer(seq, `{"position":1,"roots":{},"value":1,"versions":{},"durable":true}`)
		}
	})
	c := dial(t, url, tega.ID("me"))
	must(c.Watch(ctx, "w"))(t)
	must(c.Put(ctx, "e.x", 1, tega.Ephemeral()))(t)
	var tasks sync.WaitGroup
	for i := 0; i < 5; i++ {
		tasks.Add(1)
		path := tega.Join("a", fmt.Sprint(i))
		go func() {
			defer tasks.Done()
			must(c.Get(ctx, path))(t)
		}()
		time.Sleep(20 * time.Millisecond)
	}
	tasks.Wait()
	want := []string{"SUBSCRIBE me w", "PUT me e.x"}
	want = append(want, "GET me a.0", "GET me a.1", "GET me a.2", "GET me a.3", "GET me a.4")
	want = append(want, want...)
	for _, line := range want {
		equal(t, <-lines, line)
	}
}

func TestWhatCantBeReadEndsTheLinkAndAnotherIsMade(t *testing.T) {
	for _, frame := range []string{"RESPONSE x\n{}", "NOTIFY\n{", "MESSAGE a\n1", "REQUEST 1 RPC", "REQUEST x RPC y a\n{}"} {
		url := fake(t, func(ws *peer, n int) {
			if n == 1 {
				ws.write(frame)
			}
			for {
				seq, _, _ := ws.asked()
				if seq == "" {
					return
				}
				if n > 1 {
					ws.answer(seq, `{"value":1}`)
				}
			}
		})
		must(dial(t, url).Get(ctx, "a.b"))(t)
	}
	// As does a message that is no text.
	url := fake(t, func(ws *peer, n int) {
		if n == 1 {
			_ = ws.ws.WriteMessage(websocket.BinaryMessage, []byte("RESPONSE 1 GET x\n{}"))
			ws.read()
			return
		}
		seq, _, _ := ws.asked()
		ws.answer(seq, `{"value":1}`)
		ws.read()
	})
	must(dial(t, url).Get(ctx, "a.b"))(t)
}

func TestCallsAreDeclinedThatNobodyServes(t *testing.T) {
	got := make(chan string, 10)
	url := fake(t, func(ws *peer, _ int) {
		ws.write("REQUEST 7 RPC somebody fn.none\n{\"args\":[],\"kwargs\":{}}")
		got <- ws.read()
		ws.read()
	})
	dial(t, url, tega.ID("me"))
	equal(t, <-got, "RESPONSE 7 RPC me\n"+`{"error":{"code":"rpc_failed","message":"this client serves no function at fn.none"}}`)
}

func TestAServerThatTakesNothingAndAsksOnIsLeft(t *testing.T) {
	links := make(chan int, 10)
	url := fake(t, func(ws *peer, n int) {
		links <- n
		if n > 1 {
			ws.read()
			return
		}
		body := "{\"args\":[\"" + strings.Repeat("x", 1000) + "\"]}"
		for i := 0; i < 200_000; i++ {
			if err := ws.ws.WriteMessage(websocket.TextMessage, []byte(fmt.Sprintf("REQUEST %d RPC x %s\n%s", i, strings.Repeat("p", 900), body))); err != nil {
				return
			}
		}
	})
	dial(t, url)
	equal(t, <-links, 1)
	equal(t, <-links, 2)
}
