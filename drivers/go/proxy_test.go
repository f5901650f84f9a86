package tega_test

import (
	"net"
	"sync"
	"testing"
	"time"
)

// proxy is a bad network: what goes through it can be cut, held up and lost, and its target may move.
type proxy struct {
	listener net.Listener
	tasks    sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	target  string
	down    bool // new connections are closed at once
	stalled bool // nothing passes
	mute    bool // what the target says is lost
	ended   bool
	open    map[net.Conn]bool
	// How many connections there were.
	count int
}

func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	p := &proxy{listener: listener, target: target, open: map[net.Conn]bool{}}
	p.changed = sync.NewCond(&p.mu)
	p.tasks.Add(1)
	go p.accept()
	t.Cleanup(func() {
		listener.Close()
		p.set(func() { p.ended = true })
		p.cut()
		p.tasks.Wait()
	})
	return p
}

func (p *proxy) url() string { return "http://" + p.listener.Addr().String() }

func (p *proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.changed.Broadcast()
}

// cut ends all connections.
func (p *proxy) cut() {
	p.set(func() {
		for conn := range p.open {
			conn.Close()
		}
	})
}

// away ends all connections and takes no new ones.
func (p *proxy) away() {
	p.set(func() { p.down = true })
	p.cut()
}

// back takes connections again, to where the target is now.
func (p *proxy) back(target string) {
	p.set(func() { p.down, p.mute, p.target = false, false, target })
}

func (p *proxy) setMute(mute bool) { p.set(func() { p.mute = mute }) }

func (p *proxy) setStalled(stalled bool) { p.set(func() { p.stalled = stalled }) }

func (p *proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

func (p *proxy) accept() {
	defer p.tasks.Done()
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		down, target := p.down || p.ended, p.target
		if !down {
			p.count++
		}
		p.mu.Unlock()
		other, err := net.DialTimeout("tcp", target, time.Second)
		if down || err != nil {
			conn.Close()
			if err == nil {
				other.Close()
			}
			continue
		}
		p.set(func() { p.open[conn], p.open[other] = true, true })
		p.tasks.Add(2)
		go p.pass(conn, other, false)
		go p.pass(other, conn, true)
	}
}

func (p *proxy) pass(from, to net.Conn, answers bool) {
	defer p.tasks.Done()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		for p.stalled && !p.ended && p.open[from] && p.open[to] && err == nil {
			p.changed.Wait()
		}
		lost := answers && p.mute
		p.mu.Unlock()
		if n > 0 && !lost {
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	p.set(func() {
		delete(p.open, from)
		delete(p.open, to)
	})
	from.Close()
	to.Close()
}
