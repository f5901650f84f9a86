//! What there is to ask for, and the table of options. With the table of [`verbs`](super::verbs), parsing, usage text and the
//! README's tables all come from it.

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
    Plugins,
    Fleet,
    Home,
    Status,
    Snapshot,
    Clear,
    Log,
    Import,
    Export,
    Token,
    Uci,
    Bench,
    Tui,
    Demo,
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
    Flash,
    FlashSize,
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
    Headless,
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
    PluginMemory,
    Reload,
    Uci,
    UciRoot,
    UciConfirm,
    UciSettle,
    UciProbe,
    UciDrift,
    UciReload,
    UciSecret,
    Secrets,
    After,
    Exec,
    YesAllReplicas,
    Read,
    Write,
    Call,
    Channels,
    Admin,
    As,
    From,
    NoMouse,
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
    with(Flag::Id, "id", "TEGA_ID", "the tega ID to act under; of serve: the server's own"),
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
    on(Flag::Flash, "flash", "what was written to the disk since the start, and what that costs the flash"),
    with(
        Flag::FlashSize,
        "flash-size",
        "SIZE",
        "the flash that wears, such as 16M; default: the size of the file system with the data",
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
    with(Flag::History, "history", "N", "versions of a root that are kept (serve: 10)"),
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
    on(Flag::Headless, "headless", "no screen: do what there is to see, and print what happens"),
    with(
        Flag::Seconds,
        "seconds",
        "S",
        "how long: each figure of bench (3), or a headless demo at least (10)",
    ),
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
    with(
        Flag::Plugins,
        "plugins",
        "DIR",
        "executables that serve calls and hear of changes, as rpcd's exec plugins; repeatable",
    ),
    with(Flag::PluginMemory, "plugin-memory", "MB", "the address space of each process of a plugin (128)"),
    on(Flag::Reload, "reload", "look for plugins again, before"),
    on(Flag::Uci, "uci", "bring config-ID.uci of the tree to /etc/config, each version on trial"),
    with(Flag::UciRoot, "uci-root", "DIR", "the directory that has etc/config (/)"),
    with(Flag::UciConfirm, "uci-confirm", "S", "seconds in which a version must prove itself (90)"),
    with(
        Flag::UciSettle,
        "uci-settle",
        "S",
        "seconds that its services get to take it into use, before that (5)",
    ),
    with(
        Flag::UciProbe,
        "uci-probe",
        "PROBE",
        "what must work too: ping:HOST, tcp:HOST:PORT or a command; repeatable",
    ),
    with(Flag::UciDrift, "uci-drift", "POLICY", "edits by others: report | adopt | enforce (report)"),
    with(Flag::UciReload, "uci-reload", "CMD", "makes services reload $TEGA_UCI_PACKAGES (procd's event)"),
    with(
        Flag::UciSecret,
        "uci-secret",
        "NAME…",
        "options that the bridge tells nobody, beside keys and passwords",
    ),
    on(Flag::Secrets, "secrets", "show keys and passwords too"),
    with(Flag::Exec, "exec", "COMMAND", "run a shell command with the state, and again after each change"),
    with(Flag::After, "after", "S", "seconds to wait before"),
    on(
        Flag::YesAllReplicas,
        "yes-all-replicas",
        "although other servers have replicas, which are emptied too",
    ),
    on(Flag::NoMouse, "no-mouse", "leave clicks and the wheel to the terminal"),
];

/// The row of an option.
pub fn flag_row(flag: Flag) -> Option<&'static FlagRow> {
    FLAGS.iter().find(|row| row.flag == flag)
}

#[cfg(test)]
mod tests {
    use super::super::verbs::VERBS;
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
