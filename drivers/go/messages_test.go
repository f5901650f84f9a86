package tega_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	tega "tega.local/tega"
)

func heard(t *testing.T, m *tega.Messages) string {
	t.Helper()
	message, err := m.Next(within(t, patience))
	check(t, err)
	return fmt.Sprintf("%s on %s by %s", message.Value, message.Channel, message.By)
}

func TestPublish(t *testing.T) {
	s := startServer(t)
	bob, alice := dial(t, s.url, tega.ID("bob")), dial(t, s.url, tega.ID("alice"))
	path := must(bob.Subscribe(ctx, "news.lan"))(t)
	same := must(bob.Subscribe(ctx, "news.lan"))(t)
	regex := must(bob.SubscribeRegex(ctx, `news\.(lan|wan)`))(t)
	own := must(alice.Subscribe(ctx, "news.lan"))(t)
	odd := must(bob.Subscribe(ctx, tega.Join("news", "a b", "50%")))(t)
	check(t, alice.Publish(ctx, "news.lan", map[string]any{"up": true}))
	check(t, alice.Publish(ctx, "news.wan", nil))
	check(t, alice.Publish(ctx, "news.lan.below", 1))
	check(t, alice.Publish(ctx, tega.Join("news", "a b", "50%"), "odd"))
	check(t, alice.Publish(ctx, "news.lan", "last"))
	for _, m := range []*tega.Messages{path, same} {
		equal(t, heard(t, m), `{"up":true} on news.lan by alice`)
		equal(t, heard(t, m), `"last" on news.lan by alice`)
	}
	equal(t, heard(t, regex), `{"up":true} on news.lan by alice`)
	equal(t, heard(t, regex), "null on news.wan by alice")
	equal(t, heard(t, regex), "1 on news.lan.below by alice")
	equal(t, heard(t, regex), `"last" on news.lan by alice`)
	equal(t, heard(t, odd), `"odd" on news["a b"].50% by alice`)
	// The publisher hears others, and not itself.
	check(t, bob.Publish(ctx, "news.lan", "hello"))
	equal(t, heard(t, own), `"hello" on news.lan by bob`)
	path.Close()
	if _, open := <-path.Messages(); open || path.Err() != nil {
		t.Errorf("it goes on, or ended with %v", path.Err())
	}
	check(t, alice.Publish(ctx, "news.lan", "still"))
	equal(t, heard(t, same), `"still" on news.lan by alice`)
}

func TestPublishOverABreak(t *testing.T) {
	s := startServer(t)
	p := startProxy(t, s.address())
	c, other := dial(t, p.url()), dial(t, s.url)
	m := must(c.Subscribe(ctx, "news"))(t)
	p.cut()
	eventually(t, "it listens again", func() bool { return p.connections() == 2 && s.get("/_channels") != "{}" })
	check(t, other.Publish(ctx, "news", 1))
	var n int
	message := must(m.Next(within(t, patience)))(t)
	check(t, message.Decode(&n))
	equal(t, n, 1)
	// One whose link breaks before the server has taken it, isn't sent again.
	p.setMute(true)
	done := make(chan error, 1)
	go func() { done <- c.Publish(ctx, "elsewhere", 1) }()
	time.Sleep(50 * time.Millisecond)
	p.cut()
	wantCode(t, <-done, tega.ErrOutcomeUnknown)
}

func TestMessagesSlowConsumer(t *testing.T) {
	s := startServer(t)
	c, other := dial(t, s.url), dial(t, s.url)
	m := must(c.Subscribe(ctx, "news", tega.Queue(10)))(t)
	for n := 0; n < 100; n++ {
		check(t, other.Publish(ctx, "news", n))
	}
	// A question that is asked behind the last message is answered behind it.
	must(c.Subscribe(ctx, "else"))(t)
	got, lost := 0, 0
	for got+lost < 100 {
		message, err := m.Next(within(t, patience))
		var e *tega.Error
		switch {
		case err == nil && lost == 0:
			equal(t, string(message.Value), fmt.Sprint(got))
			got++
		case errors.As(err, &e) && e.Code == tega.ErrLagging:
			lost += e.Lost
			equal(t, message.Lost, e.Lost)
		default:
			t.Fatalf("%s, %v, behind %d of which %d were lost", message.Value, err, got+lost, lost)
		}
	}
	if got > 11 {
		t.Errorf("%d were held", got)
	}
	check(t, other.Publish(ctx, "news", "again"))
	equal(t, string(must(m.Next(within(t, patience)))(t).Value), `"again"`)
}
