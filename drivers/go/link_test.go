package tega_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	tega "tega.local/tega"
)

func TestPipelined(t *testing.T) {
	s := startServer(t)
	c := dial(t, s.url)
	owner := dial(t, s.url)
	begun, go_on := make(chan struct{}), make(chan struct{})
	must(owner.Serve(ctx, "fn.slow", func(context.Context, *tega.Incoming) (any, error) {
		close(begun)
		<-go_on
		return "late", nil
	}))(t)
	answer := make(chan string, 1)
	go func() {
		result, err := tega.Call[string](ctx, c, "fn.slow")
		answer <- result + text(err)
	}()
	<-begun
	must(c.Put(ctx, "a.b", 1))(t)
	equal(t, must(tega.Get[int](ctx, c, "a.b"))(t), 1)
	equal(t, len(answer), 0)
	close(go_on)
	equal(t, <-answer, "late")
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestNoServer(t *testing.T) {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	address := listener.Addr().String()
	listener.Close()
	_, err := tega.Dial(ctx, "http://"+address)
	if e := wantCode(t, err, tega.ErrNoLink); !strings.Contains(e.Message, address) {
		t.Errorf("the address isn't named: %v", e)
	}
	wantCode(t, err, tega.ErrNothingHappened)

	// Somebody listens and says nothing.
	silent := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer silent.Close()
	begun := time.Now()
	_, err = tega.Dial(ctx, silent.Addr().String(), tega.ConnectTimeout(100*time.Millisecond))
	wantCode(t, err, tega.ErrNoLink)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	_, err = tega.Dial(within(t, 50*time.Millisecond), silent.Addr().String())
	wantCode(t, err, tega.ErrNoLink)
	if !errors.Is(err, context.DeadlineExceeded) {
		var network net.Error
		if !errors.As(err, &network) || !network.Timeout() {
			t.Errorf("no timeout: %v", err)
		}
	}
}

func TestReconnect(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c := dial(t, p.url(), tega.ID("me"))
	for i := 0; i < 5; i++ {
		must(c.Put(ctx, "a.b", i))(t)
		p.cut()
		equal(t, must(tega.Get[int](ctx, c, "a.b"))(t), i)
	}
	eventually(t, "the session has the same tega ID", func() bool { return s.get("/_ids") == `["me"]` })
}

func TestNoLink(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c := dial(t, p.url())
	p.away()
	// Until it's noticed, a write may go to where nobody reads it.
	eventually(t, "the link is known to be away", func() bool {
		return errors.Is(must2(c.Get(within(t, 20*time.Millisecond), "x")), tega.ErrNoLink)
	})
	e := wantCode(t, must2(c.Put(within(t, 50*time.Millisecond), "a.b", 1)), tega.ErrNoLink)
	if !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("no deadline: %v", e)
	}
	wantCode(t, e, tega.ErrNothingHappened)
	p.back(s.address())
	wantCode(t, must2(c.Get(ctx, "a.b")), tega.ErrNotFound)
}

func TestReadOverABreak(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c := dial(t, p.url())
	must(c.Put(ctx, "a.b", 1))(t)
	p.setMute(true)
	got := make(chan int, 1)
	go func() { got <- must(tega.Get[int](ctx, c, "a.b"))(t) }()
	select {
	case <-got:
		t.Fatal("the answer was lost, and came")
	case <-time.After(50 * time.Millisecond):
	}
	p.setMute(false)
	p.cut()
	equal(t, <-got, 1)
}

// lostAnswer makes a write whose answer is lost with the link, once the server has it.
func lostAnswer(t *testing.T, p *proxy, write func() error, happened func() bool) chan error {
	t.Helper()
	p.setMute(true)
	done := make(chan error, 1)
	go func() { done <- write() }()
	eventually(t, "the server has it", happened)
	p.away()
	return done
}

