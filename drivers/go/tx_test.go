package tega_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"

	tega "tega.local/tega"
)

func TestConflict(t *testing.T) {
	s := startServer(t)
	c := dial(t, s.url)
	must(c.Put(ctx, "a.b", 1))(t)
	must(c.Put(ctx, "a.b", 2, tega.IfVersion(0)))(t)
	refused := func(err error, expected, actual int64) {
		t.Helper()
		e := wantCode(t, err, tega.ErrConflict)
		equal(t, e.Path, "a.b")
		equal(t, *e.Expected, expected)
		equal(t, *e.Actual, actual)
	}
	refused(must2(c.Put(ctx, "a.b", 3, tega.IfVersion(0))), 0, 1)
	refused(must2(c.Put(ctx, "a.b", 3, tega.IfAbsent())), -1, 1)
	refused(must2(c.Delete(ctx, "a.b", tega.IfVersion(7))), 7, 1)
	runs := 0
	refused(must2(c.Update(ctx, func(tx *tega.Tx) error {
		runs++
		check(t, tx.Put("a.c", 1))
		return tx.Put("a.b", 3, tega.IfVersion(0))
	})), 0, 1)
	equal(t, runs, 1)
	wantCode(t, must2(c.Rollback(ctx, "a", 0, tega.IfVersion(0))), tega.ErrConflict)
	equal(t, asJSON(t, must(tega.Get[any](ctx, c, "a"))(t)), `{"b":2}`)
	equal(t, must(c.Get(ctx, "a"))(t).Version, 1)
}

func TestTransaction(t *testing.T) {
	s := startServer(t)
	c := dial(t, s.url)
	receipt := must(c.Update(ctx, func(tx *tega.Tx) error {
		check(t, tx.Put("a.b", 1))
		check(t, tx.Put("a.c", map[string]any{"d": 2, "e": 3}))
		check(t, tx.Delete("a.c.e"))
		return tx.Put("z.x", true)
	}, tega.Durable()))(t)
	equal(t, receipt.Versions["a"], 0)
	equal(t, receipt.Versions["z"], 0)
	equal(t, receipt.Durable, true)
	equal(t, receipt.Version(), tega.NoVersion)
	equal(t, asJSON(t, must(tega.Get[any](ctx, c, "a"))(t)), `{"b":1,"c":{"d":2}}`)
	// An error in the middle: nothing at all.
	wrong := errors.New("changed my mind")
	_, err := c.Update(ctx, func(tx *tega.Tx) error {
		check(t, tx.Put("a.b", 7))
		return wrong
	})
	if err != wrong {
		t.Errorf("got %v", err)
	}
	// Nothing at all where one can't be done, either.
	wantCode(t, must2(c.Update(ctx, func(tx *tega.Tx) error {
		check(t, tx.Put("a.b", 7))
		return tx.Delete("a.nothing")
	})), tega.ErrNotFound)
	equal(t, must(c.Get(ctx, "a.b"))(t).Version, 0)
	must(c.Update(ctx, func(*tega.Tx) error { return nil }))(t)
	equal(t, len(must(c.History(ctx, "a"))(t)), 1)
}

func TestATransactionHasAsManyOperationsAsTheServerTakes(t *testing.T) {
	s := startServer(t)
	c := dial(t, s.url)
	tx := c.Begin()
	for i := 0; i < 10_000; i++ {
		check(t, tx.Put(tega.Join("a", strconv.Itoa(i)), i))
	}
	wantCode(t, tx.Put("a.more", 1), tega.ErrTooLarge)
	must(tx.Commit(ctx))(t)
	equal(t, len(must(tega.Get[map[string]int](ctx, c, "a"))(t)), 10_000)
}

func TestTransactionReadsItsWrites(t *testing.T) {
	s := startServer(t)
	c := dial(t, s.url)
	for _, script := range [][]string{
		{"put a.b 1"},
		{"put a.b.c 1"},
		{"put a {\"x\":{\"y\":2}}", "put a.x.z 3"},
		{"del a.old"},
		{"del a.old.deep"},
		{"del a", "put a.new 1"},
		{"put a.old 5", "del a.old"},
		{"put a.old {}", "put a.old.k.l.m 6", "del a.old.k.l.m"},
		{"put a.list [1,2]"},
		{"put a.n 18446744073709551615"},
		{"put a.old.deep.er 1"},
	} {
		must(c.Put(ctx, "a", map[string]any{"old": map[string]any{"deep": 1, "other": 2}, "keep": 0}))(t)
		tx := c.Begin()
		for _, line := range script {
			do(t, tx, line)
		}
		paths := []tega.Path{"a", "a.b", "a.b.c", "a.x", "a.x.y", "a.old", "a.old.deep", "a.old.k", "a.new", "a.keep", "a.n"}
		said := make([]string, len(paths))
		failed := false
		for i, path := range paths {
			node, err := tx.Get(ctx, path)
			said[i] = shown(t, node, err)
			failed = failed || errors.Is(err, tega.ErrBadRequest)
		}
		_, err := tx.Commit(ctx)
		// What can't be written can't be read.
		equal(t, failed, err != nil)
		for i, path := range paths {
			if err == nil {
				node, err := c.Get(ctx, path)
				if now := shown(t, node, err); now != said[i] {
					t.Errorf("%v: %s was told to be %s, and is %s", script, path, said[i], now)
				}
			}
		}
	}
}

