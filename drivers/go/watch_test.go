package tega_test

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	tega "tega.local/tega"
)

func TestWatch(t *testing.T) {
	s := startServer(t)
	c, alice := dial(t, s.url), dial(t, s.url, tega.ID("alice"))
	must(alice.Put(ctx, "a", map[string]any{"b": map[string]any{"c": 0}}))(t)
	w := must(c.Watch(ctx, "a.b"))(t)
	must(alice.Put(ctx, "a.beside", 1))(t)
	must(alice.Put(ctx, "a.b.c", 1))(t)
	first := next(t, w)
	equal(t, told(first), "put a.b.c 1")
	equal(t, first.By, "alice")
	equal(t, first.Root, "a")
	equal(t, first.Version, 2)
	must(alice.Put(ctx, "a.b", map[string]any{"d": 2}))(t)
	must(alice.Put(ctx, "a", map[string]any{"b": 3}))(t)
	must(alice.Delete(ctx, "a"))(t)
	must(alice.Put(ctx, "a.b.x", 4))(t)
	wantTold(t, w, `put a.b {"d":2}`, "put a.b 3", "delete a.b 3", "put a.b.x 4")
	must(alice.Update(ctx, func(tx *tega.Tx) error {
		check(t, tx.Put("a.b.y", 5))
		check(t, tx.Put("a.beside", 6))
		check(t, tx.Delete("a.b.x"))
		return tx.Put("a.b.z", 7)
	}))(t)
	wantTold(t, w, "put a.b.y 5", "delete a.b.x 4", "put a.b.z 7")
	must(alice.Rollback(ctx, "a", 2))(t)
	wantTold(t, w, `rollback a.b {"c":1} back to 2`)
	must(alice.Put(ctx, "a.b.e", 1, tega.Ephemeral()))(t)
	ephemeral := next(t, w)
	equal(t, told(ephemeral), "put a.b.e 1")
	equal(t, ephemeral.Ephemeral, true)
	equal(t, ephemeral.Version, tega.NoVersion)
	var n int
	check(t, ephemeral.Decode(&n))
	equal(t, n, 1)
	w.Close()
	w.Close()
	if _, open := <-w.Changes(); open {
		t.Error("it goes on")
	}
	eventually(t, "the server knows that nobody listens", func() bool { return s.get("/_channels") == "{}" })
}

func TestWatchOwnChanges(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	w := must(c.Watch(ctx, "a"))(t)
	must(c.Put(ctx, "a.own", 1))(t)
	must(other.Put(ctx, "a.b", 1))(t)
	wantTold(t, w, "put a.b 1")
	must(c.Put(ctx, "a.own", 2))(t)
	p.cut()
	must(c.Put(ctx, "a.own", 3))(t)
	must(other.Put(ctx, "a.b", 2))(t)
	wantTold(t, w, "put a.b 2")
}

func TestWatchResume(t *testing.T) {
	s := startServer(t, "--history", "1000")
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	must(other.Put(ctx, "a.n", 0))(t)
	w := must(c.Watch(ctx, "a"))(t)
	// A root that isn't there yet.
	x := must(c.Watch(ctx, "x"))(t)
	all := must(c.WatchRegex(ctx, ".*"))(t)
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for n := 1; n <= 200; n++ {
			if n%10 == 0 {
				p.cut()
			}
			if n == 100 {
				p.away()
			}
			if n == 120 {
				p.back(s.address())
			}
			must(other.Put(ctx, "a.n", n))(t)
			must(other.Put(ctx, "x.n", n))(t)
			time.Sleep(2 * time.Millisecond)
		}
	}()
	for n := 1; n <= 200; n++ {
		wantTold(t, w, fmt.Sprintf("put a.n %d", n))
		wantTold(t, x, fmt.Sprintf("put x.n %d", n))
		wantTold(t, all, fmt.Sprintf("put a.n %d", n), fmt.Sprintf("put x.n %d", n))
	}
	<-stop
	quiet(t, w, other, "a.z")
	quiet(t, all, other, "y.z")
}

