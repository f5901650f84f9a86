package tega

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	defaultPort    = "8739"
	defaultAddress = "http://127.0.0.1:8739"
	longestToken   = 1024
)

// address is where a server listens.
type address struct {
	network string // tcp or unix
	dial    string // HOST:PORT, or the socket's path
	host    string // what goes into a Host header
}

func (a address) String() string {
	if a.network == "unix" {
		return "unix:" + a.dial
	}
	return "http://" + a.host
}

func (a address) connect(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, a.network, a.dial)
}

// staysHere tells whether what is sent there stays on this machine.
func (a address) staysHere() bool {
	if a.network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(a.dial)
	if err != nil {
		return false
	}
	// The one name that means loopback by definition (RFC 6761).
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// findAddress is the address given, else that of TEGA_URL, else of the local socket of root or of the user where there
// is one, else the default.
func findAddress(text string) (address, error) {
	if text == "" {
		text = os.Getenv("TEGA_URL")
	}
	if text == "" {
		text = defaultAddress
		if socket := localSocket(); socket != "" {
			if _, err := os.Stat(socket); err == nil {
				text = "unix:" + socket
			}
		}
	}
	return parseAddress(text)
}

func localSocket() string {
	if os.Geteuid() == 0 {
		return "/var/run/tega.sock"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "tega.sock")
	}
	return ""
}

// parseAddress reads http://HOST[:PORT], ws://HOST[:PORT], unix:PATH, or HOST[:PORT] alone.
func parseAddress(text string) (address, error) {
	// What stands before an "@" may be a secret.
	shown := text[strings.LastIndex(text, "@")+1:]
	bad := func(why string) (address, error) {
		return address{}, fail(ErrBadRequest, "address %q: %s", shown, why)
	}
	if path := strings.TrimPrefix(text, "unix:"); path != text {
		if path == "" {
			return bad(`a path is wanted after "unix:"`)
		}
		return address{network: "unix", dial: path, host: "localhost"}, nil
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" ||
		u.Fragment != "" {
		return bad("http://HOST[:PORT] or unix:PATH is wanted")
	}
	if strings.Count(u.Host, ":") > 1 && !strings.HasPrefix(u.Host, "[") {
		return bad("an IPv6 address is written in brackets, as [::1]:8739")
	}
	switch strings.ToLower(u.Scheme) {
	case "http", "ws":
	case "https", "wss":
		return bad("tega has no TLS yet; use http:// through a tunnel or a TLS proxy")
	default:
		return bad("http://HOST[:PORT] or unix:PATH is wanted")
	}
	port := u.Port()
	if port == "" {
		if strings.HasSuffix(u.Host, ":") {
			return bad("the port is a number from 1 to 65535")
		}
		port = defaultPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return bad("the port is a number from 1 to 65535")
	}
	host := net.JoinHostPort(u.Hostname(), port)
	return address{network: "tcp", dial: host, host: host}, nil
}

// findToken is the token of the options, else of TEGA_TOKEN; empty: none. A file is read again for each link, so that a
// token can be changed without a restart.
func (o *options) findToken() (string, error) {
	text, whose := o.token, "the token"
	switch {
	case o.tokenFile != "":
		bytes, err := os.ReadFile(o.tokenFile)
		if err != nil {
			e := fail(ErrBadRequest, "the token's file: %v", err)
			e.cause = err
			return "", e
		}
		text, whose = string(bytes), "the token in "+o.tokenFile
	case text == "":
		text, whose = os.Getenv("TEGA_TOKEN"), "TEGA_TOKEN"
		if text == "" {
			return "", nil
		}
	}
	text = strings.TrimSpace(text)
	// It becomes a header, and mustn't end it. The error doesn't repeat it.
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return "", fail(ErrBadRequest, "%s: one line of letters, digits and signs is wanted", whose)
		}
	}
	if text == "" || len(text) > longestToken {
		return "", fail(ErrBadRequest, "%s is empty, or longer than %d bytes", whose, longestToken)
	}
	if !o.insecureLink && !o.address.staysHere() {
		return "", fail(ErrBadRequest, "%s: the token would go over the network unencrypted; reach the server through "+
			"WireGuard, a TLS proxy or `ssh -L 8739:127.0.0.1:8739`, or accept that with InsecureLink", o.address)
	}
	return text, nil
}
