//! The table of verbs and options. Parsing, usage text and the README's tables all come from it.

/// What the program is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table below says what each one does")]
pub enum Verb {
    Serve,
    Get,
    Put,
    Del,
    Watch,
    Sub,
    Pub,
    Rpc,
    Tx,
    Rollback,
    History,
    Diff,
    Roots,
    Sessions,
    Fleet,
    Home,
    Status,
    Snapshot,
    Clear,
    Log,
    Import,
    Export,
    Token,
    Bench,
    Cli,
    Help,
    Version,
}

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table below says what each one does")]
pub enum Flag {
    Url,
    Id,
    Help,
    Json,
    Yaml,
    Flat,
    Internal,
    Regex,
    Version,
    IfVersion,
    String,
    Ephemeral,
    RequestId,
    Since,
    Count,
    Timeout,
    Yes,
    Fresh,
    Replaced,
    Watch,
    Force,
    Data,
    Repair,
    FromTega,
    AsRestarted,
    Socket,
    Listen,
    History,
    Durability,
    Insecure,
    LogLevel,
    Supervised,
    Threads,
    Own,
    Seconds,
    Clients,
    Depth,
    Only,
    Transport,
    Subscribers,
    Locals,
    Global,
    Config,
    Operational,
    Tokens,
    TokenFile,
    PresenceGrace,
    Private,
    InsecureLink,
    Plugins,
    Read,
    Write,
    Call,
    Channels,
    Admin,
    As,
    From,
}

/// A row of the table of options.
#[derive(Debug)]
pub struct FlagRow {
    /// The option.
    pub flag: Flag,
    /// Its name, without the dashes.
    pub name: &'static str,
    /// Its one-letter form.
    pub short: Option<char>,
    /// What its value is called; `None`: it takes none.
    pub value: Option<&'static str>,
    /// One line for people; empty: left out of the help.
    pub help: &'static str,
}

/// A row of the table of verbs.
#[derive(Debug)]
pub struct VerbRow {
    /// The verb.
    pub verb: Verb,
    /// Its name.
    pub name: &'static str,
    /// Its arguments, for the usage line.
    pub args: &'static str,
    /// How many arguments it takes at least and at most.
    pub count: (usize, usize),
    /// One line for people.
    pub help: &'static str,
    /// The options that it takes beside [`Flag::Help`].
    pub flags: &'static [Flag],
    /// More for `tega help VERB`; may be empty.
    pub more: &'static str,
}

const MANY: usize = usize::MAX;

const fn on(flag: Flag, name: &'static str, help: &'static str) -> FlagRow {
    FlagRow { flag, name, short: None, value: None, help }
}

const fn with(flag: Flag, name: &'static str, value: &'static str, help: &'static str) -> FlagRow {
    FlagRow { flag, name, short: None, value: Some(value), help }
}

