package tega_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	tega "tega.local/tega"
)

// ctx is for calls that have the time of their client.
var ctx = context.Background()

// patience is how long a test waits for what must come.
const patience = 15 * time.Second

// server is a tega on a port of its own, killed at the end of its test.
type server struct {
	t       testing.TB
	dir     string
	args    []string
	url     string
	process *exec.Cmd
}

// binary is the tega to test against. Without one the test is passed over.
func binary(t testing.TB) string {
	bin := os.Getenv("TEGA_BIN")
	if bin == "" {
		t.Skip("TEGA_BIN names no tega to test against")
	}
	return bin
}

func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	binary(t)
	s := &server{t: t, dir: t.TempDir(), args: args}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.t.Helper()
	args := s.args
	if !strings.Contains(strings.Join(args, " "), "--id") {
		args = append([]string{"--id", "server"}, args...)
	}
	var err error
	s.process, s.url, err = launch(binary(s.t), s.dir, args...)
	check(s.t, err)
}

// launch starts a server, and waits until it says where it listens.
func launch(bin, dir string, args ...string) (*exec.Cmd, string, error) {
	process := exec.Command(bin, append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--log-level", "error"}, args...)...)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := process.Start(); err != nil {
		return nil, "", err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url := strings.TrimPrefix(lines.Text(), "listening on "); strings.HasPrefix(url, "http://") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return process, url, nil
		}
	}
	_ = process.Process.Kill()
	_ = process.Wait()
	return nil, "", errors.New("the server didn't say where it listens")
}

// TestMain starts the server that the examples talk to. Without a tega to test against, only those tests run that need
// none.
func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	flag.Parse()
	os.Unsetenv("TEGA_URL")
	os.Unsetenv("TEGA_TOKEN")
	bin := os.Getenv("TEGA_BIN")
	if bin == "" {
		fmt.Println("TEGA_BIN names no tega to test against: only what needs none is tested")
		if run := flag.Lookup("test.run"); run.Value.String() == "" {
			_ = run.Value.Set("^Test")
		}
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "tega-go-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	process, url, err := launch(bin, dir, "--id", "server")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	}()
	os.Setenv("TEGA_URL", url)
	return m.Run()
}

// kill ends it as a power cut would.
func (s *server) kill() {
	if s.process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
		s.process = nil
	}
}

func (s *server) restart() {
	s.t.Helper()
	s.kill()
	s.start()
}

func (s *server) hangUp() { check(s.t, s.process.Process.Signal(syscall.SIGHUP)) }

// address is what a proxy connects to.
func (s *server) address() string { return strings.TrimPrefix(s.url, "http://") }

// run is a command of the server's program, with what it printed.
func (s *server) run(args ...string) string {
	s.t.Helper()
	command := exec.Command(binary(s.t), args...)
	command.Env = append(os.Environ(), "TEGA_URL="+s.url)
	out, err := command.Output()
	if err != nil {
		s.t.Fatalf("tega %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// get asks by HTTP, beside the driver.
func (s *server) get(target string) string {
	s.t.Helper()
	response, err := http.Get(s.url + target)
	check(s.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(s.t, err)
	return string(body)
}

// dial connects, and sees at the end of the test that nothing of the client is left.
func dial(t testing.TB, url string, opts ...tega.Option) *tega.Client {
	t.Helper()
	c, err := tega.Dial(ctx, url, append([]tega.Option{tega.Logf(nil)}, opts...)...)
	if err != nil {
		t.Fatalf("dial %s: %v", url, err)
	}
	count := func(by int) int {
		clientsLock.Lock()
		defer clientsLock.Unlock()
		clients[t] += by
		return clients[t]
	}
	count(1)
	t.Cleanup(func() {
		check(t, c.Close())
		if count(-1) == 0 {
			nothingLeft(t)
		}
	})
	return c
}

// The clients of each test that are open.
var (
	clientsLock sync.Mutex
	clients     = map[testing.TB]int{}
)

// nothingLeft waits until no goroutine runs in this package.
func nothingLeft(t testing.TB) {
	t.Helper()
	buffer := make([]byte, 1<<20)
	var left []string
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		left = nil
		for _, stack := range strings.Split(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
			if strings.Contains(stack, "\ntega.local/tega.") && !strings.Contains(stack, "nothingLeft") {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must is for results of what must succeed.
func must[T any](value T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		check(t, err)
		return value
	}
}

func wantCode(t testing.TB, err error, code tega.Code) *tega.Error {
	t.Helper()
	if !errors.Is(err, code) {
		t.Fatalf("%s wanted, got: %v", string(code), err)
	}
	var e *tega.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no tega.Error", err)
	}
	return e
}

func equal[T comparable](t testing.TB, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// eventually waits for something to become true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("it doesn't come true that %s", what)
}

// within is a context that ends soon.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// next is the next change, which must come.
func next(t testing.TB, w *tega.Watch) tega.Change {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	change, err := w.Next(ctx)
	check(t, err)
	return change
}

// told is a change in one line.
func told(ch tega.Change) string {
	line := fmt.Sprintf("%s %s %s", ch.Kind, ch.Path, ch.Value)
	if ch.BackTo != tega.NoVersion {
		line += fmt.Sprintf(" back to %d", ch.BackTo)
	}
	return line
}

func wantTold(t testing.TB, w *tega.Watch, lines ...string) {
	t.Helper()
	for _, line := range lines {
		equal(t, told(next(t, w)), line)
	}
}

// quiet sees that nothing more comes: a change that is made now is the next one.
func quiet(t testing.TB, w *tega.Watch, by *tega.Client, path tega.Path) {
	t.Helper()
	must(by.Put(ctx, path, "the next"))(t)
	equal(t, string(next(t, w).Value), `"the next"`)
}

func file(t testing.TB, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "token")
	check(t, os.WriteFile(name, []byte(content), 0o600))
	return name
}

func write(t testing.TB, name, content string) { check(t, os.WriteFile(name, []byte(content), 0o600)) }

func asJSON(t testing.TB, value any) string {
	t.Helper()
	return string(must(json.Marshal(value))(t))
}

// splitN splits a line into three words at most.
func splitN(line string) []string { return strings.SplitN(line, " ", 3) }

func raw(text string) json.RawMessage { return json.RawMessage(text) }

type rawJSON = json.RawMessage

func rawArgs(texts ...string) []rawJSON {
	var args []rawJSON
	for _, text := range texts {
		args = append(args, raw(text))
	}
	return args
}

// answers is a function that returns always the same.
func answers(value any) tega.Handler {
	return func(context.Context, *tega.Incoming) (any, error) { return value, nil }
}
