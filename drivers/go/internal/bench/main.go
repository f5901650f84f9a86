// Command bench measures one client of this driver, with the requests that `tega bench` makes. See drivers/bench.sh.
//
//	bench URL SECONDS DEPTH[,DEPTH…]
//
// It prints a line of JSON for each figure, as `tega bench --json` has them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"tega.local/tega"
)

// keys is how many nodes are written and read.
const keys = 100

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 4 {
		return errors.New("usage: bench URL SECONDS DEPTH[,DEPTH…]")
	}
	seconds, err := strconv.ParseFloat(os.Args[2], 64)
	if err != nil {
		return err
	}
	var depths []int
	for _, word := range strings.Split(os.Args[3], ",") {
		depth, err := strconv.Atoi(word)
		if err != nil || depth < 1 {
			return fmt.Errorf("a depth of %q", word)
		}
		depths = append(depths, depth)
	}
	if name := os.Getenv("BENCH_PROFILE"); name != "" {
		file, err := os.Create(name)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	ctx := context.Background()
	c, err := tega.Dial(ctx, os.Args[1])
	if err != nil {
		return err
	}
	defer c.Close()
	whats := []struct {
		name string
		do   func(n int) error
	}{
		{"put", func(n int) error {
			_, err := c.Put(ctx, path(n), fmt.Sprintf("value-%08d", n))
			return err
		}},
		{"get", func(n int) error {
			_, err := c.Get(ctx, path(n))
			return err
		}},
	}
	for n := 0; n < keys; n++ {
		if err := whats[0].do(n); err != nil {
			return err
		}
	}
	for _, what := range whats {
		for _, depth := range depths {
			figure, err := measure(what.do, depth, time.Duration(seconds*float64(time.Second)))
			if err != nil {
				return err
			}
			figure["what"] = what.name
			if err := json.NewEncoder(os.Stdout).Encode(figure); err != nil {
				return err
			}
		}
	}
	return nil
}

func path(n int) tega.Path { return tega.Path("bench.c0.k" + strconv.Itoa(n%keys)) }

// measure keeps so many requests under way, each by a goroutine that makes one after the other.
func measure(do func(int) error, depth int, length time.Duration) (map[string]any, error) {
	begun := time.Now()
	times := make([][]time.Duration, depth)
	failures := make([]error, depth)
	var tasks sync.WaitGroup
	for i := 0; i < depth; i++ {
		i := i
		tasks.Add(1)
		go func() {
			defer tasks.Done()
			for n, now := i, begun; now.Sub(begun) < length; n += depth {
				if failures[i] = do(n); failures[i] != nil {
					return
				}
				done := time.Now()
				times[i] = append(times[i], done.Sub(now))
				now = done
			}
		}()
	}
	tasks.Wait()
	took := time.Since(begun)
	var all []time.Duration
	for i := range times {
		if failures[i] != nil {
			return nil, failures[i]
		}
		all = append(all, times[i]...)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	return map[string]any{
		"by": "go", "depth": depth, "count": len(all), "per_second": float64(len(all)) / took.Seconds(),
		"p50_us": all[len(all)/2].Microseconds(), "p99_us": all[len(all)*99/100].Microseconds(),
	}, nil
}
