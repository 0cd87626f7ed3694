//! What stands behind the list of flags in `--help` and in the manual pages: what a command does beyond its name, and
//! examples that can be run.

pub(super) const PROGRAM: &str = "\
Examples:
  ringledger                                    serve on 127.0.0.1:8080, SQLite in ./data
  ringledger --listen 0.0.0.0:80 --data /srv/l  serve elsewhere
  ringledger token --operator                   print a token that may do everything
  ringledger verify                             audit the ledger
  ringledger export --output ledger.jsonl       write all of it to a file
  ringledger config show                        see every setting and where it comes from
  ringledger doctor                             see what this host does to latency
  ringledger man ~/.local/share/man/man1        write the manual pages

Settings, later wins: built-in, the YAML file of --config, .env, the environment
(RINGLEDGER__SECTION__KEY; DATABASE_URL is store.url), flags.
Reports are for people; --json makes them one JSON object. NO_COLOR turns colours
off. Exit codes: 0 clean, 1 failure, 2 usage, 78 bad configuration.";

pub(super) const SERVE: &str = "\
SIGTERM and SIGINT answer what has arrived and end the service, a second one ends
it at once; SIGHUP reads the live settings again. Under systemd it listens on the
sockets that it is passed (LISTEN_FDS) and tells how it is (NOTIFY_SOCKET).

Examples:
  ringledger serve --listen '[::]:8080'
  ringledger serve --workers 2 --io epoll
  RINGLEDGER__LOG__LEVEL=debug ringledger serve
  ringledger serve --config /etc/ringledger.yaml";

pub(super) const TOKEN: &str = "\
Examples:
  TOKEN=$(ringledger token --operator)
  ringledger token --user alice --ttl 300
  curl -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8080/api/v1/users/me";

pub(super) const USER_ADD: &str = "\
Examples:
  ringledger user add alice --password-stdin < password.txt
  pass show ledger/bob | ringledger user add bob --operator --password-stdin";

pub(super) const MIGRATE: &str = "\
Lists the migrations of the store afterwards. A service applies them at its start
as well; stop the servers of an older version first.

Examples:
  ringledger migrate --status   what is applied and what is not
  ringledger migrate            apply what is not";

pub(super) const VERIFY: &str = "\
Prints the head SEQ:HASH and exits 0 when every invariant holds; names the first
broken one and exits 1 otherwise. Keep a head elsewhere and pass it to --expect
later: a history that was cut off or rewritten cannot contain it.

Examples:
  ringledger verify
  ringledger verify --json --expect \"$(cat head.txt)\"";

pub(super) const EXPORT: &str = "\
Writes one JSON object a line: what the file is, users, accounts, events with
their hashes, idempotency keys, and an end by which a cut is noticed. Balances
are not in it: `import` derives them. The server may go on meanwhile; the file
is of one moment. On SQLite the write-ahead log grows until it is written.

The file holds password hashes and everybody's payments: guard it as a secret.
FILE is made for its owner alone (mode 0600) and stands there only when it is
whole. The key that signs tokens is not in it.

Examples:
  ringledger export --output ledger.jsonl
  ringledger export | gzip | gpg --encrypt -r ops > ledger.jsonl.gz.gpg
  ringledger export | DATABASE_URL=postgres://host/ledger ringledger import";

pub(super) const IMPORT: &str = "\
Reads what `export` wrote into an empty store, of either kind: all of it, or
nothing. Every event is checked against the hash chain, balances are derived
again, and the outcome is audited as `verify` does before it is kept. Prints
the head SEQ:HASH, which must be the one of the ledger that was exported.

Stop the old server first: what it accepts after the export is not in the file.
Tokens stay valid if the signing key of the data directory moves along.

Examples:
  ringledger --data ./new import --input ledger.jsonl
  DATABASE_URL=postgres://host/ledger ringledger import < ledger.jsonl";

pub(super) const CONFIG: &str = "\
Examples:
  ringledger config show --redacted
  ringledger config show --json | jq -r '.settings[] | select(.source != \"default\") | .key'
  ringledger config check --config /etc/ringledger.yaml";

pub(super) const DOCTOR: &str = "\
Changes nothing and needs no privilege. Each line says what is, what is wanted,
why, how to get there, and where that stands. What a difference weighs depends
on the profile: without one, `container` inside of a container, else `dev`.
Exit codes: 0 ok, 1 warnings, 2 a blocker.

Examples:
  ringledger doctor
  ringledger doctor --profile bare-metal --all
  ringledger doctor --json | jq '.checks[] | select(.level == \"warning\")'";

pub(super) const HEALTH: &str = "\
Asks a running server for /ready, or whatever --url names, and exits 0 when the
answer is 200, else 1: the health check of a container without curl.

Examples:
  ringledger health
  ringledger health --url http://127.0.0.1:8080/health";

pub(super) const OPENAPI: &str = "\
The document that /openapi.json serves; /docs is a page of it.

Examples:
  ringledger openapi > openapi.json
  ringledger openapi | jq -r '.paths | keys[]'";

pub(super) const MAN: &str = "\
One page for each command, such as ringledger-verify.1.

Examples:
  ringledger man ~/.local/share/man/man1 && man ringledger-verify
  sudo ringledger man /usr/local/share/man/man1";

pub(super) const COMPLETIONS: &str = "\
Examples:
  ringledger completions bash > ~/.local/share/bash-completion/completions/ringledger
  ringledger completions fish > ~/.config/fish/completions/ringledger.fish";
