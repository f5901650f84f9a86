// Command across is the Go half of drivers/test-across.sh: it serves functions at one server, and calls those of the
// Python half, which serves at the same one, through another server of the fleet.
//
//	across SERVE_URL CALL_URL CLIENTS CALLS
//
// It says "serving" once its functions are there, and then does what each line of standard input says and repeats the line:
// "call" each function, call "together" from many clients, wait until nobody is there to be called: "absent". It ends with
// its input.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tega.local/tega"
)

const (
	patience = 20 * time.Second
	python   = "operational-r1.rpc.python."
	golang   = "operational-r1.rpc.go."
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "the Go half:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 5 {
		return errors.New("usage: across SERVE_URL CALL_URL CLIENTS CALLS")
	}
	clients, err := strconv.Atoi(os.Args[3])
	if err != nil {
		return err
	}
	each, err := strconv.Atoi(os.Args[4])
	if err != nil {
		return err
	}
	ctx := context.Background()
	owner, err := tega.Dial(ctx, os.Args[1], tega.ID("go-owner"), tega.Concurrency(clients*each+1, 0))
	if err != nil {
		return err
	}
	defer owner.Close()
	if err := serve(ctx, owner, clients*each); err != nil {
		return err
	}
	fmt.Println("serving")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var err error
		switch lines.Text() {
		case "call":
			err = call(ctx, os.Args[2])
		case "together":
			err = together(ctx, os.Args[2], clients, each)
		case "absent":
			err = absent(ctx, os.Args[2])
		}
		if err != nil {
			return err
		}
		fmt.Println(lines.Text())
	}
	return lines.Err()
}

// serve puts the functions there: one that returns its arguments, one that returns only once it was called so often that
// all calls run at the same time, one that fails, and one that never returns.
func serve(ctx context.Context, owner *tega.Client, all int) error {
	var here atomic.Int64
	together := make(chan struct{})
	functions := map[string]tega.Handler{
		"echo": func(_ context.Context, in *tega.Incoming) (any, error) {
			return map[string]any{"args": in.Args, "kwargs": in.Kwargs}, nil
		},
		"together": func(ctx context.Context, in *tega.Incoming) (any, error) {
			var who string
			if there, err := in.Arg(0, "who", &who); !there || err != nil {
				return nil, fmt.Errorf("a word is wanted (%v)", err)
			}
			if here.Add(1) == int64(all) {
				close(together)
			}
			select {
			case <-together:
				return who + " by Go", nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
		"fail": func(context.Context, *tega.Incoming) (any, error) {
			return nil, errors.New("no such interface: wän9")
		},
		"never": func(ctx context.Context, _ *tega.Incoming) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}
	for name, function := range functions {
		if _, err := owner.Serve(ctx, tega.Path(golang+name), function); err != nil {
			return err
		}
	}
	return nil
}

// values are what JSON has.
const values = `[null,true,false,0,-9223372036854775808,18446744073709551615,0.1,-1.5e300,"","ä€𝄞\n\t\u0000\"\\",
	[],{},[[1,[2]],{"a":{"b":[null]}}],{"error":{"code":"not_found","message":"m"}},{"result":1},{"_value":1,"a.b \n%":2}]`

func call(ctx context.Context, url string) error {
	first, err := tega.Dial(ctx, url)
	if err != nil {
		return err
	}
	defer first.Close()
	if err := appears(ctx, first); err != nil {
		return err
	}
	var args []any
	if err := read([]byte(values), &args); err != nil {
		return err
	}
	wanted := map[string]any{"args": args, "kwargs": map[string]any{"näme": args, "path": "kept"}}
	for round := 0; round < 2; round++ {
		got, err := first.Call(ctx, python+"echo", append(args[:len(args):len(args)], tega.Kwargs{"näme": args, "path": "kept"})...)
		if err != nil {
			return err
		}
		var back any
		if err := read(got, &back); err != nil || !same(back, wanted) {
			return fmt.Errorf("what came back isn't what was sent: %s (%v)", got, err)
		}
	}
	_, err = first.Call(ctx, python+"fail")
	if !errors.Is(err, tega.ErrRPCFailed) || !strings.Contains(err.Error(), "ValueError: no such interface: wän9") {
		return fmt.Errorf("a function that fails: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err = first.Call(short, python+"never"); !errors.Is(err, tega.ErrTimeout) {
		return fmt.Errorf("a function that doesn't return: %v", err)
	}
	return nil
}

// appears waits until Python's functions are seen.
func appears(ctx context.Context, c *tega.Client) error {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		_, err := c.Get(ctx, python+"together")
		if err == nil {
			return nil
		}
		if !errors.Is(err, tega.ErrNotFound) || time.Now().After(end) {
			return err
		}
	}
}

// together calls from many clients at once; each must have its own answer.
func together(ctx context.Context, url string, clients, each int) error {
	failures := make(chan error, clients*each)
	var tasks sync.WaitGroup
	for i := 0; i < clients; i++ {
		c, err := tega.Dial(ctx, url)
		if err != nil {
			return err
		}
		defer c.Close()
		for j := 0; j < each; j++ {
			who := fmt.Sprintf("call %d of client %d", j, i)
			tasks.Add(1)
			go func() {
				defer tasks.Done()
				got, err := tega.Call[string](ctx, c, python+"together", who)
				if err == nil && got != who+" by Python" {
					err = fmt.Errorf("%s got %q", who, got)
				}
				if err != nil {
					failures <- err
				}
			}()
		}
	}
	tasks.Wait()
	if n := len(failures); n > 0 {
		return fmt.Errorf("%d of %d calls failed, such as: %w", n, clients*each, <-failures)
	}
	return nil
}

// absent waits until nobody is there to be called.
func absent(ctx context.Context, url string) error {
	c, err := tega.Dial(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		_, err = c.Call(ctx, python+"echo")
		if errors.Is(err, tega.ErrNotFound) || errors.Is(err, tega.ErrNoOwner) {
			return nil
		}
	}
	return fmt.Errorf("the other half is gone, and a call says: %v", err)
}

func read(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// same compares JSON; numbers may be spelt differently.
func same(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		x, fine := new(big.Rat).SetString(a.String())
		y, also := new(big.Rat).SetString(string(b))
		return ok && fine && also && x.Cmp(y) == 0
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !same(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key := range a {
			other, ok := b[key]
			if !ok || !same(a[key], other) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}