func TestWriteOverABreak(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	// The first has no position in its request ID, the second has.
	for version := int64(0); version < 2; version++ {
		var receipt tega.Receipt
		done := lostAnswer(t, p, func() (err error) {
			receipt, err = c.Put(ctx, "a.b", version)
			return err
		}, func() bool { return must(tega.GetOr(ctx, other, "a.b", int64(-1)))(t) == version })
		p.back(s.address())
		check(t, <-done)
		equal(t, receipt.Version(), version)
		equal(t, must(other.Get(ctx, "a.b"))(t).Version, version)
	}
	equal(t, len(must(other.History(ctx, "a"))(t)), 2)
}

func TestOutcomeUnknown(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	done := lostAnswer(t, p, func() error { return must2(c.Put(within(t, 300*time.Millisecond), "a.b", 1)) },
		func() bool { return must(tega.GetOr(ctx, other, "a.b", 0))(t) == 1 })
	e := wantCode(t, <-done, tega.ErrOutcomeUnknown)
	if e.RequestID == "" {
		t.Error("it has no request ID")
	}
	if errors.Is(e, tega.ErrNothingHappened) || !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("it isn't what it is: %v", e)
	}
}

func TestSafeRetry(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	must(c.Put(ctx, "a.b", 0))(t)
	done := lostAnswer(t, p, func() error { return must2(c.Put(within(t, 300*time.Millisecond), "a.b", 1)) },
		func() bool { return must(tega.Get[int](ctx, other, "a.b"))(t) == 1 })
	id := wantCode(t, <-done, tega.ErrOutcomeUnknown).RequestID
	p.back(s.address())
	must(other.Put(ctx, "a.c", 1))(t)
	equal(t, must(c.Put(ctx, "a.b", 1, tega.RequestID(id)))(t).Version(), 1)
	equal(t, must(c.Get(ctx, "a"))(t).Version, 2)
	wantCode(t, must2(c.Put(ctx, "a.b", 2, tega.RequestID(id))), tega.ErrBadRequest)
}

func TestCancelled(t *testing.T) {
	s := startServer(t)
	c, owner := dial(t, s.url), dial(t, s.url)
	go_on := make(chan struct{})
	defer close(go_on)
	must(owner.Serve(ctx, "fn.slow", func(context.Context, *tega.Incoming) (any, error) {
		<-go_on
		return nil, nil
	}))(t)
	w := must(c.Watch(ctx, "a"))(t)
	soon := func() context.Context {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(30*time.Millisecond, cancel)
		return ctx
	}
	begun := time.Now()
	e := wantCode(t, must2(c.Call(soon(), "fn.slow")), tega.ErrCanceled)
	if !errors.Is(e, context.Canceled) {
		t.Errorf("no context's: %v", e)
	}
	wantCode(t, must2(w.Next(soon())), tega.ErrCanceled)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	wantCode(t, must2(c.Get(cancelled, "a")), tega.ErrCanceled)
	wantCode(t, must2(c.Put(cancelled, "a.b", 1)), tega.ErrCanceled)
	// A watch ends with its context.
	short := must(c.Watch(soon(), "b"))(t)
	if _, open := <-short.Changes(); open {
		t.Error("it goes on")
	}
	check(t, short.Err())
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	must(owner.Put(ctx, "a.b", 2))(t)
	wantTold(t, w, "put a.b 2")
	equal(t, must(tega.Get[int](ctx, c, "a.b"))(t), 2)
}

func TestTooLarge(t *testing.T) {
	s := startServer(t)
	c := dial(t, s.url)
	w := must(dial(t, s.url).Watch(ctx, "a"))(t)
	for _, size := range []int{1<<20 + 112<<10, 4 << 20} {
		e := wantCode(t, must2(c.Put(ctx, "a.b", strings.Repeat("x", size))), tega.ErrTooLarge)
		if e.Message == "" {
			t.Error("it doesn't say what")
		}
	}
	wantCode(t, c.Publish(ctx, "a", strings.Repeat("x", 2<<20)), tega.ErrTooLarge)
	tx := c.Begin()
	check(t, tx.Put("a.b", strings.Repeat("x", 1<<19)))
	wantCode(t, tx.Put("a.c", strings.Repeat("x", 1<<20)), tega.ErrTooLarge)
	quiet(t, w, c, "a.z")
	// Just what fits.
	must(c.Put(ctx, "a.b", strings.Repeat("x", 1<<20-2)))(t)
	equal(t, len(must(tega.Get[string](ctx, c, "a.b"))(t)), 1<<20-2)
}

