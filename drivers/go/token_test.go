package tega_test

import (
	"net"
	"strings"
	"testing"
	"time"

	tega "tega.local/tega"
)

// guarded is a server that asks for tokens, with one of these rights.
func guarded(t *testing.T, rights ...string) (*server, string) {
	t.Helper()
	s := startServer(t)
	token := s.run(append([]string{"token", "new", "me", "--data", s.dir}, rights...)...)
	s.restart()
	return s, token
}

func TestUnauthorized(t *testing.T) {
	s, _ := guarded(t, "--read", "a")
	p := startProxy(t, s.address())
	for _, opts := range [][]tega.Option{{}, {tega.Token("tega_me_0123456789")}} {
		before := p.connections()
		_, err := tega.Dial(ctx, p.url(), opts...)
		e := wantCode(t, err, tega.ErrUnauthorized)
		if !strings.Contains(e.Message, p.url()) || strings.Contains(e.Message, "0123456789") {
			t.Errorf("the address isn't named, or the token is: %v", e)
		}
		time.Sleep(150 * time.Millisecond)
		equal(t, p.connections(), before+1)
	}
}

func TestForbidden(t *testing.T) {
	s, token := guarded(t, "--read", "a", "--as", "me")
	p := startProxy(t, s.address())
	c := dial(t, p.url(), tega.Token(token), tega.ID("me"))
	admin := dial(t, "unix:"+s.dir+"/tega.sock")
	must(admin.Put(ctx, "a.b", 1))(t)
	equal(t, wantCode(t, must2(c.Put(ctx, "b.x", 1)), tega.ErrForbidden).Path, "b.x")
	wantCode(t, must2(c.Get(ctx, "b")), tega.ErrForbidden)
	wantCode(t, c.Publish(ctx, "c", 1), tega.ErrForbidden)
	wantCode(t, must2(c.Watch(ctx, "b")), tega.ErrForbidden)
	wantCode(t, must2(c.Subscribe(ctx, "c")), tega.ErrForbidden)
	wantCode(t, must2(c.Call(ctx, "b.f")), tega.ErrForbidden)
	w := must(c.Watch(ctx, "a"))(t)
	quiet(t, w, admin, "a.z")
	equal(t, must(tega.Get[int](ctx, c, "a.b"))(t), 1)
	equal(t, len(must(c.History(ctx, "a"))(t)), 2)
	equal(t, p.connections() <= 2, true) // one of them for the history
	// Whose token it is says as whom it may act.
	_, err := tega.Dial(ctx, s.url, tega.Token(token), tega.ID("somebody"))
	wantCode(t, err, tega.ErrUnauthorized)
}

func TestTokenRemoved(t *testing.T) {
	s, token := guarded(t, "--read", "a")
	c := dial(t, s.url, tega.Token(token))
	w := must(c.Watch(ctx, "a"))(t)
	m := must(c.Subscribe(ctx, "a"))(t)
	s.run("token", "remove", "me", "--data", s.dir)
	s.run("token", "new", "other", "--read", "a", "--data", s.dir)
	s.hangUp()
	for range w.Changes() {
		t.Error("nothing was changed")
	}
	wantCode(t, w.Err(), tega.ErrUnauthorized)
	wantCode(t, must2(m.Next(ctx)), tega.ErrUnauthorized)
	wantCode(t, must2(c.Get(ctx, "a")), tega.ErrUnauthorized)
	wantCode(t, must2(c.History(ctx, "a")), tega.ErrUnauthorized)
}

func TestATokenThatIsChangedInItsFileIsUsedForTheNextLink(t *testing.T) {
	s, token := guarded(t, "--read", "a")
	name := file(t, token)
	p := startProxy(t, s.address())
	c := dial(t, p.url(), tega.TokenFile(name))
	s.run("token", "remove", "me", "--data", s.dir)
	fresh := s.run("token", "new", "me2", "--read", "a", "--data", s.dir)
	write(t, name, fresh)
	s.hangUp()
	eventually(t, "the link is made again", func() bool { return p.connections() > 1 })
	wantCode(t, must2(c.Get(ctx, "a")), tega.ErrNotFound)
}

func TestTokenStaysHere(t *testing.T) {
	// An address of the documentation's: nothing is ever sent there.
	_, err := tega.Dial(ctx, "http://192.0.2.1:8739", tega.Token("tega_me_00"))
	e := wantCode(t, err, tega.ErrBadRequest)
	for _, word := range []string{"WireGuard", "InsecureLink", "192.0.2.1"} {
		if !strings.Contains(e.Message, word) {
			t.Errorf("%s isn't named: %v", word, e)
		}
	}
	if strings.Contains(e.Message, "tega_me_00") {
		t.Errorf("the token is told: %v", e)
	}
	// A name of this machine's that isn't loopback by definition stands for one beyond.
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer listener.Close()
	heard := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			heard <- err.Error()
			return
		}
		defer conn.Close()
		buffer := make([]byte, 4096)
		n, _ := conn.Read(buffer)
		heard <- string(buffer[:n])
	}()
	opts := tega.BeyondLoopback(listener.Addr().String())
	_, err = tega.Dial(ctx, "http://192.0.2.1:8739", opts, tega.Token("tega_me_00"), tega.ConnectTimeout(time.Second))
	wantCode(t, err, tega.ErrBadRequest)
	_, err = tega.Dial(ctx, "http://192.0.2.1:8739", opts, tega.Token("tega_me_00"), tega.InsecureLink(), tega.ConnectTimeout(time.Second))
	if err == nil {
		t.Error("it was no server")
	}
	if got := <-heard; !strings.Contains(got, "Authorization: Bearer tega_me_00") {
		t.Errorf("the token wasn't sent: %s", got)
	}
}
