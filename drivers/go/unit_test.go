package tega

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestEveryCodeOfTheServersTableIsKnown(t *testing.T) {
	table, err := os.ReadFile("../../src/api/error.rs")
	if err != nil {
		t.Skip("the server's table of errors isn't here")
	}
	codes := regexp.MustCompile(`(?m)^    \("([a-z_]+)", \d+, \d+\),$`).FindAllStringSubmatch(string(table), -1)
	if len(codes) < 19 {
		t.Fatalf("the table can't be read: %d codes", len(codes))
	}
	for _, code := range codes {
		if !known[Code(code[1])] {
			t.Errorf("%s isn't known", code[1])
		}
	}
	if len(codes) != len(known) {
		t.Errorf("%d codes are known, and the server has %d", len(known), len(codes))
	}
}

func TestARefusalIsReadWithAllThatItSays(t *testing.T) {
	e := refusal([]byte(`{"error":{"code":"conflict","message":"a.b is at version 3","path":"a.b","expected":1,"actual":3}}`))
	if e == nil || e.Path != "a.b" || *e.Expected != 1 || *e.Actual != 3 || e.Error() != "tega: a.b is at version 3" {
		t.Errorf("got %#v", e)
	}
	newer := refusal([]byte(`{"error":{"code":"eaten","message":"by a grue"}}`))
	if newer == nil || newer.Code != ErrInternal || newer.Message != "eaten: by a grue" {
		t.Errorf("got %#v", newer)
	}
	for _, none := range []string{"", "{}", `{"value":1}`, `{"error":7}`, `{"error":{}}`, "[]"} {
		if e := refusal([]byte(none)); e != nil {
			t.Errorf("%s is %v", none, e)
		}
	}
	if !errors.Is(fail(ErrNoHome, ""), ErrForbidden) || errors.Is(fail(ErrConflict, ""), ErrNothingHappened) {
		t.Error("a code matches what it isn't")
	}
	if got := fail(ErrTimeout, "").Error(); got != "tega: timeout" {
		t.Errorf("got %q", got)
	}
}

