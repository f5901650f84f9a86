package tega

import (
	"context"
	"log"
	"net"
	"time"
)

// Bounds of one client.
const (
	onTheWire   = 1_000  // requests that were sent and wait; the server stops reading at 1,024
	maxWaiting  = 10_000 // requests that wait in all
	maxChannels = 1_000  // channels listened to
	maxOwned    = 1_000  // ephemeral nodes
	maxOps      = 10_000 // operations of a transaction
	maxRoots    = 1_000  // roots of which the newest position is remembered
	maxSide     = 8_192  // frames that wait to be sent and are no requests
	maxAnswer   = 65 << 20
	// As the server counts: a value of 1 MiB, and room for a command line with the longest path.
	maxMessage = 1<<20 + 112<<10
)

const (
	callTime    = 30 * time.Second
	connectTime = 10 * time.Second
	pingTime    = 20 * time.Second
	leastPause  = 50 * time.Millisecond
	mostPause   = 5 * time.Second
)

type options struct {
	address      address
	id           string
	token        string
	tokenFile    string
	insecureLink bool
	timeout      time.Duration
	connect      time.Duration
	ping         time.Duration
	running      int
	queued       int
	logf         func(string, ...any)
	dial         func(context.Context) (net.Conn, error)
}

// Option says how to connect.
type Option func(*options)

// ID is the tega ID to act under: letters, digits, "-" and "_". Without it each client draws one of its own. Clients
// that share one aren't told of each other's changes, and calls go to the newest of them.
func ID(id string) Option { return func(o *options) { o.id = id } }

// Token is shown to the server. Better is a file, or the environment's TEGA_TOKEN, which is the default.
func Token(token string) Option { return func(o *options) { o.token = token } }

// TokenFile names the file that the token is in. It's read again for each link.
func TokenFile(name string) Option { return func(o *options) { o.tokenFile = name } }

// InsecureLink lets a token go over a clear link beyond this machine: say so where a tunnel protects it, which this
// driver can't see.
func InsecureLink() Option { return func(o *options) { o.insecureLink = true } }

// Timeout is how long a call waits whose context has no deadline; 30 s unless said otherwise.
func Timeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// ConnectTimeout is how long one attempt to connect may take; 10 s unless said otherwise.
func ConnectTimeout(d time.Duration) Option { return func(o *options) { o.connect = d } }

// Keepalive is how often a silent server is asked whether it is there; after three times it counts as gone. 20 s unless
// said otherwise.
func Keepalive(d time.Duration) Option { return func(o *options) { o.ping = d } }

// Concurrency bounds the functions that this client serves: so many calls run at once (64 unless said otherwise) and so
// many wait (1,024); those beyond are refused at once.
func Concurrency(running, waiting int) Option {
	return func(o *options) { o.running, o.queued = running, waiting }
}

// Logf is told what nobody waits for: that a link broke and why, that an ephemeral node couldn't be set again. Without it
// this goes to [log.Printf]; nil is silent.
func Logf(logf func(format string, args ...any)) Option {
	return func(o *options) {
		if logf == nil {
			logf = func(string, ...any) {}
		}
		o.logf = logf
	}
}

func defaults() options {
	return options{
		timeout: callTime, connect: connectTime, ping: pingTime, running: 64, queued: 1_024,
		logf: func(format string, args ...any) { log.Printf("tega: "+format, args...) },
	}
}

func (o *options) check() error {
	if o.timeout <= 0 || o.connect <= 0 || o.ping <= 0 || o.running < 1 || o.queued < 0 {
		return fail(ErrBadRequest, "an option is out of range: times above 0, and at least one call at once, are wanted")
	}
	if len(o.id) < 1 || len(o.id) > 64 || !isID(o.id) {
		return fail(ErrBadRequest, `tega ID %q: 1 to 64 letters, digits, "-" and "_" are wanted`, o.id)
	}
	return nil
}

func isID(id string) bool {
	for i := 0; i < len(id); i++ {
		c := id[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// GetOption says what to read.
type GetOption func(*getOptions)

type getOptions struct {
	version  *int64
	fresh    bool
	internal bool
}

// AtVersion reads a kept version of the root: 0 and above absolute, below 0 relative to the present one.
func AtVersion(version int64) GetOption { return func(o *getOptions) { o.version = &version } }

// Fresh waits, on a replica, for all that the home has acknowledged.
func Fresh() GetOption { return func(o *getOptions) { o.fresh = true } }

// Internal reads the form that has version and owner of each node.
func Internal() GetOption { return func(o *getOptions) { o.internal = true } }

// WriteOption says how to write.
type WriteOption func(*writeOptions)

type writeOptions struct {
	version   *int64
	ephemeral bool
	durable   bool
	id        string
}

// IfVersion writes only where the node is at this version; else ErrConflict.
func IfVersion(version int64) WriteOption { return func(o *writeOptions) { o.version = &version } }

// IfAbsent writes only where nothing is.
func IfAbsent() WriteOption { return IfVersion(NoVersion) }

// Ephemeral puts a node that lives as long as this client: it isn't versioned, and it's set again after a break.
func Ephemeral() WriteOption { return func(o *writeOptions) { o.ephemeral = true } }

// Durable waits for the disk, whatever the root's durability is.
func Durable() WriteOption { return func(o *writeOptions) { o.durable = true } }

// RequestID names the write: the same write with the same ID gets the first outcome, and isn't done twice. Without it
// each write has an ID of its own; after ErrOutcomeUnknown it's in the error.
func RequestID(id string) WriteOption { return func(o *writeOptions) { o.id = id } }