func TestWatchGone(t *testing.T) {
	s := startServer(t, "--history", "5")
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	must(other.Put(ctx, "a.n", 0))(t)
	w := must(c.Watch(ctx, "a"))(t)
	leaf := must(c.Watch(ctx, "a.n"))(t)
	regex := must(c.WatchRegex(ctx, `a\.(n|m)`))(t)
	large := must(c.Watch(ctx, "large"))(t)
	p.away()
	for n := 1; n <= 30; n++ {
		must(other.Put(ctx, "a.n", n))(t)
		if n > 20 {
			must(other.Put(ctx, "large", numbers(6_000+n)))(t)
		}
	}
	p.back(s.address())
	state := next(t, w)
	equal(t, told(state), `state a {"n":30}`)
	equal(t, state.Version, tega.NoVersion)
	wantTold(t, leaf, "state a.n 30")
	wantTold(t, regex, `state  {"a.n":30}`)
	// The answer has no room for this one.
	var there map[string]int
	check(t, next(t, large).Decode(&there))
	equal(t, len(there), 6_030)
	must(other.Put(ctx, "a.n", 31))(t)
	must(other.Put(ctx, "large.x", 1))(t)
	for _, w := range []*tega.Watch{w, leaf, regex} {
		wantTold(t, w, "put a.n 31")
	}
	wantTold(t, large, "put large.x 1")
}

func numbers(n int) map[string]int {
	all := map[string]int{}
	for i := 0; i < n; i++ {
		all[fmt.Sprintf("k%d", i)] = i
	}
	return all
}

func TestWatchRestart(t *testing.T) {
	s := startServer(t, "--history", "1000")
	p := startProxy(t, s.address())
	c := dial(t, p.url())
	w := must(c.Watch(ctx, "a"))(t)
	n := 0
	for round := 0; round < 3; round++ {
		writer := dial(t, s.url)
		for i := 0; i < 20; i++ {
			n++
			must(writer.Put(ctx, "a.n", n))(t)
		}
		check(t, writer.Close())
		s.restart()
		writer = dial(t, s.url)
		for i := 0; i < 5; i++ {
			n++
			must(writer.Put(ctx, "a.n", n))(t)
		}
		check(t, writer.Close())
		p.back(s.address())
	}
	for i := 1; i <= n; i++ {
		wantTold(t, w, fmt.Sprintf("put a.n %d", i))
	}
	quiet(t, w, dial(t, s.url), "a.z")
}

func TestWatchFromTheState(t *testing.T) {
	s := startServer(t, "--history", "100")
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	nothing := must(c.Watch(ctx, "nothing", tega.FromState()))(t)
	wantTold(t, nothing, "state nothing null")
	must(other.Put(ctx, "a.n", 1))(t)
	w := must(c.Watch(ctx, "a", tega.FromState()))(t)
	top := must(c.Watch(ctx, "", tega.FromState()))(t)
	regex := must(c.WatchRegex(ctx, `a\.n`, tega.FromState()))(t)
	wantTold(t, w, `state a {"n":1}`)
	wantTold(t, top, `state  {"a":{"n":1}}`)
	wantTold(t, regex, `state  {"a.n":1}`)
	must(other.Put(ctx, "a.n", 2))(t)
	for _, w := range []*tega.Watch{w, top, regex} {
		wantTold(t, w, "put a.n 2")
	}
	p.away()
	must(other.Put(ctx, "a.n", 3))(t)
	p.back(s.address())
	wantTold(t, w, "put a.n 3", `state a {"n":3}`)
	wantTold(t, top, "put a.n 3", `state  {"a":{"n":3}}`)
	wantTold(t, regex, "put a.n 3", `state  {"a.n":3}`)
	wantTold(t, nothing, "state nothing null")
	quiet(t, w, other, "a.z")
}

