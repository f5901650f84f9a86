package tega_test

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"testing"
	"time"

	tega "tega.local/tega"
)

func TestPaths(t *testing.T) {
	s := startServer(t)
	c := dial(t, s.url)
	for i, key := range []string{
		"plain", "192.168.1.9", "with space", `a "quote"`, "100%", "%41", "two\nlines", "return\r", "@x[0]", "@x[]", "ünï",
		"a/b", "x=y", "-", "None", "_lan", "<b>&", "é.x", "\\", "[",
	} {
		path := tega.Join("paths", key, "leaf")
		must(c.Put(ctx, path, i))(t)
		equal(t, must(tega.Get[int](ctx, c, path))(t), i)
		equal(t, must(tega.Get[int](ctx, c, tega.Path("paths").Child(key, "leaf")))(t), i)
		keys := must(path.Keys())(t)
		equal(t, keys[1], key)
		must(c.Delete(ctx, tega.Join("paths", key)))(t)
		must(c.Put(ctx, path, "again"))(t)
	}
	// What is listed reads back.
	all := must(tega.Get[map[string]map[string]string](ctx, c, "paths"))(t)
	equal(t, len(all), 20)
	for key := range all {
		equal(t, must(tega.Get[string](ctx, c, tega.Join("paths", key, "leaf")))(t), "again")
	}
	for _, same := range []tega.Path{`paths["192.168.1.9"].leaf`, "/paths/192.168.1.9/leaf", "/paths/192.168.1.9/leaf/"} {
		equal(t, must(tega.Get[string](ctx, c, same))(t), "again")
	}
	// Roots that as words of a command line would say that there's no path.
	for _, root := range []string{"-", "None"} {
		must(c.Put(ctx, tega.Join(root, "x"), 1))(t)
		equal(t, must(tega.Get[map[string]int](ctx, c, tega.Join(root)))(t)["x"], 1)
		must(c.Delete(ctx, tega.Join(root)))(t)
	}
	wantCode(t, must2(c.Put(ctx, "", 1)), tega.ErrBadRequest)
	wantCode(t, must2(c.Get(ctx, "a..b")), tega.ErrBadRequest)
}

func must2[T any](_ T, err error) error { return err }

func TestValues(t *testing.T) {
	s := startServer(t)
	c := dial(t, s.url)
	for _, value := range []any{
		nil, true, false, "", "text", "\x00\u2028 \"\\ <&> ünï 🚀 \n\t", map[string]any{}, []any{}, []any{nil, []any{}, map[string]any{}},
		map[string]any{"a": map[string]any{"b": []any{"x", nil, true}}, "_x": "y"},
	} {
		must(c.Put(ctx, "values.v", value))(t)
		if got := must(tega.Get[any](ctx, c, "values.v"))(t); !reflect.DeepEqual(got, value) {
			t.Errorf("got %#v, want %#v", got, value)
		}
	}
	must(c.Put(ctx, "values.most", uint64(math.MaxUint64)))(t)
	equal(t, must(tega.Get[uint64](ctx, c, "values.most"))(t), math.MaxUint64)
	equal(t, must(tega.Get[any](ctx, c, "values.most"))(t).(json.Number), "18446744073709551615")
	must(c.Put(ctx, "values.least", int64(math.MinInt64)))(t)
	equal(t, must(tega.Get[int64](ctx, c, "values.least"))(t), math.MinInt64)
	for _, float := range []float64{0, 0.1, -1.5e-300, math.MaxFloat64, math.SmallestNonzeroFloat64, 1e21} {
		must(c.Put(ctx, "values.float", float))(t)
		equal(t, must(tega.Get[float64](ctx, c, "values.float"))(t), float)
	}
	type host struct {
		Name string   `json:"name"`
		MACs []string `json:"macs"`
	}
	printer := host{"printer", []string{"00:00:5e:00:53:01"}}
	must(c.Put(ctx, "values.host", printer))(t)
	if got := must(tega.Get[host](ctx, c, "values.host"))(t); !reflect.DeepEqual(got, printer) {
		t.Errorf("got %#v", got)
	}
	// What can't be a value is refused here.
	for _, value := range []any{math.NaN(), math.Inf(1), make(chan int), json.RawMessage("{")} {
		wantCode(t, must2(c.Put(ctx, "values.v", value)), tega.ErrBadRequest)
	}
	wantCode(t, must2(tega.Get[int](ctx, c, "values.host")), tega.ErrBadRequest)
}

func TestNotFound(t *testing.T) {
	s := startServer(t)
	c := dial(t, s.url)
	must(c.Put(ctx, "a.b", 1))(t)
	equal(t, wantCode(t, must2(c.Get(ctx, "a.x")), tega.ErrNotFound).Path, "a.x")
	equal(t, wantCode(t, must2(c.Get(ctx, "nothing")), tega.ErrNotFound).Path, "nothing")
	equal(t, wantCode(t, must2(c.Delete(ctx, "a.x")), tega.ErrNotFound).Path, "a.x")
	equal(t, must(tega.GetOr(ctx, c, "a.x", 7))(t), 7)
	equal(t, must(tega.GetOr(ctx, c, "a.b", 7))(t), 1)
}

