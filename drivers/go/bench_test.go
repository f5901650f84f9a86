package tega_test

import (
	"context"
	"sync"
	"testing"
	"time"

	tega "tega.local/tega"
)

// bench runs a call one at a time, and 64 at a time over the same link.
func bench(b *testing.B, call func() error) {
	b.Run("alone", func(b *testing.B) {
		begun := time.Now()
		for i := 0; i < b.N; i++ {
			check(b, call())
		}
		rate(b, begun)
	})
	b.Run("pipelined", func(b *testing.B) {
		begun := time.Now()
		var tasks sync.WaitGroup
		for w := 0; w < 64; w++ {
			n := b.N / 64
			if w < b.N%64 {
				n++
			}
			tasks.Add(1)
			go func() {
				defer tasks.Done()
				for i := 0; i < n; i++ {
					if err := call(); err != nil {
						b.Error(err)
						return
					}
				}
			}()
		}
		tasks.Wait()
		rate(b, begun)
	})
}

func rate(b *testing.B, begun time.Time) {
	b.ReportMetric(float64(b.N)/time.Since(begun).Seconds(), "a_second")
}

func BenchmarkGet(b *testing.B) {
	c := dial(b, startServer(b).url)
	must(c.Put(ctx, "bench.a", "192.168.1.1"))(b)
	bench(b, func() error { return must2(c.Get(ctx, "bench.a")) })
}

func BenchmarkPut(b *testing.B) {
	c := dial(b, startServer(b).url)
	bench(b, func() error { return must2(c.Put(ctx, "bench.a", "192.168.1.1")) })
}

// BenchmarkPutUndurable is without the disk.
func BenchmarkPutUndurable(b *testing.B) {
	c := dial(b, startServer(b, "--durability", "none").url)
	bench(b, func() error { return must2(c.Put(ctx, "bench.a", "192.168.1.1")) })
}

func BenchmarkCall(b *testing.B) {
	s := startServer(b)
	owner, c := dial(b, s.url), dial(b, s.url)
	must(owner.Serve(ctx, "fn.f", func(context.Context, *tega.Incoming) (any, error) { return 1, nil }))(b)
	bench(b, func() error { return must2(c.Call(ctx, "fn.f", 7)) })
}

func BenchmarkWatch(b *testing.B) {
	s := startServer(b, "--durability", "none", "--history", "100000")
	c, other := dial(b, s.url), dial(b, s.url)
	w := must(c.Watch(ctx, "bench", tega.Queue(10_000)))(b)
	b.ResetTimer()
	begun := time.Now()
	var writers sync.WaitGroup
	writers.Add(1)
	go func() {
		defer writers.Done()
		for i := 0; i < b.N; i++ {
			if err := must2(other.Put(ctx, "bench.a", i)); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	for i := 0; i < b.N; i++ {
		next(b, w)
	}
	writers.Wait()
	rate(b, begun)
}
