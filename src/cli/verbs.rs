//! The table of verbs: what each takes, and what is said of it.

use super::flags::{Flag, Verb, VerbRow};

/// Any number of arguments.
const MANY: usize = usize::MAX;

const REMOTE: &[Flag] = &[Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];

const fn verb(
    verb: Verb,
    name: &'static str,
    args: &'static str,
    count: (usize, usize),
    help: &'static str,
    flags: &'static [Flag],
    more: &'static str,
) -> VerbRow {
    VerbRow { verb, name, args, count, help, flags, more }
}

/// All verbs, in the order of the help.
pub const VERBS: &[VerbRow] = &[
    verb(Verb::Serve, "serve", "", (0, 0), "run the server", SERVE, SERVE_MORE),
    verb(Verb::Demo, "demo", "", (0, 0), "a global server and three routers to play with", DEMO, DEMO_MORE),
    verb(Verb::Get, "get", "[PATH]", (0, 1), "print a node: a scalar raw, a container as JSON", GET, ""),
    verb(Verb::Put, "put", "PATH VALUE|-", (2, 2), "set a node", PUT, PUT_MORE),
    verb(Verb::Del, "del", "PATH", (1, 1), "delete a node", WRITE, ""),
    verb(Verb::Tx, "tx", "", (0, 0), "commit many operations from standard input as one", TX, TX_MORE),
    verb(Verb::Watch, "watch", "PATH", (1, 1), "print changes as they come", WATCH, WATCH_MORE),
    verb(Verb::Sub, "sub", "CHANNEL", (1, 1), "print messages of a channel as they come", SUB, ""),
    verb(Verb::Pub, "pub", "CHANNEL MESSAGE|-", (2, 2), "send a message to a channel", PUB, ""),
    verb(
        Verb::Rpc,
        "rpc",
        "PATH [ARG…] [NAME=ARG…]",
        (1, MANY),
        "call a function of another program",
        RPC,
        "",
    ),
    verb(
        Verb::Rollback,
        "rollback",
        "ROOT N",
        (2, 2),
        "make a kept version the present one; -1: one back",
        ROLLBACK,
        "",
    ),
    verb(Verb::History, "history", "ROOT", (1, 1), "who changed what when", TABLE, ""),
    verb(Verb::Diff, "diff", "ROOT FROM [TO]", (2, 3), "what differs between two versions", DIFF, DIFF_MORE),
    verb(Verb::Roots, "roots", "", (0, 0), "the roots and their versions", TABLE, ""),
    verb(Verb::Sessions, "sessions", "", (0, 0), "who is connected", TABLE, ""),
    verb(
        Verb::Plugins,
        "plugins",
        "",
        (0, 0),
        "the server's plugins: how often they ran, how long, and what failed",
        PLUGINS,
        PLUGINS_MORE,
    ),
    verb(
        Verb::Fleet,
        "fleet",
        "[TEGA_ID]",
        (0, 1),
        "the linked servers, and what both ends have; with TEGA_ID, all about one",
        FLEET,
        FLEET_MORE,
    ),
    verb(
        Verb::Home,
        "home",
        "[ROOT [TEGA_ID]]",
        (0, 2),
        "which server may commit to which root; with TEGA_ID, move a root there",
        HOME,
        HOME_MORE,
    ),
    verb(Verb::Status, "status", "", (0, 0), "how the server is", STATUS, STATUS_MORE),
    verb(Verb::Snapshot, "snapshot", "", (0, 0), "compact the commit log now", SNAPSHOT, SNAPSHOT_MORE),
    verb(Verb::Clear, "clear", "", (0, 0), "empty the database, history included", CLEAR, ""),
    verb(
        Verb::Export,
        "export",
        "[PATH]",
        (0, 1),
        "print a tree so that import reads it",
        EXPORT,
        EXPORT_MORE,
    ),
    verb(
        Verb::Import,
        "import",
        "[PATH] FILE…",
        (0, MANY),
        "put files as trees, a transaction for each",
        IMPORT,
        IMPORT_MORE,
    ),
    verb(
        Verb::Log,
        "log",
        "",
        (0, 0),
        "print the commit log of a data directory, without a server",
        LOG,
        LOG_MORE,
    ),
    verb(
        Verb::Token,
        "token",
        "new NAME | list | remove NAME | legacy TEGA_ID",
        (1, 2),
        "make, show and remove the tokens that let others in",
        TOKEN,
        TOKEN_MORE,
    ),
    verb(
        Verb::Uci,
        "uci",
        "check|export|show FILE… | import ROOT FILE… | adopt [PACKAGE…] | status|diff|confirm|revert|retry|recover",
        (1, MANY),
        "OpenWrt's configuration: its files, and a router's /etc/config that follows the tree on trial",
        UCI,
        UCI_MORE,
    ),
    verb(
        Verb::Bench,
        "bench",
        "[fleet]",
        (0, 1),
        "measure a server, or it with so many locals",
        BENCH,
        BENCH_MORE,
    ),
    verb(
        Verb::Tui,
        "tui",
        "",
        (0, 0),
        "the live tree on this terminal; ? there lists the keys",
        TUI,
        TUI_MORE,
    ),
    verb(Verb::Cli, "cli", "", (0, 0), "read the original's CLI commands line by line", REMOTE, ""),
    verb(Verb::Help, "help", "[VERB]", (0, 1), "print this, or all about a verb", &[], ""),
    verb(Verb::Version, "version", "", (0, 0), "print the version", &[], ""),
];