func TestTooMany(t *testing.T) {
	const most = 10_000
	s := startServer(t)
	p := startProxy(t, s.address())
	c := dial(t, p.url(), tega.Timeout(60*time.Second))
	must(c.Put(ctx, "a.b", 1))(t)
	p.away()
	eventually(t, "the link is known to be away", func() bool {
		return errors.Is(must2(c.Get(within(t, 20*time.Millisecond), "x")), tega.ErrNoLink)
	})
	var tasks sync.WaitGroup
	errs := make(chan error, most+100)
	for i := 0; i < most+100; i++ {
		tasks.Add(1)
		go func() {
			defer tasks.Done()
			_, err := tega.Get[int](ctx, c, "a.b")
			errs <- err
		}()
	}
	// Those beyond are refused while the others wait.
	for i := 0; i < 100; i++ {
		wantCode(t, <-errs, tega.ErrTooMany)
	}
	equal(t, len(errs), 0)
	p.back(s.address())
	tasks.Wait()
	close(errs)
	for err := range errs {
		check(t, err)
	}
}

func TestSilentLink(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c := dial(t, p.url(), tega.Keepalive(50*time.Millisecond))
	must(c.Put(ctx, "a.b", 1))(t)
	// A quiet one that answers isn't taken for dead.
	time.Sleep(500 * time.Millisecond)
	equal(t, p.connections(), 1)
	p.setStalled(true)
	got := make(chan error, 1)
	go func() { got <- must2(c.Get(ctx, "a.b")) }()
	eventually(t, "the link is made again", func() bool { return p.connections() > 1 })
	p.setStalled(false)
	check(t, <-got)
}

func TestClosed(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c := dial(t, p.url())
	must(c.Put(ctx, "a.b", 1))(t)
	w := must(c.Watch(ctx, "a"))(t)
	m := must(c.Subscribe(ctx, "a"))(t)
	p.setStalled(true)
	read, written := make(chan error, 1), make(chan error, 1)
	go func() { read <- must2(c.Get(ctx, "a.b")) }()
	go func() { written <- must2(c.Put(ctx, "a.b", 2)) }()
	time.Sleep(100 * time.Millisecond)
	check(t, c.Close())
	check(t, c.Close())
	wantCode(t, <-read, tega.ErrClosed)
	if e := wantCode(t, <-written, tega.ErrOutcomeUnknown); e.RequestID == "" {
		t.Error("it has no request ID")
	}
	if _, open := <-w.Changes(); open || w.Err() != nil {
		t.Errorf("the watch ended with %v", w.Err())
	}
	wantCode(t, must2(w.Next(ctx)), tega.ErrClosed)
	wantCode(t, must2(m.Next(ctx)), tega.ErrClosed)
	for _, err := range []error{
		must2(c.Get(ctx, "a.b")), must2(c.Put(ctx, "a.b", 1)), must2(c.Watch(ctx, "a")), must2(c.History(ctx, "a")),
		c.Publish(ctx, "a", 1), must2(c.Call(ctx, "a.b")),
	} {
		wantCode(t, err, tega.ErrClosed)
		wantCode(t, err, tega.ErrNothingHappened)
	}
	nothingLeft(t)

	// What waited for a link was never sent.
	q := startProxy(t, s.address())
	d := dial(t, q.url())
	q.away()
	eventually(t, "the link is known to be away", func() bool {
		return errors.Is(must2(d.Get(within(t, 20*time.Millisecond), "x")), tega.ErrNoLink)
	})
	go func() { written <- must2(d.Put(ctx, "a.b", 3)) }()
	time.Sleep(50 * time.Millisecond)
	check(t, d.Close())
	wantCode(t, <-written, tega.ErrClosed)
}