func TestAWatchThatReadsItsStateGoesNeverBack(t *testing.T) {
	s := startServer(t, "--history", "10000", "--durability", "none")
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	must(other.Put(ctx, "a.large", numbers(6_000)))(t)
	must(other.Put(ctx, "a.n", 0))(t)
	const last = 1_500
	go func() {
		for n := 1; n <= last; n++ {
			must(other.Put(ctx, "a.n", n))(t)
			if n%300 == 0 {
				p.cut()
			}
		}
	}()
	for _, w := range []*tega.Watch{
		must(c.Watch(ctx, "a", tega.FromState(), tega.Queue(5_000)))(t),
		must(c.Watch(ctx, "", tega.FromState(), tega.Queue(5_000)))(t),
		must(c.WatchRegex(ctx, `a\.n`, tega.FromState(), tega.Queue(5_000)))(t),
	} {
		first := next(t, w)
		equal(t, first.Kind, tega.KindState)
		for seen := value(t, first); seen < last; {
			change := next(t, w)
			n := value(t, change)
			if n < seen || change.Kind != tega.KindState && n == seen {
				t.Fatalf("%s of %d comes behind %d", change.Kind, n, seen)
			}
			seen = n
		}
	}
}

// value is a.n in whatever form a change has it.
func value(t *testing.T, change tega.Change) int {
	var value any
	check(t, change.Decode(&value))
	for {
		object, ok := value.(map[string]any)
		if !ok {
			return must(strconv.Atoi(value.(json.Number).String()))(t)
		}
		for _, key := range []string{"a", "a.n", "n"} {
			if below, ok := object[key]; ok {
				value = below
				break
			}
		}
	}
}

func TestWatchOverlapping(t *testing.T) {
	s := startServer(t)
	c, other := dial(t, s.url), dial(t, s.url)
	names := []string{"a", "a.b", "", `a\.b\.(c|d)`, "a.b again"}
	watches := []*tega.Watch{
		must(c.Watch(ctx, "a"))(t), must(c.Watch(ctx, "a.b"))(t), must(c.Watch(ctx, ""))(t),
		must(c.WatchRegex(ctx, names[3]))(t), must(c.Watch(ctx, `["a"].b`))(t),
	}
	want := func(lines ...string) {
		t.Helper()
		must(other.Put(ctx, "a.b.c.mark", "end"))(t)
		for i, w := range watches {
			var got []string
			for {
				line := told(next(t, w))
				if line == `put a.b.c.mark "end"` {
					break
				}
				got = append(got, line)
			}
			if said := strings.Join(got, "; "); said != lines[i] {
				t.Errorf("%s was told %q, not %q", names[i], said, lines[i])
			}
		}
	}
	must(other.Put(ctx, "a.b.c.x", 1))(t)
	want("put a.b.c.x 1", "put a.b.c.x 1", "put a.b.c.x 1", "put a.b.c.x 1", "put a.b.c.x 1")
	must(other.Put(ctx, "a", map[string]any{"b": map[string]any{"c": map[string]any{"y": 2}}}))(t)
	whole, part, leaf := `put a {"b":{"c":{"y":2}}}`, `put a.b {"c":{"y":2}}`, `put a.b.c {"y":2}`
	want(whole, part, whole, leaf, part)
	must(other.Put(ctx, "a.e", 3))(t)
	want("put a.e 3", "", "put a.e 3", "", "")
	versions := must(other.History(ctx, "a"))(t)
	must(other.Put(ctx, "a.b.d", 4))(t)
	want("put a.b.d 4", "put a.b.d 4", "put a.b.d 4", "put a.b.d 4", "put a.b.d 4")
	back := versions[len(versions)-1].Version
	must(other.Rollback(ctx, "a", back))(t)
	state := `{"b":{"c":{"mark":"end","y":2}},"e":3}`
	root := fmt.Sprintf("rollback a %s back to %d", state, back)
	below := fmt.Sprintf(`rollback a.b {"c":{"mark":"end","y":2}} back to %d`, back)
	want(root, below, root, "delete a.b.d 4", below)
	must(other.Delete(ctx, "a.b"))(t)
	gone := `delete a.b {"c":{"mark":"end","y":2}}`
	want(gone, gone, gone, `delete a.b.c {"mark":"end","y":2}`, gone)
	must(other.Put(ctx, "z.x", 5))(t)
	want("", "", "put z.x 5", "", "")
	// Who leaves takes nothing from those who stay.
	watches[4].Close()
	watches, names = watches[:4], names[:4]
	must(other.Put(ctx, "a.b.d", 6))(t)
	want("put a.b.d 6", "put a.b.d 6", "put a.b.d 6", "put a.b.d 6")
}