func TestAnAddressReadsBackFromWhatItPrints(t *testing.T) {
	for text, shown := range map[string]string{
		"http://127.0.0.1:8739": "http://127.0.0.1:8739", "HTTP://router/": "http://router:8739", "router:80": "http://router:80",
		"ws://[::1]": "http://[::1]:8739", "http://[fe80::1]:1": "http://[fe80::1]:1", "unix:/var/run/tega.sock": "unix:/var/run/tega.sock",
		"router": "http://router:8739",
	} {
		a, err := parseAddress(text)
		if err != nil || a.String() != shown {
			t.Errorf("%s: %s, %v", text, a, err)
		}
		if again, err := parseAddress(shown); err != nil || again != a {
			t.Errorf("%s: %v, %v", shown, again, err)
		}
	}
	for text, why := range map[string]string{
		"unix:": "a path", "https://a": "TLS", "wss://a": "TLS", "ftp://a": "wanted", "a:0": "1 to 65535", "a:70000": "1 to 65535",
		"http://a/b": "wanted", "http://": "wanted", "http://me:s3cret@host": "wanted", "http://a:": "1 to 65535", "::1": "brackets",
	} {
		_, err := parseAddress(text)
		if err == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestLoopbackAndTheLocalSocketStayHere(t *testing.T) {
	for text, stays := range map[string]bool{
		"unix:/s": true, "127.0.0.1": true, "127.9.9.9:1": true, "[::1]": true, "[::ffff:127.0.0.1]": true, "LocalHost:1": true,
		"localhost.evil.example": false, "10.0.0.1": false, "[fd00::1]": false, "router": false,
	} {
		if a, err := parseAddress(text); err != nil || a.staysHere() != stays {
			t.Errorf("%s: %v, %v", text, a, err)
		}
	}
}

func TestATokenIsOneWord(t *testing.T) {
	a, _ := parseAddress("127.0.0.1")
	for _, bad := range []string{" ", "a b", "a\nb", "a\x7f", "é", strings.Repeat("x", 1025)} {
		o := options{address: a, token: bad}
		if token, err := o.findToken(); err == nil || strings.Contains(err.Error(), bad) && bad != " " {
			t.Errorf("%q: %q, %v", bad, token, err)
		}
	}
	o := options{address: a, token: " tega_a_01\n"}
	if token, err := o.findToken(); token != "tega_a_01" || err != nil {
		t.Errorf("%q, %v", token, err)
	}
}

func TestAPathReadsBackFromEveryFormItIsWrittenIn(t *testing.T) {
	odd := []string{
		"a", "@rule[12]", "192.168.1.1", "with space", "ünï", `q"uote`, "a/b", "x=y", "%41", "\n", "[", "_lan", "@x[]", "-", "None",
		"@[1]", "\\", "<>&", "\u2028", "\x00", "\x7f", "\u0085",
	}
	for _, first := range odd {
		for _, second := range odd {
			keys := []string{first, second}
			path := Join(keys...)
			same := func(got []string, err error, form string) {
				if err != nil || len(got) != 2 || got[0] != first || got[1] != second {
					t.Errorf("%q as %q: %q, %v", keys, form, got, err)
				}
			}
			got, err := path.Keys()
			same(got, err, string(path))
			word, err := path.wire()
			if err != nil || strings.ContainsAny(word, " \n\r") {
				t.Errorf("%q: the word is %q, %v", keys, word, err)
			}
			got, err = pathOf(word)
			same(got, err, word)
		}
	}
	for _, bad := range []Path{
		"a..b", "a.", ".a", "/a//b", "a b", "a=1", "a[b", `a["b`, `a["b\q"]`, `a[""]`, `["a"]b`, "\xff",
		Path(strings.Repeat("k", 513)), Path(strings.Repeat("k.", 64) + "k"),
	} {
		if _, err := bad.Keys(); !errors.Is(err, ErrBadRequest) {
			t.Errorf("%q: %v", bad, err)
		}
		if word, err := bad.wire(); err == nil {
			t.Errorf("%q as a word: %q", bad, word)
		}
	}
}

func TestNoTextMakesAPathPanic(t *testing.T) {
	random := rand.New(rand.NewSource(7))
	for i := 0; i < 20_000; i++ {
		text := make([]byte, random.Intn(12))
		for j := range text {
			text[j] = `a.["]\/@0%= `[random.Intn(12)]
		}
		keys, err := Path(text).Keys()
		if err != nil {
			continue
		}
		if again, err := Join(keys...).Keys(); err != nil || strings.Join(again, "\x01") != strings.Join(keys, "\x01") {
			t.Fatalf("%q: %q, %q, %v", text, keys, again, err)
		}
	}
}

func entriesOf(t *testing.T, text string) []entry {
	t.Helper()
	var entries []entry
	if err := json.Unmarshal([]byte(text), &entries); err != nil || !read(entries) {
		t.Fatalf("%s: %v", text, err)
	}
	return entries
}

func TestAChannelIsToldWhatConcernsItOnce(t *testing.T) {
	a, _ := pathChannel("a")
	b, _ := pathChannel("a.b")
	top, _ := pathChannel("")
	regex, _ := regexChannel(`a\.(b|c)`)
	whole := `{"ope":"PUT","path":"a","instance":{"b":1,"c":2}}`
	part := `{"ope":"PUT","path":"a.b","instance":1}`
	other := `{"ope":"PUT","path":"a.b","instance":9}`
	gone := `{"ope":"DELETE","path":"a.b","instance":1}`
	back := `{"ope":"ROLLBACK","path":"a","instance":{"b":1},"backto":0}`
	below := `{"ope":"ROLLBACK","path":"a.b","instance":1,"backto":0}`
	cut := `{"ope":"PUT","path":"a","truncated":true}`
	for _, c := range []struct {
		on   *channel
		all  []string
		want string
	}{
		{a, []string{whole, part}, "PUT a"},
		{a, []string{part, whole}, "PUT a"},
		{b, []string{whole, part}, "PUT a.b"},
		{top, []string{whole, part}, "PUT a"},
		{regex, []string{whole, part}, "PUT a.b"},
		{a, []string{whole, other}, "PUT a, PUT a.b"},
		{a, []string{other, whole}, "PUT a.b, PUT a"},
		{a, []string{whole, gone}, "PUT a, DELETE a.b"},
		{a, []string{part, other}, "PUT a.b, PUT a.b"},
		{a, []string{back, below}, "ROLLBACK a"},
		{a, []string{below, part, back}, "ROLLBACK a"},
		{b, []string{back, below, part}, "ROLLBACK a.b"},
		{b, []string{part, below}, "ROLLBACK a.b"},
		{a, []string{cut, part}, "PUT a, PUT a.b"},
	} {
		var got []string
		for _, e := range c.on.of(entriesOf(t, "["+strings.Join(c.all, ",")+"]")) {
			got = append(got, e.Ope+" "+string(e.Path))
		}
		if said := strings.Join(got, ", "); said != c.want {
			t.Errorf("%s is told %q of %v, not %q", c.on.word, said, c.all, c.want)
		}
	}
}

func TestTheQueueKeepsItsOrderWhateverIsTakenOut(t *testing.T) {
	var q fifo
	random := rand.New(rand.NewSource(7))
	in := map[*request]bool{}
	order := uint64(0)
	for i := 0; i < 5_000; i++ {
		switch random.Intn(4) {
		case 0, 1:
			order++
			r := &request{order: order}
			q.push(r)
			in[r] = true
		case 2:
			for r := range in {
				q.remove(r)
				delete(in, r)
				if random.Intn(2) == 0 {
					q.unshift(r)
					in[r] = true
				}
				break
			}
		case 3:
			if r := q.head; r != nil {
				q.remove(r)
				delete(in, r)
			}
		}
		n, last := 0, uint64(0)
		var tail *request
		for r := q.head; r != nil; r = r.next {
			if r.order <= last || !in[r] || r.prev != tail || !r.queued {
				t.Fatalf("step %d: it's out of order", i)
			}
			n, last, tail = n+1, r.order, r
		}
		if n != len(in) || n != q.len || q.tail != tail {
			t.Fatalf("step %d: %d of %d are there, and it says %d", i, n, len(in), q.len)
		}
	}
}

func TestNothingThatAServerSaysMakesAClientPanic(t *testing.T) {
	frames := []string{
		"", "\n", "RESPONSE", "RESPONSE 1 GET x\n{\"value\":1,\"version\":2}", "RESPONSE 2 SUBSCRIBE x\n{\"position\":4,\"roots\":{\"a\":[\"x\",1]}}",
		`RESPONSE 2 SUBSCRIBE x` + "\n" + `{"position":9,"roots":{},"missed":[{"ope":"PUT","path":"a.b","instance":1,"root":"a","inc":"x","version":3,"position":3}]}`,
		"RESPONSE 2 SUBSCRIBE x\n{\"gone\":true}", "RESPONSE 2 SUBSCRIBE x\n{\"gone\":true,\"value\":{}}",
		"RESPONSE 3 PUT x\n{\"versions\":{\"a\":1},\"position\":1,\"durable\":true}", "RESPONSE 4 GET x\n{\"error\":{\"code\":\"conflict\"}}",
		"NOTIFY\n[]", "NOTIFY\n[{}]", "NOTIFY\n[{\"ope\":\"PUT\",\"path\":\"a..b\"}]", "NOTIFY\n[{\"ope\":\"NEW\",\"path\":\"a\"}]",
		`NOTIFY` + "\n" + `[{"ope":"PUT","path":"a","instance":{"b":1},"position":-7},{"ope":"ROLLBACK","path":"a.b","instance":1,"backto":2}]`,
		`NOTIFY` + "\n" + `[{"ope":"DELETE","path":"a.b","instance":null,"root":"a","inc":"x","version":8,"position":11}]`,
		"MESSAGE a b\n{\"message\":1,\"x\":2}", "MESSAGE a b\n", "MESSAGE a.. b\n1", "REQUEST 1 RPC x\n",
		"REQUEST 1 RPC y fn.f\n{\"args\":[1],\"kwargs\":{}}", "REQUEST 1 RPC y fn.f\n[]", "REQUEST 1 EAT y fn.f\n{}", "ERROR\n[]",
		"ERROR\n{\"error\":{\"code\":\"forbidden\",\"message\":\"no\"}}", "SESSIONACK again", "NEWER thing\n{}",
	}
	random := rand.New(rand.NewSource(7))
	for i := 0; i < 5_000; i++ {
		c := &Client{options: defaults(), channels: map[channelKey]*listening{}, serves: map[Path]Handler{}, closed: make(chan struct{})}
		c.options.logf = func(string, ...any) {}
		c.ctx, c.cancel = context.WithCancel(context.Background())
		l := &link{c: c, kick: make(chan struct{}, 1), open: map[uint32]*request{}, positions: map[string]uint64{}, ctx: c.ctx}
		c.link = l
		on, _ := pathChannel("a")
		opts := listenOptions{queue: 3, state: i%3 == 0}
		w := &Watch{c: c, on: on, opts: opts, wake: make(chan struct{}, 1), ready: make(chan *Error, 1), position: -1}
		m := &Messages{c: c, on: on, opts: opts, wake: make(chan struct{}, 1), ready: make(chan *Error, 1)}
		listening := &listening{feeds: []feed{w, m}}
		c.channels[on.key()] = listening
		c.serves["fn.f"] = func(context.Context, *Incoming) (any, error) { return 1, nil }
		l.open[1] = &request{kind: "GET", answer: make(chan answer, 1)}
		l.subscribe(listening, w)
		l.open[2] = l.side[0].request
		l.open[3] = &request{mode: writing, kind: "PUT", answer: make(chan answer, 1)}
		l.open[4] = &request{mode: once, before: "PUBLISH a\n1", answer: make(chan answer, 1)}
		for n := 0; n < 6; n++ {
			frame := []byte(frames[random.Intn(len(frames))])
			switch {
			case len(frame) == 0 || n < 2:
			case n == 2:
				frame = frame[:random.Intn(len(frame))]
			default:
				frame[random.Intn(len(frame))] = byte(random.Intn(128))
			}
			if l.take(frame) != nil {
				break
			}
		}
		c.broke(l, errors.New("that's it"))
		w.body()
		w.take()
		m.take()
		c.cancel()
	}
}