const SERVE: &[Flag] = &[
    Flag::Data,
    Flag::Id,
    Flag::Listen,
    Flag::Socket,
    Flag::History,
    Flag::Durability,
    Flag::Insecure,
    Flag::LogLevel,
    Flag::Supervised,
    Flag::Threads,
    Flag::Plugins,
    Flag::PluginMemory,
    Flag::Global,
    Flag::Config,
    Flag::Operational,
    Flag::PresenceGrace,
    Flag::Private,
    Flag::InsecureLink,
    Flag::Tokens,
    Flag::TokenFile,
    Flag::Uci,
    Flag::UciRoot,
    Flag::UciConfirm,
    Flag::UciSettle,
    Flag::UciProbe,
    Flag::UciDrift,
    Flag::UciReload,
    Flag::UciSecret,
];
const SERVE_MORE: &str = "On a PC it listens on 127.0.0.1:8739 and [::1]:8739, on OpenWrt on the local socket alone.\n\
The local socket is DIR/tega.sock with --data DIR, else /var/run/tega.sock for root and\n\
$XDG_RUNTIME_DIR/tega.sock for others.\n\
With a token file, of --tokens or DIR/tokens, everybody over TCP must show a token; SIGHUP reads it again,\n\
and looks for plugins again.";
const UCI: &[Flag] = &[
    Flag::Json,
    Flag::Secrets,
    Flag::UciRoot,
    Flag::UciReload,
    Flag::Data,
    Flag::After,
    Flag::RequestId,
    Flag::Url,
    Flag::Id,
    Flag::TokenFile,
    Flag::InsecureLink,
];
const UCI_MORE: &str = "\
check, export and show need no server. The package is the file's name. check refuses what the router's uci refuses,
with line and reason, and tells what certainly breaks in all these files together (error: …) or is probably not meant
(warning: …); an error is exit code 1. Of a file that isn't given nothing is said. export and show print what uci export
and uci show print, secrets included.

With the server of the router, started with --uci:
  status     how /etc/config stands towards the tree: state, versions, why, drift
  diff       what applying the tree would change; keys and passwords are hidden without --secrets
  adopt      take the router's files, or some packages of them, into config-ID.uci; proves that applying them changes nothing
  confirm    the trial may stay (a router without a global; over a connection that is newer than the trial)
  revert     undo the trial
  retry      try again what was reverted or refused
With any server that is home of the root, or leads there:
  import     put files, each the package of its name, below ROOT.uci
Without a server, at the boot, before the network starts:
  recover    undo what an earlier boot had on trial, by --data and --uci-root; with --after S, in so many seconds, what
             this boot has on trial too, if it's over by then and no server undid it";
