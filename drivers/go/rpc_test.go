package tega_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	tega "tega.local/tega"
)

func TestRPC(t *testing.T) {
	s := startServer(t)
	owner, c := dial(t, s.url, tega.ID("owner")), dial(t, s.url, tega.ID("c"))
	echo := must(owner.Serve(ctx, "fn.echo", func(_ context.Context, in *tega.Incoming) (any, error) {
		return map[string]any{"args": in.Args, "kwargs": in.Kwargs, "by": in.By, "path": in.Path}, nil
	}, tega.Signature("host, count")))(t)
	equal(t, must(tega.Get[string](ctx, c, "fn.echo"))(t), "%owner.echo(host, count)")
	result := must(c.Call(ctx, "fn.echo", "192.0.2.1", 2, tega.Kwargs{"size": 56}))(t)
	equal(t, string(result), `{"args":["192.0.2.1",2],"by":"c","kwargs":{"size":56},"path":"fn.echo"}`)
	equal(t, string(must(c.Call(ctx, "fn.echo"))(t)), `{"args":[],"by":"c","kwargs":{},"path":"fn.echo"}`)
	var value any
	must(owner.Serve(ctx, tega.Join("fn", "same as", "given"), func(_ context.Context, in *tega.Incoming) (any, error) {
		return value, nil
	}))(t)
	for _, value = range []any{
		nil, false, 0, "", "<text>", []any{}, map[string]any{}, map[string]any{"result": 1},
		map[string]any{"error": map[string]any{"code": "conflict", "message": "no refusal"}}, map[string]any{"error": "x"},
	} {
		got := must(tega.Call[any](ctx, c, tega.Join("fn", "same as", "given")))(t)
		equal(t, asJSON(t, got), asJSON(t, value))
	}
	type answer struct{ By string }
	equal(t, must(tega.Call[answer](ctx, c, "fn.echo"))(t).By, "c")
	wantCode(t, must2(owner.Serve(ctx, "/fn/echo", nil)), tega.ErrBadRequest)
	wantCode(t, must2(c.Call(ctx, "fn.echo", make(chan int))), tega.ErrBadRequest)
	// It may be called by who serves it.
	must(owner.Call(ctx, "fn.echo"))(t)
	check(t, echo.Close(ctx))
	check(t, echo.Close(ctx))
	wantCode(t, must2(c.Call(ctx, "fn.echo")), tega.ErrNotFound)
}

func TestAnArgumentIsFoundByItsNameOrByItsPlace(t *testing.T) {
	in := &tega.Incoming{Args: rawArgs(`1`, `"two"`), Kwargs: map[string]rawJSON{"b": raw("3")}}
	var n int
	is := func(place int, name string) (bool, error) { return in.Arg(place, name, &n) }
	equal(t, must(is(0, "a"))(t), true)
	equal(t, n, 1)
	equal(t, must(is(1, "b"))(t), true)
	equal(t, n, 3)
	equal(t, must(is(7, "c"))(t), false)
	equal(t, must(is(-1, "c"))(t), false)
	wantCode(t, must2(is(1, "c")), tega.ErrBadRequest)
}

func TestRPCAgain(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	owner, c := dial(t, p.url()), dial(t, s.url)
	must(owner.Serve(ctx, "fn.f", func(context.Context, *tega.Incoming) (any, error) { return 1, nil }))(t)
	equal(t, must(tega.Call[int](ctx, c, "fn.f"))(t), 1)
	p.cut()
	eventually(t, "it's served again", func() bool { return must2(c.Call(ctx, "fn.f")) == nil })
	check(t, c.Close())
	s.restart()
	p.back(s.address())
	c = dial(t, s.url)
	eventually(t, "it's served after a restart", func() bool { return must2(c.Call(ctx, "fn.f")) == nil })
}

func TestRPCAbsent(t *testing.T) {
	s := startServer(t)
	c := dial(t, s.url)
	must(c.Put(ctx, "fn.away", "%nobody.f"))(t)
	must(c.Put(ctx, "fn.none", "no function"))(t)
	e := wantCode(t, must2(c.Call(ctx, "fn.away")), tega.ErrNoOwner)
	wantCode(t, e, tega.ErrNothingHappened)
	equal(t, e.Path, "fn.away")
	wantCode(t, must2(c.Call(ctx, "fn.nothing")), tega.ErrNotFound)
	wantCode(t, must2(c.Call(ctx, "fn.none")), tega.ErrNotFound)
	// A leaf that stays is served by who comes back.
	owner := dial(t, s.url, tega.ID("owner"))
	f := func(context.Context, *tega.Incoming) (any, error) { return 1, nil }
	service := must(owner.Serve(ctx, "fn.stays", f, tega.Stay()))(t)
	version := must(c.Get(ctx, "fn.stays"))(t).Version
	check(t, service.Close(ctx))
	wantCode(t, must2(c.Call(ctx, "fn.stays")), tega.ErrRPCFailed)
	check(t, owner.Close())
	eventually(t, "its owner is away", func() bool { return errors.Is(must2(c.Call(ctx, "fn.stays")), tega.ErrNoOwner) })
	must(dial(t, s.url, tega.ID("owner")).Serve(ctx, "fn.stays", f, tega.Stay()))(t)
	equal(t, must(tega.Call[int](ctx, c, "fn.stays"))(t), 1)
	equal(t, must(c.Get(ctx, "fn.stays"))(t).Version, version)
}

