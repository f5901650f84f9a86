package tega

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Code says what went wrong, in one word of the server's table of refusals or of this driver's own. Codes are meant for
// [errors.Is]:
//
//	if errors.Is(err, tega.ErrConflict) { … }
type Code string

// The codes of a server's refusals.
const (
	ErrBadRequest       Code = "bad_request"        // the request can't be understood or can't be
	ErrUnauthorized     Code = "unauthorized"       // a token is needed, or this one isn't known
	ErrForbidden        Code = "forbidden"          // this token may not do that
	ErrNoHome           Code = "no_home"            // no server is home of this root: mind the spelling; also ErrForbidden
	ErrNotFound         Code = "not_found"          // nothing is there
	ErrMethodNotAllowed Code = "method_not_allowed" // a newer driver than server
	ErrConflict         Code = "conflict"           // the node isn't at the version that was expected
	ErrOutcomeUnknown   Code = "outcome_unknown"    // it may have happened; repeat it with [RequestID]
	ErrTooLarge         Code = "too_large"          // more than the server takes
	ErrUpgradeRequired  Code = "upgrade_required"   // no WebSocket where one is wanted
	ErrTooMany          Code = "too_many"           // too much waits already; nothing happened
	ErrInternal         Code = "internal"           // a fault of the server, or a code of a newer one
	ErrRPCFailed        Code = "rpc_failed"         // the function that was called failed: the message is its own
	ErrNoLink           Code = "no_link"            // the server, or the home of the root, can't be reached; nothing happened
	ErrNoOwner          Code = "no_owner"           // whoever serves this function isn't connected; nothing happened
	ErrReadOnly         Code = "read_only"          // the server's disk failed; nothing happened
	ErrClosing          Code = "closing"            // the server is stopping; nothing happened
	ErrTimeout          Code = "timeout"            // no answer in time; a call may have happened
	ErrNoSpace          Code = "no_space"           // the server's disk is full; nothing happened
)

// Codes that no server sends.
const (
	ErrClosed   Code = "closed"    // this client, watch or subscription was closed; nothing happened
	ErrCanceled Code = "cancelled" // the caller's context ended it
	ErrLagging  Code = "lagging"   // messages were lost, because nobody took them in time

	// ErrNothingHappened matches every error that says so: the request had no effect and may be made again.
	ErrNothingHappened Code = "nothing_happened"
)

// Error makes a code a target for [errors.Is].
func (c Code) Error() string { return "tega: " + string(c) }

// Error is what a server refused, or what this driver couldn't do.
type Error struct {
	Code    Code
	Message string
	// Path is the node that it's about; empty where there's none.
	Path Path
	// Expected is the version that was asked for, and Actual the one that is there, -1 for none.
	Expected, Actual *int64
	// RequestID repeats a write whose outcome is unknown, by the option of the same name, without doing it twice.
	RequestID string
	// Lost counts the messages that ErrLagging is about.
	Lost int

	cause error
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.Error()
	}
	return "tega: " + e.Message
}

// Unwrap is the error below: a context's, a network's.
func (e *Error) Unwrap() error { return e.cause }

// Is tells whether target is this error's code, or one that includes it.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	if !ok {
		return false
	}
	switch code {
	case ErrNothingHappened:
		return nothingHappened(e.Code)
	case ErrForbidden:
		return e.Code == ErrForbidden || e.Code == ErrNoHome
	}
	return code == e.Code
}

func nothingHappened(code Code) bool {
	switch code {
	case ErrNoLink, ErrNoOwner, ErrTooMany, ErrReadOnly, ErrNoSpace, ErrClosing, ErrClosed:
		return true
	}
	return false
}

var known = map[Code]bool{
	ErrBadRequest: true, ErrUnauthorized: true, ErrForbidden: true, ErrNoHome: true, ErrNotFound: true,
	ErrMethodNotAllowed: true, ErrConflict: true, ErrOutcomeUnknown: true, ErrTooLarge: true, ErrUpgradeRequired: true,
	ErrTooMany: true, ErrInternal: true, ErrRPCFailed: true, ErrNoLink: true, ErrNoOwner: true, ErrReadOnly: true,
	ErrClosing: true, ErrTimeout: true, ErrNoSpace: true,
}

func fail(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// codeOf is the code of an error, or "" where it has none.
func codeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// refusal reads the body of an answer that is one; nil: it's none.
func refusal(body []byte) *Error {
	var told struct {
		Error *struct {
			Code, Message, Path string
			Expected, Actual    *int64
		}
	}
	if json.Unmarshal(body, &told) != nil || told.Error == nil || told.Error.Code == "" {
		return nil
	}
	e := &Error{
		Code: Code(told.Error.Code), Message: told.Error.Message, Path: Path(told.Error.Path),
		Expected: told.Error.Expected, Actual: told.Error.Actual,
	}
	if !known[e.Code] {
		e.Code, e.Message = ErrInternal, told.Error.Code+": "+e.Message
	}
	return e
}

// ended is why a wait was over: the caller's context, or the time that a call has without one.
func ended(ctx context.Context, code Code, format string, args ...any) *Error {
	e := fail(code, format, args...)
	e.cause = ctx.Err()
	if e.cause == nil {
		e.cause = context.DeadlineExceeded
	}
	return e
}
