package tega

// mode says what becomes of a request whose link breaks.
type mode uint8

const (
	reading mode = iota // it's asked again
	writing             // it has a request ID, and is sent again with it
	once                // it's never sent again
	ofLink              // it belongs to the link, and the next one makes its own
)

// request is one REQUEST, from where it's made to its answer. All but the first fields belong to the client's lock.
type request struct {
	mode   mode
	before string // a frame that goes just before it
	kind   string
	word   string
	body   []byte
	id     string // the request ID of a write
	answer chan answer
	// Called with the answer, in the order in which answers and notifications come; keep it short.
	onAnswer func(*link, answer)

	prev, next *request
	order      uint64
	attempts   int
	gone       bool // nobody waits any more
	queued     bool
	seq        uint32
}

type answer struct {
	body []byte
	err  error
	link *link
}

// deliver ends the request. It must be in no list any more.
func (r *request) deliver(a answer) {
	if r.onAnswer != nil {
		r.onAnswer(a.link, a)
	}
	if r.answer != nil {
		r.answer <- a // it has room for the one
	}
}

// fifo is the requests that wait to be sent, oldest first; any can be taken out.
type fifo struct {
	head, tail *request
	len        int
}

// push files the request by its order: at the end, unless it was sent before.
func (q *fifo) push(r *request) {
	at := q.tail
	for at != nil && at.order > r.order {
		at = at.prev
	}
	q.insert(at, r)
}

// unshift files one that was sent before: near the head.
func (q *fifo) unshift(r *request) {
	var at *request
	for next := q.head; next != nil && next.order < r.order; next = next.next {
		at = next
	}
	q.insert(at, r)
}

func (q *fifo) insert(after, r *request) {
	r.prev, r.queued = after, true
	if after == nil {
		r.next, q.head = q.head, r
	} else {
		r.next, after.next = after.next, r
	}
	if r.next == nil {
		q.tail = r
	} else {
		r.next.prev = r
	}
	q.len++
}

func (q *fifo) remove(r *request) {
	if r.prev == nil {
		q.head = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		q.tail = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.prev, r.next, r.queued = nil, nil, false
	q.len--
}
