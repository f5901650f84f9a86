package tega

import (
	"context"
	"net"
)

// BeyondLoopback makes a client connect to this address instead of the one that it's given: a test has no other machine.
func BeyondLoopback(to string) Option {
	return func(o *options) {
		o.dial = func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", to)
		}
	}
}

// Held is how many changes a watch holds.
func Held(w *Watch) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue) + 1
}
