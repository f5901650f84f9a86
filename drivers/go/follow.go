package tega

import (
	"encoding/json"
	"sort"
)

// The link's side of a watch: what it's told, and where it left off.

func (w *Watch) channel() *channel { return w.on }

func (w *Watch) heard(*Message) {}

// maxSince is the longest list of roots that is named, in bytes.
const maxSince = maxMessage - 64<<10

func (w *Watch) body() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	body := map[string]any{"regex": w.on.regex, "state": w.owes && !w.on.regex}
	if w.since != nil {
		since := map[string][2]any{}
		for root, at := range w.since {
			since[root] = [2]any{at.inc, at.version}
		}
		body["since"] = since
		if len(since) == 0 {
			// Of a root that isn't there no version is known; the position tells what was before.
			body["since"] = w.position
		}
	}
	text, err := json.Marshal(body)
	if err != nil || len(text) > maxSince {
		// So many roots that they can't be named: it starts from the state.
		w.since, w.owes = nil, true
		text, _ = json.Marshal(map[string]any{"regex": w.on.regex, "state": !w.on.regex})
	}
	return text
}

type subscribed struct {
	Position int64            `json:"position"`
	Roots    map[string]stand `json:"roots"`
	Missed   []entry          `json:"missed"`
	Gone     bool             `json:"gone"`
	Value    json.RawMessage  `json:"value"`
}

// UnmarshalJSON reads ["INCARNATION",VERSION].
func (s *stand) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[2]any{&s.inc, &s.version})
}

func (w *Watch) began(l *link, a answer) {
	var told subscribed
	if a.err == nil {
		if err := json.Unmarshal(a.body, &told); err != nil || !read(told.Missed) {
			a.err = fail(ErrInternal, "%s: the answer can't be read", w)
		}
	}
	if a.err != nil {
		w.refused(a.err)
		return
	}
	if w.beganWith(&told) {
		l.get(w)
	}
	select {
	case w.ready <- nil:
	default:
	}
}

// beganWith takes the answer; true: the state is wanted, and isn't in it.
func (w *Watch) beganWith(told *subscribed) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return false
	}
	known, before := w.since, w.position
	w.live, w.behind, w.holding, w.held = true, false, false, nil
	w.owes = w.owes || w.opts.state || told.Gone
	if told.Gone || w.since == nil {
		w.since = map[string]stand{}
	}
	for len(told.Missed) > 0 {
		n := 1
		for n < len(told.Missed) && same(told.Missed[n].Position, told.Missed[0].Position) {
			n++
		}
		commit := told.Missed[:n]
		told.Missed = told.Missed[n:]
		// A root that was made and deleted before this watch began is new to it, and old all the same.
		_, is := known[commit[0].Root]
		if len(known) > 0 && !is && commit[0].Position != nil && *commit[0].Position <= before || w.isIn(commit) {
			continue
		}
		if !w.queued(commit, commit) {
			return false
		}
	}
	for root, at := range told.Roots {
		// A root that was deleted and has ephemeral nodes now is said to be at 0 again.
		if known, ok := w.since[root]; !ok || known.inc != at.inc || known.version < at.version {
			w.note(root, at)
		}
	}
	w.position = told.Position
	switch {
	case !w.owes:
	case w.on.regex || told.Value == nil:
		// The channel is no path, or the state didn't fit in.
		w.holding = true
	default:
		w.tellState(told.Value)
	}
	return w.holding
}

func same(a, b *int64) bool { return a != nil && b != nil && *a == *b }

// refused ends it: as it began, or because it can't go on.
func (w *Watch) refused(err error) {
	e, ok := err.(*Error)
	if !ok {
		e = fail(ErrInternal, "%v", err)
	}
	select {
	case w.ready <- e:
	default:
	}
	w.end(e)
}

// get reads the state of a watch, where it didn't come with the answer.
func (l *link) get(w *Watch) {
	w.mu.Lock()
	w.reads++
	reads := w.reads
	w.mu.Unlock()
	l.getInto(w, reads, w.on.regex)
}

// getInto is a GET whose answer is the state of a watch, as the n-th that is read. The regexes of a GET have other rules, so
// that of a regex is picked out of the whole, whose internal form has the roots' versions.
func (l *link) getInto(w *Watch, n int, internal bool) {
	r := &request{mode: ofLink, kind: "GET", word: w.on.word, body: []byte("{}")}
	if w.on.regex {
		r.word = "-"
	}
	if internal {
		r.body = []byte(`{"internal":true}`)
	}
	r.onAnswer = func(_ *link, a answer) {
		if internal && codeOf(a.err) == ErrTooLarge {
			// Without the versions it's a good deal shorter. Some of what comes meanwhile may be in it, and is told.
			l.getInto(w, n, false)
			return
		}
		state, err := w.on.state(a, internal)
		if err != nil {
			w.refused(err)
			return
		}
		w.stateRead(n, state)
	}
	l.c.mu.Lock()
	l.side = append(l.side, outgoing{request: r})
	l.c.mu.Unlock()
	l.wake()
}

