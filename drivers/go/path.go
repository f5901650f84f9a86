package tega

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Path is the address of a node: the keys from the root down, in text. The dotted form separates them by dots, and writes
// a key with a dot, space, slash, quote, bracket or "=" as ["…"]; where the text begins with a slash, slashes separate
// and a dot is part of the key. A constant string is a Path as it stands:
//
//	c.Get(ctx, "lan.ip")
//	c.Get(ctx, `lan.hosts["192.168.1.9"].name`)
//	c.Get(ctx, "/lan/hosts/192.168.1.9/name")
//	c.Get(ctx, tega.Join("lan", "hosts", address, "name"))
//
// The empty path is the top, which holds the roots.
type Path string

const (
	maxDepth = 64
	maxKey   = 512
)

// Join makes a path of keys, whatever they hold.
func Join(keys ...string) Path {
	var b strings.Builder
	for _, key := range keys {
		writeKey(&b, key)
	}
	return Path(b.String())
}

// Child is the path of a node below this one.
func (p Path) Child(keys ...string) Path {
	above, err := p.Keys()
	if err != nil {
		// It stays what it is, and is refused where it's used.
		return p
	}
	return Join(append(above, keys...)...)
}

// Keys reads the path. The top has none.
func (p Path) Keys() ([]string, error) {
	keys, err := parse(string(p))
	if err != nil {
		return nil, err
	}
	if len(keys) > maxDepth {
		return nil, badPath(p, "it has more than %d keys", maxDepth)
	}
	for _, key := range keys {
		switch {
		case len(key) > maxKey:
			return nil, badPath(p, "a key is longer than %d bytes", maxKey)
		case !utf8.ValidString(key):
			return nil, badPath(p, "a key isn't UTF-8")
		}
	}
	return keys, nil
}

func badPath(p Path, format string, args ...any) error {
	shown := []rune(string(p))
	if len(shown) > 80 {
		shown = append(shown[:80], '…')
	}
	return fail(ErrBadRequest, "path %q: "+format, append([]any{string(shown)}, args...)...)
}

func isPlain(c rune) bool {
	return !strings.ContainsRune(`.[]"=/ `, c) && !unicode.IsControl(c)
}

// anonymous is the length of an @name[n] at the start of text; 0: there's none.
func anonymous(text string) int {
	if !strings.HasPrefix(text, "@") {
		return 0
	}
	open := strings.IndexFunc(text, func(c rune) bool { return !isPlain(c) })
	if open < 2 || text[open] != '[' {
		return 0
	}
	end := open + 1
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	if end == open+1 || end == len(text) || text[end] != ']' {
		return 0
	}
	return end + 1
}

func plainLen(text string) int {
	if n := anonymous(text); n > 0 {
		return n
	}
	if end := strings.IndexFunc(text, func(c rune) bool { return !isPlain(c) }); end >= 0 {
		return end
	}
	return len(text)
}

func writeKey(b *strings.Builder, key string) {
	if key != "" && plainLen(key) == len(key) {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(key)
		return
	}
	b.WriteByte('[')
	b.WriteString(quote(key))
	b.WriteByte(']')
}

// quote writes a JSON string.
func quote(text string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	// A string always encodes, and a Builder takes everything.
	_ = encoder.Encode(text)
	return strings.TrimSuffix(b.String(), "\n")
}

func parse(text string) ([]string, error) {
	if text == "" || text == "/" {
		return nil, nil
	}
	if strings.HasPrefix(text, "/") {
		keys := strings.Split(strings.TrimSuffix(text[1:], "/"), "/")
		for _, key := range keys {
			if key == "" {
				return nil, badPath(Path(text), "it has an empty key")
			}
		}
		return keys, nil
	}
	var keys []string
	for at := 0; at < len(text); {
		rest := text[at:]
		if strings.HasPrefix(rest, `["`) {
			end := bracketEnd(rest)
			var key string
			if end < 0 || json.Unmarshal([]byte(rest[1:end-1]), &key) != nil {
				return nil, badPath(Path(text), `the ["…"] at byte %d doesn't end or holds a bad escape`, at)
			}
			if key == "" {
				return nil, badPath(Path(text), "it has an empty key")
			}
			keys, at = append(keys, key), at+end
			continue
		}
		if at > 0 {
			if rest[0] != '.' {
				return nil, badPath(Path(text), `byte %d can't stand in a plain key; write the key as ["…"]`, at)
			}
			rest, at = rest[1:], at+1
		}
		n := plainLen(rest)
		switch {
		case n > 0:
			keys, at = append(keys, rest[:n]), at+n
		case rest == "" || rest[0] == '.':
			return nil, badPath(Path(text), "it has an empty key at byte %d", at)
		default:
			return nil, badPath(Path(text), `byte %d can't stand in a plain key; write the key as ["…"]`, at)
		}
	}
	return keys, nil
}

// bracketEnd is the length of the ["…"] at the start of text; -1: it doesn't end.
func bracketEnd(text string) int {
	for i := 2; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			if i+1 < len(text) && text[i+1] == ']' {
				return i + 2
			}
			return -1
		}
	}
	return -1
}

var wireEscapes = strings.NewReplacer("%", "%25", " ", "%20", "\n", "%0A", "\r", "%0D")

// wire is the path as one word of a command line; "-" is the top.
func (p Path) wire() (string, error) {
	if isWord(string(p)) {
		return string(p), nil
	}
	keys, err := p.Keys()
	if err != nil {
		return "", err
	}
	if len(keys) == 0 {
		return "-", nil
	}
	word := string(Join(keys...))
	if word == "-" || word == "None" {
		// As words these say that there's no path.
		word = `["` + word + `"]`
	}
	return wireEscapes.Replace(word), nil
}

// isWord tells, of the most usual paths, that they stand in a command line as they are.
func isWord(text string) bool {
	if text == "" || len(text) > maxKey {
		return false
	}
	dot := true
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_':
			dot = false
		case c == '-' && !dot:
		case c == '.' && !dot:
			dot = true
		default:
			return false
		}
	}
	return !dot && text != "None" && strings.Count(text, ".") < maxDepth
}

// pathOf reads a word of a command line.
func pathOf(word string) ([]string, error) {
	return Path(unescape(word)).Keys()
}

// unescape decodes %XX; a % that no two hex digits follow stands for itself.
func unescape(word string) string {
	if !strings.Contains(word, "%") {
		return word
	}
	var b strings.Builder
	for i := 0; i < len(word); i++ {
		if word[i] == '%' && i+2 < len(word) {
			if high, low := digit(word[i+1]), digit(word[i+2]); high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 2
				continue
			}
		}
		b.WriteByte(word[i])
	}
	return b.String()
}

func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// within tells whether a node is this one or lies below it.
func within(above, keys []string) bool {
	if len(keys) < len(above) {
		return false
	}
	for i, key := range above {
		if keys[i] != key {
			return false
		}
	}
	return true
}
