package tega_test

import (
	"strconv"
	"testing"

	tega "tega.local/tega"
)

func TestEphemeral(t *testing.T) {
	s := startServer(t)
	c, other := dial(t, s.url, tega.ID("c")), dial(t, s.url)
	must(other.Put(ctx, "here.x", 1))(t)
	w := must(other.Watch(ctx, "here"))(t)
	equal(t, len(must(c.Put(ctx, "here.c", map[string]any{"at": 1}, tega.Ephemeral()))(t).Versions), 0)
	wantTold(t, w, `put here.c {"at":1}`)
	node := must(other.Get(ctx, "here.c"))(t)
	equal(t, node.Ephemeral, true)
	equal(t, node.Version, tega.NoVersion)
	equal(t, must(other.Get(ctx, "here"))(t).Version, 0)
	wantCode(t, must2(c.Put(ctx, "here.d", 1, tega.Ephemeral(), tega.RequestID("x"))), tega.ErrBadRequest)
	check(t, c.Close())
	wantTold(t, w, `delete here.c {"at":1}`)
	wantCode(t, must2(other.Get(ctx, "here.c")), tega.ErrNotFound)
}

func TestEphemeralAgain(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	must(c.Put(ctx, "here.gone", 0, tega.Ephemeral()))(t)
	must(c.Put(ctx, "here.c", 1, tega.Ephemeral()))(t)
	must(c.Put(ctx, "here.c", 2, tega.Ephemeral()))(t)
	must(c.Update(ctx, func(tx *tega.Tx) error { return tx.Put("here.tx", 3, tega.Ephemeral()) }))(t)
	must(c.Delete(ctx, "here.gone"))(t)
	is := func(what string) func() bool {
		return func() bool { return s.get("/here") == what }
	}
	eventually(t, "they are there", is(`{"c":2,"tx":3}`))
	p.away()
	eventually(t, "they went with the link", func() bool { return must2(other.Get(ctx, "here")) != nil })
	p.back(s.address())
	eventually(t, "they are there again", is(`{"c":2,"tx":3}`))
	check(t, other.Close())
	s.restart()
	p.back(s.address())
	eventually(t, "they are there after a restart", is(`{"c":2,"tx":3}`))
	// A lasting node in their place ends them.
	must(c.Delete(ctx, "here.c"))(t)
	must(c.Put(ctx, "here.c", 9))(t)
	p.cut()
	must(c.Put(ctx, "here.z", 9))(t)
	eventually(t, "the other one is there again", is(`{"c":9,"tx":3,"z":9}`))
	equal(t, must(dial(t, s.url).Get(ctx, "here.c"))(t).Ephemeral, false)
}

func TestAnEphemeralPutOverABreakIsThereAfterIt(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	there := func() bool { return must(tega.GetOr(ctx, other, "here.c", 0))(t) == 1 }
	for _, put := range []func() error{
		func() error { return must2(c.Put(ctx, "here.c", 1, tega.Ephemeral())) },
		func() error {
			return must2(c.Update(ctx, func(tx *tega.Tx) error {
				check(t, tx.Put("a.b", 1))
				return tx.Put("here.c", 1, tega.Ephemeral())
			}))
		},
	} {
		done := lostAnswer(t, p, put, there)
		eventually(t, "it went with the link", func() bool { return !there() })
		p.back(s.address())
		check(t, <-done)
		eventually(t, "it's there again", there)
		must(c.Delete(ctx, "here.c"))(t)
	}
	equal(t, must(other.Get(ctx, "a"))(t).Version, 0)
}

func TestAClientHasAThousandEphemeralNodes(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c := dial(t, p.url())
	for i := 0; i < 1000; i++ {
		must(c.Put(ctx, tega.Join("here", string(rune('a'+i%26)), strconv.Itoa(i)), i, tega.Ephemeral()))(t)
	}
	wantCode(t, must2(c.Put(ctx, "here.more", 1, tega.Ephemeral())), tega.ErrTooMany)
	p.cut()
	must(c.Put(ctx, "a.b", 1))(t)
	must(c.Delete(ctx, "here.a"))(t)
	must(c.Put(ctx, "here.more", 1, tega.Ephemeral()))(t)
	equal(t, len(must(tega.Get[map[string]int](ctx, c, "here.b"))(t)), 39)
}