func do(t *testing.T, tx *tega.Tx, line string) {
	t.Helper()
	words := splitN(line)
	if words[0] == "del" {
		check(t, tx.Delete(tega.Path(words[1])))
		return
	}
	check(t, tx.Put(tega.Path(words[1]), raw(words[2])))
}

func shown(t *testing.T, node tega.Node, err error) string {
	if err != nil {
		return text(err)
	}
	var value any
	check(t, node.Decode(&value))
	return asJSON(t, value)
}

func TestTransactionChecks(t *testing.T) {
	s := startServer(t)
	c, other := dial(t, s.url), dial(t, s.url)
	must(c.Put(ctx, "a.b", 1))(t)
	tx := c.Begin()
	must(tx.Get(ctx, "a.b"))(t)
	must(other.Put(ctx, "a.b", 2))(t)
	// What was read is read again from memory.
	equal(t, must(tega.Get[int](ctx, tx, "a.b"))(t), 1)
	check(t, tx.Put("a.c", 1))
	check(t, tx.Put("a.b", 3))
	wantCode(t, must2(tx.Commit(ctx)), tega.ErrConflict)
	equal(t, asJSON(t, must(tega.Get[any](ctx, c, "a"))(t)), `{"b":2}`)
	// That nothing was there is checked too; and a delete.
	tx = c.Begin()
	wantCode(t, must2(tx.Get(ctx, "a.new")), tega.ErrNotFound)
	must(other.Put(ctx, "a.new", 1))(t)
	check(t, tx.Put("a.new", 2))
	wantCode(t, must2(tx.Commit(ctx)), tega.ErrConflict)
	tx = c.Begin()
	must(tx.Get(ctx, "a.new"))(t)
	must(other.Put(ctx, "a.new", 3))(t)
	check(t, tx.Delete("a.new"))
	wantCode(t, must2(tx.Commit(ctx)), tega.ErrConflict)
	// What wasn't read isn't checked, and what is below counts.
	tx = c.Begin()
	must(tx.Get(ctx, "a"))(t)
	must(other.Put(ctx, "a.z", 3))(t)
	check(t, tx.Put("a.unread", 1))
	must(tx.Commit(ctx))(t)
	check(t, tx.Put("a", map[string]any{}))
	wantCode(t, must2(c.Update(within(t, patience), func(tx *tega.Tx) error {
		must(tx.Get(ctx, "a"))(t)
		must(other.Put(ctx, "a.z", 3))(t)
		return tx.Put("a", map[string]any{}, tega.IfVersion(0))
	})), tega.ErrConflict)
}

func TestRetryHelper(t *testing.T) {
	s := startServer(t)
	var writers sync.WaitGroup
	for i := 0; i < 8; i++ {
		c := dial(t, s.url)
		writers.Add(1)
		go func() {
			defer writers.Done()
			for n := 0; n < 10; n++ {
				_, err := c.Update(ctx, func(tx *tega.Tx) error {
					count, err := tega.GetOr(ctx, tx, "a.count", 0)
					if err != nil {
						return err
					}
					return tx.Put("a.count", count+1)
				})
				if err != nil {
					t.Error(err)
				}
			}
		}()
	}
	writers.Wait()
	equal(t, must(tega.Get[int](ctx, dial(t, s.url), "a.count"))(t), 80)
}

func TestRestartMidTransaction(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c := dial(t, p.url())
	must(c.Put(ctx, "a.b", 1))(t)
	tx := c.Begin()
	n := must(tega.Get[int](ctx, tx, "a.b"))(t)
	check(t, tx.Put("a.b", n+1))
	check(t, tx.Put("a.c", "too"))
	s.restart()
	p.back(s.address())
	equal(t, must(tx.Commit(ctx))(t).Version(), 1)
	equal(t, asJSON(t, must(tega.Get[any](ctx, c, "a"))(t)), `{"b":2,"c":"too"}`)
}

func TestRestartMidCommit(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	must(c.Put(ctx, "a.b", 1))(t)
	runs := 0
	var receipt tega.Receipt
	done := lostAnswer(t, p, func() (err error) {
		receipt, err = c.Update(ctx, func(tx *tega.Tx) error {
			runs++
			n, err := tega.Get[int](ctx, other, "a.b")
			if err != nil {
				return err
			}
			check(t, tx.Put("a.c", "too"))
			return tx.Put("a.b", n+1, tega.IfVersion(0))
		})
		return err
	}, func() bool { return must(tega.Get[int](ctx, other, "a.b"))(t) == 2 })
	s.restart()
	p.back(s.address())
	check(t, <-done)
	equal(t, runs, 1)
	equal(t, receipt.Version(), 1)
	equal(t, must(c.Get(ctx, "a"))(t).Version, 1)
	equal(t, asJSON(t, must(tega.Get[any](ctx, c, "a"))(t)), `{"b":2,"c":"too"}`)
}

func TestACommitIsRepeatedUnderItsOwnRequestID(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	tx := c.Begin()
	check(t, tx.Put("a.b", 1))
	short, cancel := context.WithCancel(ctx)
	done := lostAnswer(t, p, func() error { return must2(tx.Commit(short)) },
		func() bool { return must(tega.GetOr(ctx, other, "a.b", 0))(t) == 1 })
	cancel()
	wantCode(t, <-done, tega.ErrOutcomeUnknown)
	p.back(s.address())
	equal(t, must(tx.Commit(ctx))(t).Version(), 0)
	equal(t, len(must(other.History(ctx, "a"))(t)), 1)
}
