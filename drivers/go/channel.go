package tega

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
)

// channel is what is listened to: a path and everything below it, or a regex over whole paths.
type channel struct {
	word    string // as it stands in a command line
	regex   bool
	keys    []string
	pattern *regexp.Regexp
}

type channelKey struct {
	word  string
	regex bool
}

func (ch *channel) key() channelKey { return channelKey{ch.word, ch.regex} }

// everything is how the top is listened to, which a server knows no channel of.
const everything = "(?s).*"

func pathChannel(p Path) (*channel, error) {
	keys, err := p.Keys()
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return &channel{word: everything, regex: true}, nil
	}
	word, err := p.wire()
	if err != nil {
		return nil, err
	}
	// One spelling for each path, by which listeners of the same are found.
	if !isWord(word) {
		word = wireEscapes.Replace(string(Join(keys...)))
	}
	return &channel{word: word, keys: keys}, nil
}

var regexEscapes = strings.NewReplacer("%", "%25", " ", "%20", "\n", "%0A")

// regexChannel is compiled as the server does it: from the start of the path, its keys joined by dots, to where a key
// ends.
func regexChannel(text string) (*channel, error) {
	if text == "" || strings.ContainsAny(text, "\r\n") {
		return nil, fail(ErrBadRequest, "regex %q: one line is wanted", text)
	}
	if _, err := regexp.Compile(text); err != nil {
		return nil, fail(ErrBadRequest, "regex %q: %v", text, err)
	}
	pattern, err := regexp.Compile(`^(?:` + text + `)(?:\.|$)`)
	if err != nil {
		return nil, fail(ErrBadRequest, "regex %q: %v", text, err)
	}
	return &channel{word: regexEscapes.Replace(text), regex: true, pattern: pattern}, nil
}

// sees tells whether changes at this path are told to who listens here.
func (ch *channel) sees(keys []string) bool {
	switch {
	case ch.pattern != nil:
		return ch.pattern.MatchString(strings.Join(keys, "."))
	case ch.regex:
		return true
	}
	return within(ch.keys, keys)
}

// hears tells whether messages on this channel are.
func (ch *channel) hears(keys []string) bool {
	return ch.sees(keys) && (ch.regex || len(keys) == len(ch.keys))
}

// root is the only root that matters; empty: all do.
func (ch *channel) root() string {
	if len(ch.keys) == 0 {
		return ""
	}
	return ch.keys[0]
}

// entry is one change, as a notification has it.
type entry struct {
	Ope       string          `json:"ope"`
	Path      Path            `json:"path"`
	By        string          `json:"tega_id"`
	Instance  json.RawMessage `json:"instance"`
	BackTo    *int64          `json:"backto"`
	Root      string          `json:"root"`
	Inc       string          `json:"inc"`
	Version   int64           `json:"version"`
	Position  *int64          `json:"position"`
	Ephemeral bool            `json:"ephemeral"`
	Truncated bool            `json:"truncated"`

	keys []string
}

func (e *entry) change() Change {
	ch := Change{
		Kind: kinds[e.Ope], Path: e.Path, Value: e.Instance, By: e.By, Root: e.Root, Version: NoVersion,
		BackTo: NoVersion, Ephemeral: e.Ephemeral, Truncated: e.Truncated,
	}
	if e.Position != nil {
		ch.Version = e.Version
	}
	if e.BackTo != nil {
		ch.BackTo = *e.BackTo
	}
	return ch
}

var kinds = map[string]Kind{"PUT": KindPut, "DELETE": KindDelete, "ROLLBACK": KindRollback}

// read prepares entries; false: a newer server says what this driver can't read.
func read(entries []entry) bool {
	for i := range entries {
		keys, err := entries[i].Path.Keys()
		if err != nil || kinds[entries[i].Ope] == "" {
			return false
		}
		entries[i].keys = keys
	}
	return true
}

// of picks the entries of one commit that tell this channel something.
//
// A session listens to all of its channels at once and is told of a change once for each path that any of them sees it
// at. So what is told to other channels is left out here, where this one is told the same from further above.
func (ch *channel) of(entries []entry) []entry {
	var seen []entry
	back := false
	for _, e := range entries {
		if ch.sees(e.keys) {
			seen = append(seen, e)
			back = back || e.Ope == "ROLLBACK"
		}
	}
	if len(seen) < 2 {
		return seen
	}
	if back {
		seen = withoutParts(seen)
	}
	seen = news(seen)
	// What is told from above may come behind what other channels are told below it.
	reverse(seen)
	seen = news(seen)
	reverse(seen)
	return seen
}

// withoutParts leaves out what a rollback in the same commit tells as a whole.
func withoutParts(entries []entry) []entry {
	var kept []entry
	for i, e := range entries {
		part := false
		for j, other := range entries {
			if other.Ope == "ROLLBACK" && i != j && within(other.keys, e.keys) &&
				(e.Ope != "ROLLBACK" || len(other.keys) < len(e.keys)) {
				part = true
				break
			}
		}
		if !part {
			kept = append(kept, e)
		}
	}
	return kept
}

// news leaves out what the nearest entry before that concerns the same has said already, from further above.
func news(entries []entry) []entry {
	var kept []entry
	for _, e := range entries {
		said := false
		for i := len(kept) - 1; i >= 0; i-- {
			if near := &kept[i]; within(near.keys, e.keys) || within(e.keys, near.keys) {
				said = near.says(&e)
				break
			}
		}
		if !said {
			kept = append(kept, e)
		}
	}
	return kept
}

func reverse(entries []entry) {
	for i, j := 0, len(entries)-1; i < j; i, j = i+1, j-1 {
		entries[i], entries[j] = entries[j], entries[i]
	}
}

// says tells whether an entry includes another one below it.
func (e *entry) says(below *entry) bool {
	if len(e.keys) >= len(below.keys) || !within(e.keys, below.keys) || e.Truncated || below.Truncated ||
		(e.Ope == "DELETE") != (below.Ope == "DELETE") {
		return false
	}
	value, err := generic(e.Instance)
	if err != nil {
		return false
	}
	part, there := descend(value, below.keys[len(e.keys):])
	other, err := generic(below.Instance)
	return there && err == nil && reflect.DeepEqual(part, other)
}

// generic reads a value as Go has it without types; numbers stay text, since a float64 can't hold them all.
func generic(raw json.RawMessage) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	err := decoder.Decode(&value)
	return value, err
}

// plain makes a value of the internal form, in which each node has its own members, and a key that begins with "_" has one
// more. As deep as a tree may be.
func plain(internal any) any {
	node, ok := internal.(map[string]any)
	if !ok {
		return internal
	}
	if leaf, ok := node["_value"]; ok {
		return leaf
	}
	value := make(map[string]any, len(node))
	for key, child := range node {
		switch key {
		case "_version", "_oid", "_parent", "_ephemeral":
			continue
		}
		if strings.HasPrefix(key, "__") {
			key = key[1:]
		}
		value[key] = plain(child)
	}
	return value
}

// topmost collects the highest nodes of a value that the channel sees. As deep as a tree may be.
func (ch *channel) topmost(value any, keys []string, into map[Path]any) {
	object, ok := value.(map[string]any)
	if !ok {
		return
	}
	for key, child := range object {
		below := append(keys[:len(keys):len(keys)], key)
		if ch.sees(below) {
			into[Join(below...)] = child
		} else {
			ch.topmost(child, below, into)
		}
	}
}

// descend goes down from a value.
func descend(value any, keys []string) (any, bool) {
	for _, key := range keys {
		object, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, ok = object[key]; !ok {
			return nil, false
		}
	}
	return value, true
}