// state is a value that was read, and up to which version of each root it is.
type state struct {
	value    json.RawMessage
	versions map[string]int64
}

// state takes the answer to the GET of a watch.
func (ch *channel) state(a answer, internal bool) (state, error) {
	if codeOf(a.err) == ErrNotFound {
		return state{}, nil
	}
	if a.err != nil {
		return state{}, a.err
	}
	var told struct {
		Value   json.RawMessage
		Version *int64
	}
	if err := json.Unmarshal(a.body, &told); err != nil {
		return state{}, unreadable("GET", ch.word, err)
	}
	read := state{told.Value, map[string]int64{}}
	if !ch.regex {
		if told.Version != nil {
			read.versions[ch.root()] = *told.Version
		}
		return read, nil
	}
	value, err := generic(told.Value)
	if err != nil {
		return state{}, unreadable("GET", ch.word, err)
	}
	if internal {
		read.versions = versions(value)
		value = plain(value)
	}
	if ch.pattern != nil {
		matches := map[Path]any{}
		ch.topmost(value, nil, matches)
		value = matches
	}
	read.value, err = json.Marshal(value)
	return read, err
}

// versions are those of the roots, in the internal form of the top.
func versions(internal any) map[string]int64 {
	read := map[string]int64{}
	roots, _ := internal.(map[string]any)
	for name, root := range roots {
		if node, ok := root.(map[string]any); ok {
			if number, ok := node["_version"].(json.Number); ok {
				if version, err := number.Int64(); err == nil {
					read[name] = version
				}
			}
		}
	}
	return read
}

// stateRead takes the state that was read after the answer. It may be newer, and has some of what came meanwhile.
func (w *Watch) stateRead(reads int, read state) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.holding || w.ended || reads != w.reads {
		return
	}
	held := w.held
	w.holding, w.held = false, nil
	w.tellState(read.value)
	w.has = map[string]stand{}
	for root, version := range read.versions {
		if known, ok := w.since[root]; ok {
			w.has[root] = stand{known.inc, version}
		}
	}
	for _, entries := range held {
		w.tellLocked(entries)
	}
}

// isIn tells whether a commit is in the state that was read last.
func (w *Watch) isIn(commit []entry) bool {
	e := &commit[0]
	at, ok := w.has[e.Root]
	return ok && e.Position != nil && at.inc == e.Inc && e.Version <= at.version
}

func (w *Watch) notified(entries []entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tellLocked(entries)
}

// tellLocked takes the entries of one commit, or of a change of ephemeral nodes.
func (w *Watch) tellLocked(entries []entry) {
	if !w.live || w.behind || w.ended {
		return
	}
	if w.holding {
		if w.held = append(w.held, entries); len(w.held) > w.opts.queue {
			w.behind, w.holding, w.held = true, false, nil
			w.poke()
		}
		return
	}
	if position := entries[0].Position; position != nil && *position <= w.position {
		return
	}
	if w.isIn(entries) {
		w.passed(entries)
		return
	}
	w.queued(w.on.of(entries), entries)
}

// queued takes what a commit tells this watch; false: there's no room, and it's behind from here on.
func (w *Watch) queued(changes, commit []entry) bool {
	if len(w.queue) > 0 && len(w.queue)+len(changes) > w.opts.queue {
		w.behind = true
		return false
	}
	for i := range changes {
		w.queue = append(w.queue, changes[i].change())
	}
	w.passed(commit)
	if len(changes) > 0 {
		w.poke()
	}
	return true
}

// passed notes that all of a commit was told.
func (w *Watch) passed(commit []entry) {
	if commit[0].Position == nil {
		return
	}
	w.position = *commit[0].Position
	for i := range commit {
		w.note(commit[i].Root, stand{commit[i].Inc, commit[i].Version})
	}
}

func (w *Watch) note(root string, at stand) {
	if only := w.on.root(); root != "" && (only == "" || only == root) {
		w.since[root] = at
	}
}

func (w *Watch) tellState(value json.RawMessage) {
	if value == nil {
		value = json.RawMessage("null")
	}
	w.owes, w.stated = false, true
	w.queue = append(w.queue, Change{Kind: KindState, Path: w.path, Value: value, Version: NoVersion, BackTo: NoVersion})
	w.poke()
}

// broke: the link is gone. A state that was on its way is owed on the next one.
func (w *Watch) broke() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.live, w.holding, w.held = false, false, nil
	if w.opts.state {
		w.owes = true
		if !w.stated {
			// It begins with the state, and so begins anew.
			w.since = nil
		}
	}
}

func (w *Watch) end(why *Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.ended = true
	if why.Code != ErrClosed {
		w.err = why
	}
	select {
	case w.ready <- why:
	default:
	}
	w.poke()
}

// sortedPaths is for what comes as an object and is wanted in order.
func sortedPaths[T any](m map[Path]T) []Path {
	paths := make([]Path, 0, len(m))
	for path := range m {
		paths = append(paths, path)
	}
	sort.Slice(paths, func(i, j int) bool { return paths[i] < paths[j] })
	return paths
}