func TestHistory(t *testing.T) {
	s := startServer(t)
	alice := dial(t, s.url, tega.ID("alice"))
	bob := dial(t, s.url, tega.ID("bob"))
	must(alice.Put(ctx, "lan", map[string]any{"ip": "192.168.1.1", "mtu": 1500}))(t)
	must(bob.Put(ctx, "lan.ip", "10.0.0.1"))(t)
	must(bob.Delete(ctx, "lan.mtu"))(t)
	versions := must(bob.History(ctx, "lan"))(t)
	equal(t, len(versions), 3)
	equal(t, versions[0].By, "alice")
	equal(t, versions[1].By, "bob")
	equal(t, versions[1].Version, 1)
	equal(t, versions[1].Changes[0], tega.Changed{Kind: tega.KindPut, Path: "lan.ip"})
	equal(t, versions[2].Changes[0], tega.Changed{Kind: tega.KindDelete, Path: "lan.mtu"})
	if age := time.Since(versions[2].Time); age < -time.Minute || age > time.Minute {
		t.Errorf("it was made %v ago", age)
	}
	equal(t, asJSON(t, must(bob.Diff(ctx, "lan", 0, tega.Present))(t)),
		`[{"path":"lan.ip","before":"192.168.1.1","after":"10.0.0.1"},{"path":"lan.mtu","before":1500,"after":null}]`)
	equal(t, len(must(bob.Diff(ctx, "lan", 0, 1))(t)), 1)
	equal(t, must(tega.Get[string](ctx, bob, "lan.ip", tega.AtVersion(0)))(t), "192.168.1.1")
	equal(t, must(tega.Get[int](ctx, bob, "lan.mtu", tega.AtVersion(-1)))(t), 1500)
	equal(t, must(alice.Rollback(ctx, "lan", 0))(t).Version(), 3)
	equal(t, must(tega.Get[string](ctx, bob, "lan.ip"))(t), "192.168.1.1")
	last := must(bob.History(ctx, "lan"))(t)[3]
	equal(t, last.RollbackTo, 0)
	equal(t, last.By, "alice")
	wantCode(t, must2(bob.History(ctx, "nothing")), tega.ErrNotFound)
	wantCode(t, must2(bob.Diff(ctx, "lan", 77, 0)), tega.ErrNotFound)
	wantCode(t, must2(alice.Rollback(ctx, "lan", 77)), tega.ErrNotFound)
}

func TestSelect(t *testing.T) {
	s := startServer(t)
	c := dial(t, s.url, tega.ID("c"))
	must(c.Put(ctx, "config-r1.lan.ip", "10.1.0.1"))(t)
	must(c.Put(ctx, "config-r2.lan.ip", "10.2.0.1"))(t)
	must(c.Put(ctx, "config-r2.wan.ip", "192.0.2.1"))(t)
	matches := must(c.Select(ctx, `config-(.*)\.lan\.ip`))(t)
	equal(t, len(matches), 2)
	equal(t, matches[0].Path, "config-r1.lan.ip")
	equal(t, *matches[1].Groups[0][0], "r2")
	var ip string
	check(t, matches[1].Decode(&ip))
	equal(t, ip, "10.2.0.1")
	equal(t, len(must(c.Select(ctx, "nothing"))(t)), 0)
	wantCode(t, must2(c.Select(ctx, "(")), tega.ErrBadRequest)
	must(c.Put(ctx, "config-r1.me", 1, tega.Ephemeral()))(t)
	internal := must(tega.Get[map[string]any](ctx, c, "config-r1.me", tega.Internal()))(t)
	if owner := asJSON(t, internal["_ephemeral"]); owner == "false" {
		t.Errorf("its owner isn't told: %v", internal)
	}
	equal(t, asJSON(t, must(tega.Get[map[string]any](ctx, c, "config-r2.lan", tega.Internal()))(t)["_version"]), "0")
}

func TestLocalSocket(t *testing.T) {
	s := startServer(t)
	c := dial(t, "unix:"+s.dir+"/tega.sock")
	other := dial(t, s.url)
	w := must(c.Watch(ctx, "a"))(t)
	must(c.Put(ctx, "a.own", 1))(t)
	equal(t, must(tega.Get[int](ctx, c, "a.own"))(t), 1)
	must(other.Put(ctx, "a.b", 2))(t)
	wantTold(t, w, "put a.b 2")
	equal(t, len(must(c.History(ctx, "a"))(t)), 2)
	_, err := tega.Dial(ctx, "unix:"+s.dir+"/none")
	wantCode(t, err, tega.ErrNoLink)
}

func TestEnvironment(t *testing.T) {
	s := startServer(t)
	s.run("put", "a.b", "1")
	token := s.run("token", "new", "reader", "--read", "a", "--data", s.dir)
	s.hangUp()
	t.Setenv("TEGA_URL", s.url)
	t.Setenv("TEGA_TOKEN", "")
	eventually(t, "tokens are asked for", func() bool {
		c, err := tega.Dial(ctx, "", tega.Logf(nil))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	t.Setenv("TEGA_TOKEN", token)
	equal(t, must(tega.Get[int](ctx, dial(t, ""), "a.b"))(t), 1)
	t.Setenv("TEGA_TOKEN", "tega_wrong_00")
	c := dial(t, "", tega.TokenFile(file(t, token+"\n")))
	equal(t, must(tega.Get[int](ctx, c, "a.b"))(t), 1)
	equal(t, len(must(c.History(ctx, "a"))(t)), 1)
	os.Unsetenv("TEGA_TOKEN")
	equal(t, must(tega.Get[int](ctx, dial(t, s.url, tega.Token(token)), "a.b"))(t), 1)
	_, err := tega.Dial(ctx, "", tega.TokenFile("/nonexistent"))
	wantCode(t, err, tega.ErrBadRequest)
}
