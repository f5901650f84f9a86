// Package tega is a driver for tega, a tree of configuration with versions, transactions, rollback and notifications.
//
//	c, err := tega.Dial(ctx, "http://127.0.0.1:8739")
//	…
//	defer c.Close()
//	_, err = c.Put(ctx, "lan.ip", "192.168.1.1")
//	ip, err := tega.Get[string](ctx, c, "lan.ip")
//
// # One link
//
// A [Client] is one session over one WebSocket, which all its calls share: they are pipelined, and their answers may
// overtake each other. Only [Client.History] and [Client.Diff] go by HTTP, to the same address. When the link breaks, it's
// made again by itself, with growing pauses from 50 ms to 5 s, and then listens to the same channels and sets the same
// ephemeral nodes, before its next write is done; a read may come before them.
//
// Meanwhile calls wait: until their context ends or, where it has no deadline, for [Timeout]. What was under way when the
// link broke is dealt with by what it is:
//
//   - A read is asked again.
//   - A write has a request ID, and is sent again with it: it happens once, whether or not it had happened before.
//   - A call of a function and a published message are never sent again: [ErrOutcomeUnknown].
//
// # Errors
//
// Every error of this package is an [*Error] with a [Code], for [errors.Is] and [errors.As]. Two answer the question that
// matters after a failed write: [ErrNothingHappened] matches all errors after which it's sure that nothing did, and
// [ErrOutcomeUnknown] carries the RequestID with which the same write can be repeated safely. An error that a context
// ended matches the context's, too.
//
// # Bounds
//
// A client has at most 1,000 requests on the wire and 10,000 that wait, listens to 1,000 channels and owns 1,000 ephemeral
// nodes; more is [ErrTooMany] at once. A [Watch] and [Messages] have a queue ([Queue]), and a client that serves functions
// runs and queues so many calls ([Concurrency]). All goroutines end with [Client.Close], but for handlers that don't heed
// their context.
//
// # What it isn't
//
// There's no cache: each read asks the server. There's no TLS, as tega has none: a token goes over loopback, a Unix socket
// or, with [InsecureLink], through a tunnel that you know of.
package tega
