package tega

import (
	"context"
	"encoding/json"
)

// owned is an ephemeral node of this client's, to be set again on the next link: the server drops it with this one.
type owned struct {
	keys  []string
	path  Path
	value json.RawMessage
}

// putEphemeral writes an ephemeral node. It has no request ID: the first outcome would be of no use on another link,
// since the node went with the one before.
func (c *Client) putEphemeral(ctx context.Context, o op, members []byte, opts writeOptions) (Receipt, error) {
	keys, word, err := o.path.writable()
	if err != nil {
		return Receipt{}, err
	}
	if opts.id != "" {
		return Receipt{}, fail(ErrBadRequest, "%s: an ephemeral put takes no request ID", o.path)
	}
	o.keys = keys
	body := append(append([]byte(`{"ephemeral":true`), appendVersion(members, o.version)...), '}')
	c.mu.Lock()
	room := len(c.owned) < maxOwned || c.owns(keys)
	c.mu.Unlock()
	if !room {
		return Receipt{}, fail(ErrTooMany, "%s: %d ephemeral nodes are set already, which is the most", o.path, maxOwned)
	}
	r := &request{mode: writing, kind: "PUT", word: word, body: body}
	r.onAnswer = func(_ *link, a answer) {
		// Here, so that a link that breaks right after the answer finds it.
		if a.err == nil {
			c.own([]op{o})
		}
	}
	answer, l, err := c.do(ctx, r)
	if err != nil {
		return Receipt{}, err
	}
	return c.received(l, answer)
}

// owns tells whether there's a node of this client's at the path. The client is locked.
func (c *Client) owns(keys []string) bool {
	for _, o := range c.owned {
		if len(o.keys) == len(keys) && within(o.keys, keys) {
			return true
		}
	}
	return false
}

// own notes what writes of this client's did to its ephemeral nodes.
func (c *Client) own(ops []op) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range ops {
		keys := o.keys
		if len(c.owned) == 0 && !o.ephemeral {
			continue
		}
		kept := c.owned[:0]
		for _, known := range c.owned {
			if !within(keys, known.keys) {
				kept = append(kept, known)
			}
		}
		for i := len(kept); i < len(c.owned); i++ {
			c.owned[i] = nil
		}
		if c.owned = kept; o.ephemeral && len(c.owned) < maxOwned {
			c.owned = append(c.owned, &owned{keys: keys, path: o.path, value: o.value})
		}
	}
}

// putAgain sets a node on a new link. The client is locked.
func (c *Client) putAgain(o *owned) outgoing {
	// It was sent so before.
	word, _ := o.path.wire()
	body := append(append([]byte(`{"value":`), o.value...), `,"ephemeral":true}`...)
	return outgoing{request: &request{
		mode: ofLink, kind: "PUT", word: word, body: body,
		onAnswer: func(_ *link, a answer) {
			if a.err != nil {
				c.options.logf("%s: the ephemeral node %s isn't set: %s", c.options.address, o.path, text(a.err))
			}
		},
	}}
}

// putAllAgain sets nodes that a transaction put which was sent more than once: the link that they belonged to may be gone.
func (c *Client) putAllAgain(ops []op) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil {
		return
	}
	for _, o := range ops {
		if o.ephemeral {
			c.link.side = append(c.link.side, c.putAgain(&owned{path: o.path, value: o.value}))
		}
	}
	c.link.wake()
}