func TestWatchSlowConsumer(t *testing.T) {
	for history, last := range map[string]int{"10": 1_000, "10000": 5_000} {
		s := startServer(t, "--history", history, "--durability", "none")
		c, other := dial(t, s.url), dial(t, s.url)
		must(other.Put(ctx, "a.n", 0))(t)
		w := must(c.Watch(ctx, "a.n", tega.Queue(100)))(t)
		for n := 1; n <= last; n++ {
			must(other.Put(ctx, "a.n", n))(t)
		}
		// It holds what fits, and the one in the hand of who gives them out.
		if held := tega.Held(w); held > 101 {
			t.Errorf("%d changes are held", held)
		}
		seen, state := 0, 0
		for seen < last {
			change := next(t, w)
			var n int
			check(t, change.Decode(&n))
			switch {
			case change.Kind == tega.KindState:
				state++
			case n != seen+1:
				t.Fatalf("%d comes behind %d", n, seen)
			}
			seen = n
		}
		equal(t, state, map[string]int{"10": 1, "10000": 0}[history])
		quiet(t, w, other, "a.n")
	}
}

func TestLagging(t *testing.T) {
	s := startServer(t, "--history", "10000")
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	w := must(c.Watch(ctx, "a", tega.Queue(10_000)))(t)
	p.setStalled(true)
	long := strings.Repeat("x", 50_000)
	n := 0
	for ; n < 500 && strings.Contains(s.get("/_channels"), `"a"`); n++ {
		must(other.Put(ctx, "a.n", map[string]any{"n": n, "long": long}))(t)
	}
	if n == 500 {
		t.Fatal("the server never had enough of it")
	}
	p.setStalled(false)
	for i := 0; i < n; i++ {
		var value struct{ N int }
		check(t, json.Unmarshal(next(t, w).Value, &value))
		equal(t, value.N, i)
	}
	eventually(t, "there's another link", func() bool { return p.connections() == 2 })
	quiet(t, w, other, "a.z")
}

func TestAWatchIsNamedByWhatItsChannelsAre(t *testing.T) {
	s := startServer(t)
	c, other := dial(t, s.url), dial(t, s.url)
	everything := must(c.Watch(ctx, ""))(t)
	lines := tega.Join("two\nlines", "x")
	must(other.Put(ctx, lines, 1))(t)
	equal(t, next(t, everything).Path, lines)
	path := tega.Join("a", "with space", "50%", "x.y")
	w := must(c.Watch(ctx, path))(t)
	regex := must(c.WatchRegex(ctx, `a\.with space\.50%`))(t)
	must(other.Put(ctx, path.Child("z"), 1))(t)
	equal(t, next(t, w).Path, path.Child("z"))
	equal(t, next(t, regex).Path, path.Child("z"))
	for _, bad := range []string{"", "(", "a\nb", `\p{L}`} {
		wantCode(t, must2(c.WatchRegex(ctx, bad)), tega.ErrBadRequest)
	}
	wantCode(t, must2(c.Watch(ctx, "a..b")), tega.ErrBadRequest)
	wantCode(t, must2(c.Watch(ctx, "a", tega.Queue(0))), tega.ErrBadRequest)
}

func TestAClientListensToAThousandChannels(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	watches := make([]*tega.Watch, 1000)
	for i := range watches {
		watches[i] = must(c.Watch(ctx, tega.Join("a", fmt.Sprint(i))))(t)
	}
	wantCode(t, must2(c.Watch(ctx, "more")), tega.ErrTooMany)
	p.cut()
	must(other.Update(ctx, func(tx *tega.Tx) error {
		for i := range watches {
			check(t, tx.Put(tega.Join("a", fmt.Sprint(i)), i))
		}
		return nil
	}))(t)
	got := make([]int, len(watches))
	for i, w := range watches {
		check(t, next(t, w).Decode(&got[i]))
	}
	equal(t, sort.IntsAreSorted(got), true)
}