/// All options.
pub const FLAGS: &[FlagRow] = &[
    with(
        Flag::Url,
        "url",
        "URL",
        "the server: http://HOST:PORT or unix:PATH; else $TEGA_URL, the local socket, http://127.0.0.1:8739",
    ),
    with(Flag::Id, "id", "TEGA_ID", "the tega ID to act under"),
    FlagRow { flag: Flag::Help, name: "help", short: Some('h'), value: None, help: "print this" },
    on(Flag::Json, "json", "JSON on one line, in the canonical encoding"),
    on(Flag::Yaml, "yaml", "YAML"),
    on(Flag::Flat, "flat", "one PATH=JSON line for each leaf"),
    on(Flag::Internal, "internal", "with versions and owners, as the original shows them"),
    on(
        Flag::Regex,
        "regex",
        "the path is a regex: one for each level joined by \\. in a get, one for the whole path in a watch",
    ),
    with(Flag::Version, "version", "N", "this version of the root; -1 is the one before the present"),
    with(Flag::IfVersion, "if-version", "N", "only if the node's version is N; -1: only if it doesn't exist"),
    on(Flag::String, "string", "the value is text, whatever it looks like"),
    on(Flag::Ephemeral, "ephemeral", "the node lives as long as this command runs: until Ctrl-C"),
    with(
        Flag::RequestId,
        "request-id",
        "ID",
        "the same ID again answers the first outcome; default: a random one",
    ),
    with(Flag::Since, "since", "N", "first what was missed since this version of the root"),
    FlagRow {
        flag: Flag::Count,
        name: "count",
        short: Some('n'),
        value: Some("COUNT"),
        help: "stop after so many",
    },
    with(Flag::Timeout, "timeout", "S", "give up after so many seconds"),
    on(Flag::Yes, "yes", "don't ask"),
    on(
        Flag::Fresh,
        "fresh",
        "all that the root's home has acknowledged, not what this replica happens to have",
    ),
    with(
        Flag::Replaced,
        "replaced",
        "INC-N",
        "a state that the home's snapshot replaced, as history lists it",
    ),
    on(Flag::Watch, "watch", "go on: a table that is kept live on a terminal, else the lines that change"),
    on(
        Flag::Force,
        "force",
        "although the old home isn't linked (what it committed since is set aside) or the new never was",
    ),
    with(Flag::Data, "data", "DIR", "the data directory: ./var on a PC, /etc/tega/data on OpenWrt"),
    on(Flag::Repair, "repair", "cut a damaged log to its good part; the original is kept beside it"),
    with(
        Flag::FromTega,
        "from-tega",
        "DIR",
        "the commit logs of the original tega, into a data directory that no server uses",
    ),
    on(
        Flag::AsRestarted,
        "as-restarted",
        "as the original would have read them at its restart: without the deletions",
    ),
    with(Flag::Socket, "socket", "PATH", "the local socket (mode 0600), or none"),
    with(Flag::Listen, "listen", "ADDR:PORT", "where to listen; repeatable; port 0: any; or none"),
    with(Flag::History, "history", "N", "versions of a root that are kept (10)"),
    with(
        Flag::Durability,
        "durability",
        "[ROOT=]MODE",
        "always | interval:MS | none | memory; repeatable (always)",
    ),
    on(Flag::Insecure, "insecure", "listen beyond loopback although anyone there may change everything"),
    with(Flag::LogLevel, "log-level", "LEVEL", "error | warn | info | debug | trace | off (info)"),
    on(
        Flag::Supervised,
        "supervised",
        "exit with 75 when the disk failed, so that a supervisor starts it again",
    ),
    with(Flag::Threads, "threads", "N", "threads for the network (1)"),
    on(Flag::Own, "self", "start a server in a temporary directory and measure that"),
    with(Flag::Seconds, "seconds", "S", "how long each figure is measured (3)"),
    with(Flag::Clients, "clients", "LIST", "numbers of clients (1,16,64)"),
    with(Flag::Depth, "depth", "LIST", "pipeline depths over WebSocket (1,16)"),
    with(Flag::Only, "only", "LIST", "of put, get, notify"),
    with(Flag::Transport, "transport", "LIST", "of http, ws"),
    with(Flag::Locals, "locals", "N", "of bench fleet: how many local servers are simulated (1000)"),
    with(Flag::Subscribers, "subscribers", "LIST", "numbers of subscribers (1,100,1000)"),
    with(Flag::Global, "global", "URL", "be a local server, linked to the global one at ws://HOST:PORT"),
    with(
        Flag::Config,
        "config",
        "ROOT…",
        "roots that are homed at the global and replicated here; repeatable",
    ),
    with(
        Flag::Operational,
        "operational",
        "ROOT…",
        "roots that are homed here and replicated at the global; repeatable",
    ),
    with(
        Flag::Private,
        "private",
        "ROOT…",
        "roots that stay on this local; repeatable; *: any that isn't declared",
    ),
    with(
        Flag::PresenceGrace,
        "presence-grace",
        "S",
        "how long ephemeral nodes from the other end of a broken link stay (10)",
    ),
    on(Flag::InsecureLink, "insecure-link", "send a token over a network that isn't encrypted"),
    with(Flag::Tokens, "tokens", "FILE", "the file of the tokens that are asked for (DATA/tokens)"),
    with(Flag::TokenFile, "token-file", "FILE", "the token that the server is shown; else $TEGA_TOKEN"),
    with(Flag::Read, "read", "PATHS", "subtrees that may be read: a,b.c or * for all; repeatable"),
    with(Flag::Write, "write", "PATHS", "subtrees that may be written; repeatable"),
    with(Flag::Call, "call", "PATHS", "subtrees whose functions may be called; repeatable"),
    with(
        Flag::Channels,
        "channels",
        "LIST",
        "channels, with all below, to publish and listen to; repeatable",
    ),
    on(Flag::Admin, "admin", "everything may be done"),
    with(Flag::As, "as", "TEGA_ID", "the only tega ID that its bearer may act under"),
    with(
        Flag::From,
        "from",
        "CIDR",
        "addresses that an original server may come from, as 10.8.0.0/24; repeatable",
    ),
    with(Flag::Plugins, "plugins", "DIR", ""),
];

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
        REMOTE,
        "",
    ),
    verb(Verb::History, "history", "ROOT", (1, 1), "who changed what when", TABLE, ""),
    verb(Verb::Diff, "diff", "ROOT FROM [TO]", (2, 3), "what differs between two versions", TABLE, ""),
    verb(Verb::Roots, "roots", "", (0, 0), "the roots and their versions", TABLE, ""),
    verb(Verb::Sessions, "sessions", "", (0, 0), "who is connected", TABLE, ""),
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
    verb(Verb::Status, "status", "", (0, 0), "how the server is", TABLE, ""),
    verb(Verb::Snapshot, "snapshot", "", (0, 0), "compact the commit log now", REMOTE, ""),
    verb(Verb::Clear, "clear", "", (0, 0), "empty the database, history included", CLEAR, ""),
    verb(Verb::Export, "export", "[PATH]", (0, 1), "print a tree so that import reads it", EXPORT, ""),
    verb(
        Verb::Import,
        "import",
        "[PATH] FILE…",
        (0, MANY),
        "put files as trees, a transaction for each",
        IMPORT,
        IMPORT_MORE,
    ),
    verb(Verb::Log, "log", "", (0, 0), "print the commit log of a data directory, without a server", LOG, ""),
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
        Verb::Bench,
        "bench",
        "[fleet]",
        (0, 1),
        "measure a server, or it with so many locals",
        BENCH,
        BENCH_MORE,
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
    Flag::Global,
    Flag::Config,
    Flag::Operational,
    Flag::PresenceGrace,
    Flag::Private,
    Flag::InsecureLink,
    Flag::Tokens,
    Flag::TokenFile,
];
const SERVE_MORE: &str = "On a PC it listens on 127.0.0.1:8739 and [::1]:8739, on OpenWrt on the local socket alone.\n\
The local socket is DIR/tega.sock with --data DIR, else /var/run/tega.sock for root and\n\
$XDG_RUNTIME_DIR/tega.sock for others.\n\
With a token file, of --tokens or DIR/tokens, everybody over TCP must show a token; SIGHUP reads it again.";
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
const WATCH: &[Flag] = &[
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
const WATCH_MORE: &str = "It connects again when the connection breaks, and goes on where it was. One line for each change:\n\
`put PATH VALUE` or `del PATH`.";
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
const FLEET: &[Flag] =
    &[Flag::Watch, Flag::Timeout, Flag::Json, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const FLEET_MORE: &str = "One line for each link: who is at the other end, whether it's up and since when (down: since when it's\n\
gone), its address, how many versions and how long replicas are behind, each root with its version here and there.\n\
With --watch, --timeout ends it.";
const HOME: &[Flag] = &[Flag::Force, Flag::Json, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const HOME_MORE: &str = "A root is moved at the global server, which brings it to the new home with the state that it has. What the old\n\
home commits before it hears of that is set aside there; `tega history` lists it as replaced.";
const CLEAR: &[Flag] = &[Flag::Yes, Flag::Url, Flag::Id, Flag::TokenFile, Flag::InsecureLink];
const EXPORT: &[Flag] = &[
    Flag::Json,
    Flag::Yaml,
    Flag::Flat,
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
const IMPORT_MORE: &str = "NAME.json and NAME.yaml become the root NAME, NAME.flat holds PATH=JSON lines; a first argument that is no\n\
file is the path to put the one file at. - reads standard input. PATH=JSON lines or roots that are more than one\n\
transaction takes (10,000 operations, 1 MiB) are committed as several.";
const LOG: &[Flag] = &[Flag::Data, Flag::Json, Flag::Repair];
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

/// The row of an option.
pub fn flag_row(flag: Flag) -> Option<&'static FlagRow> {
    FLAGS.iter().find(|row| row.flag == flag)
}

/// The row of the verb of this name.
pub fn verb_named(name: &str) -> Option<&'static VerbRow> {
    VERBS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_of_a_verb_is_in_the_table_once() {
        for verb in VERBS {
            for flag in verb.flags {
                assert_eq!(FLAGS.iter().filter(|row| row.flag == *flag).count(), 1, "{flag:?}");
            }
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = FLAGS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        let mut names: Vec<_> = VERBS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn every_flag_is_used_by_some_verb() {
        for row in FLAGS {
            let used = row.flag == Flag::Help || VERBS.iter().any(|verb| verb.flags.contains(&row.flag));
            assert!(used, "--{}", row.name);
        }
    }
}
