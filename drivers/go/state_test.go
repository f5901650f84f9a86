package tega_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	tega "tega.local/tega"
)

func TestADeletionIsntToldAgainWhereTheRootIsEphemeralNow(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	w := must(c.Watch(ctx, "went"))(t)
	must(other.Put(ctx, "went.a", 1))(t)
	must(other.Delete(ctx, "went"))(t)
	must(other.Put(ctx, "went.e", 2, tega.Ephemeral()))(t)
	wantTold(t, w, "put went.a 1", `delete went {"a":1}`, "put went.e 2")
	for n := 0; n < 3; n++ {
		p.cut()
		must(c.Get(ctx, "went.e"))(t)
	}
	quiet(t, w, other, "went.a")
}

func TestAStateWhoseVersionsDontFitIntoAnAnswerIsReadWithoutThem(t *testing.T) {
	s := startServer(t)
	c, other := dial(t, s.url), dial(t, s.url)
	long := strings.Repeat("k", 200)
	for n := 0; n < 30; n++ {
		large := map[string]int{}
		for m := 0; m < 5_000; m++ {
			large[long+strconv.Itoa(m)] = m
		}
		must(other.Put(ctx, tega.Join(fmt.Sprintf("bulk%d", n), "a"), large))(t)
	}
	_, err := c.Get(ctx, "", tega.Internal())
	wantCode(t, err, tega.ErrTooLarge)
	w := must(c.WatchRegex(ctx, "bulk7.a.k*4999", tega.FromState()))(t)
	equal(t, string(next(t, w).Value), `{"bulk7.a.`+long+`4999":4999}`)
	quiet(t, w, other, tega.Join("bulk7", "a", long+"4999"))
}