func TestRPCError(t *testing.T) {
	s := startServer(t)
	owner, c := dial(t, s.url), dial(t, s.url)
	must(owner.Serve(ctx, "fn.f", func(_ context.Context, in *tega.Incoming) (any, error) {
		var how string
		if _, err := in.Arg(0, "how", &how); err != nil {
			return nil, err
		}
		switch how {
		case "error":
			return nil, errors.New("no such host")
		case "panic":
			panic("a bug")
		case "value":
			return make(chan int), nil
		case "large":
			return strings.Repeat("x", 2<<20), nil
		}
		return "fine", nil
	}))(t)
	for _, how := range []string{"error", "panic", "value", "large"} {
		e := wantCode(t, must2(c.Call(ctx, "fn.f", how)), tega.ErrRPCFailed)
		if strings.Contains(e.Message, ".go") || how == "error" && e.Message != "no such host" {
			t.Errorf("%s: %v", how, e)
		}
		equal(t, must(tega.Call[string](ctx, c, "fn.f", "well"))(t), "fine")
	}
	wantCode(t, must2(c.Call(ctx, "fn.f", 7)), tega.ErrRPCFailed)
}

func TestRPCTimeout(t *testing.T) {
	s := startServer(t)
	owner, c := dial(t, s.url), dial(t, s.url)
	go_on := make(chan struct{})
	must(owner.Serve(ctx, "fn.f", func(_ context.Context, in *tega.Incoming) (any, error) {
		var n int
		_, err := in.Arg(0, "n", &n)
		if n == 1 {
			<-go_on
		}
		return n, err
	}))(t)
	e := wantCode(t, must2(c.Call(within(t, 50*time.Millisecond), "fn.f", 1)), tega.ErrTimeout)
	if !errors.Is(e, context.DeadlineExceeded) || errors.Is(e, tega.ErrNothingHappened) {
		t.Errorf("it isn't what it is: %v", e)
	}
	close(go_on)
	for n := 2; n < 10; n++ {
		equal(t, must(tega.Call[int](ctx, c, "fn.f", n))(t), n)
	}
}

// inMidCall breaks a link while a function runs, and returns what the caller is told and how often it ran.
func inMidCall(t *testing.T, ownersLink bool) (error, int64) {
	s := startServer(t)
	p := startProxy(t, s.address())
	urls := map[bool]string{true: p.url(), false: s.url}
	owner, c := dial(t, urls[ownersLink]), dial(t, urls[!ownersLink])
	var runs atomic.Int64
	begun := make(chan struct{}, 10)
	must(owner.Serve(ctx, "fn.f", func(ctx context.Context, _ *tega.Incoming) (any, error) {
		runs.Add(1)
		begun <- struct{}{}
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
		return 1, nil
	}))(t)
	done := make(chan error, 1)
	go func() { done <- must2(c.Call(ctx, "fn.f")) }()
	<-begun
	p.cut()
	err := <-done
	must(c.Put(ctx, "a.b", 1))(t)
	time.Sleep(400 * time.Millisecond)
	return err, runs.Load()
}

func TestRPCOwnerLost(t *testing.T) {
	err, runs := inMidCall(t, true)
	wantCode(t, err, tega.ErrOutcomeUnknown)
	equal(t, runs, 1)
}

func TestRPCCallerLost(t *testing.T) {
	err, runs := inMidCall(t, false)
	wantCode(t, err, tega.ErrOutcomeUnknown)
	equal(t, runs, 1)
}

func TestRPCBounded(t *testing.T) {
	s := startServer(t)
	owner, c := dial(t, s.url, tega.Concurrency(3, 5)), dial(t, s.url)
	var running, most atomic.Int64
	go_on := make(chan struct{})
	must(owner.Serve(ctx, "fn.f", func(context.Context, *tega.Incoming) (any, error) {
		if now := running.Add(1); now > most.Load() {
			most.Store(now)
		}
		<-go_on
		running.Add(-1)
		return 1, nil
	}))(t)
	const calls = 20
	results := make(chan error, calls)
	for i := 0; i < calls; i++ {
		go func() { results <- must2(c.Call(ctx, "fn.f")) }()
	}
	for i := 0; i < calls-8; i++ {
		if e := wantCode(t, <-results, tega.ErrRPCFailed); !strings.Contains(e.Message, "busy") {
			t.Error(e)
		}
	}
	eventually(t, "three run", func() bool { return running.Load() == 3 })
	close(go_on)
	for i := 0; i < 8; i++ {
		check(t, <-results)
	}
	equal(t, most.Load(), 3)
	must(c.Call(ctx, "fn.f"))(t)
}

func TestOwnAnswers(t *testing.T) {
	const clients, each = 50, 20
	s := startServer(t)
	owner := dial(t, s.url, tega.Concurrency(64, 1_000))
	var served atomic.Int64
	must(owner.Serve(ctx, "fn.double", func(_ context.Context, in *tega.Incoming) (any, error) {
		var n int
		if there, err := in.Arg(0, "n", &n); !there || err != nil {
			return nil, fmt.Errorf("a number is wanted (%v)", err)
		}
		served.Add(1)
		// Answers overtake each other.
		time.Sleep(time.Duration(n%7) * time.Millisecond)
		return 2 * n, nil
	}))(t)
	var tasks sync.WaitGroup
	begin := make(chan struct{})
	for i := 0; i < clients; i++ {
		c := dial(t, s.url)
		for j := 0; j < each; j++ {
			n := i*each + j
			tasks.Add(1)
			go func() {
				defer tasks.Done()
				<-begin
				if got, err := tega.Call[int](ctx, c, "fn.double", n); err != nil || got != 2*n {
					t.Errorf("%d: got %d, %v", n, got, err)
				}
			}()
		}
	}
	close(begin)
	tasks.Wait()
	equal(t, served.Load(), clients*each)
}
