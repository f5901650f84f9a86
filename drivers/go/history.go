package tega

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Present stands for the version that a root has now.
const Present int64 = math.MaxInt64

// Version is a kept version of a root.
type Version struct {
	Version     int64
	Incarnation string
	// By is the tega ID of who made it.
	By string
	// Time is that server's clock; zero: it isn't known any more.
	Time time.Time
	// Changes are the first 100, and More counts the others.
	Changes []Changed
	More    int
	// RollbackTo is the version that it went back to; NoVersion: it was no rollback.
	RollbackTo int64
	// Deleted: the root wasn't there.
	Deleted bool
	// Replaced names a state that a snapshot of the home replaced; empty for a version of the history.
	Replaced string
}

// Changed is one path that a commit changed.
type Changed struct {
	Kind Kind
	Path Path
}

// Difference is what is different at one path between two versions. A nil side wasn't there.
type Difference struct {
	Path   Path            `json:"path"`
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
}

// History is the kept versions of a root, oldest first.
func (c *Client) History(ctx context.Context, root string) ([]Version, error) {
	var told []struct {
		Version     int64
		Incarnation string
		TegaID      *string `json:"tega_id"`
		Time        *int64
		Deleted     bool
		RollbackTo  *int64 `json:"rollback_to"`
		Replaced    string
		More        int
		Changes     []struct {
			Ope  string
			Path Path
		}
	}
	if err := c.ask(ctx, "/_history?root_oid="+url.QueryEscape(root), &told); err != nil {
		return nil, err
	}
	versions := make([]Version, 0, len(told))
	for _, t := range told {
		v := Version{
			Version: t.Version, Incarnation: t.Incarnation, Deleted: t.Deleted, Replaced: t.Replaced, More: t.More,
			RollbackTo: NoVersion,
		}
		if t.TegaID != nil {
			v.By = *t.TegaID
		}
		if t.Time != nil {
			v.Time = time.UnixMilli(*t.Time)
		}
		if t.RollbackTo != nil {
			v.RollbackTo = *t.RollbackTo
		}
		for _, change := range t.Changes {
			v.Changes = append(v.Changes, Changed{kinds[change.Ope], change.Path})
		}
		versions = append(versions, v)
	}
	return versions, nil
}

// Diff is what is different in a root between two kept versions; a negative one is relative to the present, and
// [Present] is the present itself.
func (c *Client) Diff(ctx context.Context, root string, from, to int64) ([]Difference, error) {
	target := "/_diff?root_oid=" + url.QueryEscape(root) + "&from=" + strconv.FormatInt(from, 10)
	if to != Present {
		target += "&to=" + strconv.FormatInt(to, 10)
	}
	var differences []Difference
	err := c.ask(ctx, target, &differences)
	return differences, err
}

// newHTTP makes the client for what is asked by REST alone.
func newHTTP(dial func(context.Context) (net.Conn, error)) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
			MaxConnsPerHost:    4,
			DisableCompression: true,
			IdleConnTimeout:    30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask asks by HTTP for what changes nothing.
func (c *Client) ask(ctx context.Context, target string, into any) error {
	c.mu.Lock()
	over := c.over
	c.mu.Unlock()
	if over != nil {
		return over
	}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, c.options.timeout)
	if _, ok := outer.Deadline(); ok {
		cancel()
		ctx, cancel = context.WithCancel(outer)
	}
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-c.ctx.Done():
			cancel()
		case <-stop:
		}
	}()
	token, err := c.options.findToken()
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.options.address.host+target, nil)
	if err != nil {
		return fail(ErrBadRequest, "%s: %v", target, err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return c.notAsked(outer, target, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return c.notAsked(outer, target, err)
	}
	if len(body) > maxAnswer {
		return fail(ErrTooLarge, "GET %s: the answer has more than %d bytes", target, maxAnswer)
	}
	if response.StatusCode != http.StatusOK {
		if e := refusal(body); e != nil {
			return e
		}
		return fail(byStatus(response.StatusCode), "GET %s: %s", target, response.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return unreadable("GET", target, err)
	}
	return nil
}

func (c *Client) notAsked(ctx context.Context, target string, err error) error {
	var e *Error
	var network net.Error
	switch {
	case c.ctx.Err() != nil:
		e = fail(ErrClosed, "GET %s: this client is closed", target)
	case ctx.Err() == context.Canceled:
		e = fail(ErrCanceled, "GET %s: given up by the caller", target)
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout():
		e = fail(ErrTimeout, "GET %s: no answer in time", target)
	default:
		e = fail(ErrNoLink, "GET %s: %s can't be reached: %v", target, c.options.address, err)
	}
	e.cause = err
	return e
}
