package tega_test

import (
	"encoding/json"
	"strings"
	"testing"

	tega "tega.local/tega"
)

// fleet is a global server and a local one, linked through a proxy.
func fleet(t *testing.T) (home, replica *server, link *proxy) {
	t.Helper()
	home = startServer(t, "--id", "global")
	link = startProxy(t, home.address())
	replica = startServer(t, "--id", "r1", "--global", "ws://"+link.listener.Addr().String(), "--config", "config-r1",
		"--operational", "operational-r1")
	eventually(t, "they are linked", func() bool { return strings.Contains(home.get("/_sessions"), `"r1"`) })
	return home, replica, link
}

func TestFresh(t *testing.T) {
	home, replica, _ := fleet(t)
	at, from := dial(t, home.url), dial(t, replica.url)
	for n := 0; n < 20; n++ {
		must(at.Put(ctx, "config-r1.n", n))(t)
		equal(t, must(tega.Get[int](ctx, from, "config-r1.n", tega.Fresh()))(t), n)
	}
}

func TestForwarded(t *testing.T) {
	home, replica, link := fleet(t)
	at, from := dial(t, home.url), dial(t, replica.url)
	var receipt tega.Receipt
	for n := int64(0); n < 3; n++ {
		receipt = must(from.Put(ctx, "config-r1.n", n))(t)
		equal(t, receipt.Version(), n)
		equal(t, receipt.Applied, true)
		equal(t, must(tega.Get[int64](ctx, at, "config-r1.n"))(t), n)
		equal(t, must(tega.Get[int64](ctx, from, "config-r1.n"))(t), n)
	}
	link.away()
	eventually(t, "the link is known to be away", func() bool { return !strings.Contains(replica.get("/_status"), `"up":true`) })
	e := wantCode(t, must2(from.Put(ctx, "config-r1.n", 4)), tega.ErrNoLink)
	equal(t, e.Path, "config-r1")
	wantCode(t, e, tega.ErrNothingHappened)
	wantCode(t, must2(from.Put(ctx, "config-r2.n", 4)), tega.ErrNoHome)
	wantCode(t, must2(from.Put(ctx, "config-r2.n", 4)), tega.ErrForbidden)
	equal(t, must(tega.Get[int64](ctx, at, "config-r1.n"))(t), 2)
}

func TestWritesGoOnWhenTheirRootIsMoved(t *testing.T) {
	home := startServer(t, "--id", "global")
	at := dial(t, home.url)
	for n := 0; n < 3; n++ {
		must(at.Put(ctx, "shared.n", n))(t)
	}
	replica := startServer(t, "--id", "r1", "--global", "ws"+strings.TrimPrefix(home.url, "http"), "--operational", "op-r1", "shared")
	from := dial(t, replica.url)
	isAt := func(s *server, id string) bool {
		var homes map[string]struct {
			Home     string
			Handover bool
		}
		check(t, json.Unmarshal([]byte(s.get("/_homes")), &homes))
		return homes["shared"].Home == id && !homes["shared"].Handover
	}
	eventually(t, "both know whose it is", func() bool { return isAt(replica, "global") })
	for _, to := range []string{"r1", "global"} {
		home.run("home", "shared", to)
		eventually(t, "both know whose it is", func() bool { return isAt(home, to) && isAt(replica, to) })
		for _, c := range []*tega.Client{at, from} {
			eventually(t, "the link is there again", func() bool { return must2(c.Put(ctx, "shared.to", to)) == nil })
		}
		for n := 3; n < 6; n++ {
			must(at.Put(ctx, "shared.n", n))(t)
			must(from.Put(ctx, "shared.m", n))(t)
		}
	}
	equal(t, asJSON(t, must(tega.Get[any](ctx, at, "shared"))(t)), `{"m":5,"n":5,"to":"global"}`)
}

func TestCallsAndMessagesGoAcross(t *testing.T) {
	home, replica, _ := fleet(t)
	at, from := dial(t, home.url), dial(t, replica.url)
	must(from.Serve(ctx, "operational-r1.rpc.f", answers(7)))(t)
	eventually(t, "its leaf is seen", func() bool { return must2(at.Get(ctx, "operational-r1.rpc.f")) == nil })
	equal(t, must(tega.Call[int](ctx, at, "operational-r1.rpc.f"))(t), 7)
	m := must(from.Subscribe(ctx, "alarm", tega.Global()))(t)
	eventually(t, "the global server knows who listens", func() bool { return strings.Contains(home.get("/_forwarders"), "r1") })
	check(t, at.Publish(ctx, "alarm", "rebooted"))
	equal(t, string(must(m.Next(within(t, patience)))(t).Value), `"rebooted"`)
}