const DEMO: &[Flag] = &[Flag::Headless, Flag::Seconds];
const DEMO_MORE: &str = "It runs in a temporary directory, below $TMPDIR, and on free ports of loopback; Ctrl-C ends it, and nothing is\n\
left of it. --headless ends by itself, with 0 if all happened that it shows; --seconds cuts no step short.";
const GET: &[Flag] = &[
    Flag::Json,
    Flag::Yaml,
    Flag::Flat,
    Flag::Version,
    Flag::Internal,
    Flag::Regex,
    Flag::Fresh,
    Flag::Replaced,
    Flag::Url,
    Flag::Id,
    Flag::TokenFile,
    Flag::InsecureLink,
];
const WRITE: &[Flag] =
    &[Flag::IfVersion, Flag::RequestId, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const PUT: &[Flag] = &[
    Flag::String,
    Flag::Yaml,
    Flag::IfVersion,
    Flag::Ephemeral,
    Flag::RequestId,
    Flag::Url,
    Flag::Id,
    Flag::TokenFile,
    Flag::InsecureLink,
];
const PUT_MORE: &str = "A value that begins with { [ or \" must be JSON. Any other is a number, true, false, null, or else text.\n\
- reads the value from standard input, where it must be JSON (or YAML with --yaml, or text with --string).";
const TX: &[Flag] = &[Flag::RequestId, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const TX_MORE: &str = "Each line of standard input is one operation; empty lines and lines that begin with # are passed over:\n\
\x20 put PATH VALUE                  as in `tega put`; the value is the rest of the line\n\
\x20 del PATH\n\
\x20 if-version N put PATH VALUE     only if the node's version is N (-1: if it doesn't exist)\n\
\x20 if-version N del PATH\n\
\x20 PATH=JSON                       a line of `tega get --flat`\n\
\x20 {\"put\": PATH, \"value\": …}       an operation as the WebSocket's COMMIT takes it";
const ROLLBACK: &[Flag] = &[Flag::RequestId, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const WATCH: &[Flag] = &[
    Flag::Exec,
    Flag::Flat,
    Flag::Json,
    Flag::Regex,
    Flag::Since,
    Flag::Count,
    Flag::Timeout,
    Flag::Url,
    Flag::Id,
    Flag::TokenFile,
    Flag::InsecureLink,
];
const WATCH_MORE: &str = "It connects again when the connection breaks, and goes on where it was. One line for each change,\n\
`put PATH VALUE` or `del PATH`.\n\n\
With --exec nothing is printed: sh runs COMMAND with what is there now on its standard input, and again after each change,\n\
one run at a time; changes while it runs make one more. A run that fails is repeated, 1 s later and up to 60 s. It reads\n\
{\"reason\":\"start|change|retry\",\"nodes\":[{\"path\":…,\"version\":…,\"value\":…}]}, or with --flat a line PATH=JSON for each leaf;\n\
nothing there: no value, no line. What is done under the same --id isn't told. $TEGA_PATH and $TEGA_REASON are set. --count counts\n\
runs that succeeded; --timeout lets the last one end.";
const SUB: &[Flag] = &[
    Flag::Json,
    Flag::Regex,
    Flag::Count,
    Flag::Timeout,
    Flag::Url,
    Flag::Id,
    Flag::TokenFile,
    Flag::InsecureLink,
];
const PUB: &[Flag] = &[Flag::String, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const RPC: &[Flag] = &[Flag::Json, Flag::Yaml, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const TABLE: &[Flag] = &[Flag::Json, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const DIFF: &[Flag] = &[Flag::Json, Flag::Secrets, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const DIFF_MORE: &str =
    "Keys and passwords of routers, which are options below ROOT.uci, are shown as *** without --secrets.";
const PLUGINS: &[Flag] =
    &[Flag::Reload, Flag::Json, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const PLUGINS_MORE: &str = "With --reload the server looks at its plugin directories first: what is new or changed is taken in, what is gone is\n\
let go; calls that run end as the program that they began with. --json has the methods with samples of their arguments.\n\
NOTIFIED counts the runs of a hook, FAILED the calls and runs that failed; RUNS is what runs now, WAIT the calls that wait\n\
for that; LAST, MEAN and MAX are how long they took; WHERE is where its methods are, WHAT the methods, the paths that a\n\
hook subscribes, or what is wrong.";
const STATUS: &[Flag] =
    &[Flag::Flash, Flag::FlashSize, Flag::Json, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const STATUS_MORE: &str = "With --flash: what the server has written to its disk since it started, by cause, and what that costs the\n\
flash. Written bytes, blocks and syncs are counted; a day's share is told after an hour, and what becomes of it on\n\
the flash is an estimate, since the file system doesn't tell.";
const SNAPSHOT: &[Flag] = &[Flag::History, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const SNAPSHOT_MORE: &str = "With --history N all but the last N versions of each root beside the present one are forgotten before, for\n\
good. That makes room on a full disk, where deletions and this are all that is taken.";
const FLEET: &[Flag] =
    &[Flag::Watch, Flag::Timeout, Flag::Json, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const FLEET_MORE: &str = "One line for each link: who is at the other end, whether it's up and since when (down: since when it's\n\
gone), its address, how many versions and how long replicas are behind, each root with its version here and there.\n\
With --watch, --timeout ends it.";
const HOME: &[Flag] = &[Flag::Force, Flag::Json, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const HOME_MORE: &str = "A root is moved at the global server, which brings it to the new home with the state that it has. What the old\n\
home commits before it hears of that is set aside there; `tega history` lists it as replaced.";
const CLEAR: &[Flag] =
    &[Flag::Yes, Flag::YesAllReplicas, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const EXPORT_MORE: &str = "Keys and passwords of routers, which are options below ROOT.uci, are exported as *** without --secrets, and such an\n\
export isn't taken by import. What has all roots goes back with `tega import / FILE`.";
const EXPORT: &[Flag] = &[
    Flag::Json,
    Flag::Yaml,
    Flag::Flat,
    Flag::Secrets,
    Flag::Version,
    Flag::Url,
    Flag::Id,
    Flag::TokenFile,
    Flag::InsecureLink,
];
const IMPORT: &[Flag] = &[
    Flag::Json,
    Flag::Yaml,
    Flag::Flat,
    Flag::FromTega,
    Flag::AsRestarted,
    Flag::Data,
    Flag::Url,
    Flag::Id,
    Flag::TokenFile,
    Flag::InsecureLink,
];
const IMPORT_MORE: &str = "NAME.json and NAME.yaml become the root NAME, in place of what it was. A first argument that is no file is the path\n\
to put the one file at; / is for an export of all roots, each of which is put in place of what it was. NAME.flat and --flat hold PATH=JSON lines, which are put beside\n\
what is there. - reads standard input. Lines that are more than one transaction takes (10,000 operations, 1 MiB) are\n\
committed as several.";
const LOG: &[Flag] = &[Flag::Data, Flag::Json, Flag::Secrets, Flag::Repair];
const LOG_MORE: &str = "Keys and passwords of routers, which are options below ROOT.uci, are shown as *** without --secrets,\n\
and so are the checksums by which short ones could be guessed; the file has them.";
const TOKEN: &[Flag] = &[
    Flag::Read,
    Flag::Write,
    Flag::Call,
    Flag::Channels,
    Flag::Admin,
    Flag::As,
    Flag::From,
    Flag::Tokens,
    Flag::Data,
    Flag::Json,
];
const TOKEN_MORE: &str = "\
new prints the secret once; the file keeps a salted hash of it. A running server reads the file again at SIGHUP, and\n\
ends the sessions of tokens that are gone or changed. With a token file everybody over TCP must show a token, on\n\
loopback too; the local socket needs none.\n\
legacy lets an original server of this tega ID in from the addresses of --from, without a token: it knows none.";
const BENCH: &[Flag] = &[
    Flag::Own,
    Flag::Locals,
    Flag::Seconds,
    Flag::Clients,
    Flag::Depth,
    Flag::Subscribers,
    Flag::Only,
    Flag::Transport,
    Flag::Durability,
    Flag::Data,
    Flag::Json,
    Flag::Url,
    Flag::TokenFile,
    Flag::InsecureLink,
];
const BENCH_MORE: &str = "\
It writes below the root bench; latencies are in microseconds. bench fleet simulates so many local servers over links \
of their own: it makes a root config-bench-N for each, and measures first sync, put to applied, and the return of all \
after a cut.";

const TUI: &[Flag] = &[Flag::NoMouse, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const TUI_MORE: &str = "\
Changes made there are by the tega ID of --id, else by tui. Colours are left out with $NO_COLOR, characters beyond \
ASCII where $LC_ALL, $LC_CTYPE or $LANG don't say UTF-8; E edits with $VISUAL, $EDITOR or vi.";

/// The row of the verb of this name.
pub fn verb_named(name: &str) -> Option<&'static VerbRow> {
    VERBS.iter().find(|row| row.name == name)
}
