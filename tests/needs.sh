# shellcheck shell=bash
# What building and testing need of a machine: sourced by tests/run, .ci/run and the pre-commit hook from the
# top of the tree. Changes the environment of the caller only (RUSTUP_TOOLCHAIN).

# program | Debian packages | what for
needs=(
    'cc|gcc libc6-dev|SQLite is C and is compiled in'
    'c++|g++|the fuzzer is C++'
    'kill|procps|the tests signal the server (a program of that name, not the one of the shell)'
    'curl|curl|the quickstart is tried as it is printed'
    'sqlite3|sqlite3|the recipe for backups is followed as it is printed'
    'strace|strace|system calls are recorded, delayed and failed, as a disk would'
    'initdb|postgresql|the Postgres store is tested on throwaway clusters'
)

# Whether there is such a program: on PATH, or where Debian and postgresql.org put those of a Postgres server.
is_there() {
    type -P "$1" >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null ||
        compgen -G "/usr/pgsql-*/bin/$1" >/dev/null
}

# Prints the rows of `needs` whose program is not there.
missing_needs() {
    local row
    for row in "${needs[@]}"; do
        is_there "${row%%|*}" || printf '%s\n' "$row"
    done
}

# Fails, and says what to do, unless cargo of the pinned release runs. Where rustup knows that very release only
# by another name (`stable`) and cannot fetch it again, takes it by that name.
use_pinned_toolchain() {
    if ! type -P cargo >/dev/null; then
        echo 'missing: cargo. Get it with rustup, see https://rustup.rs' >&2
        return 1
    fi
    cargo --version >/dev/null && return
    local pinned name
    pinned=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    for name in $(rustup toolchain list | cut -d ' ' -f 1); do
        if [[ $(rustup run "$name" rustc --version) == "rustc $pinned "* ]]; then
            echo "rustup has Rust $pinned as '$name' only: using that"
            export RUSTUP_TOOLCHAIN=$name
            return
        fi
    done
    echo "missing: Rust $pinned. Get it with: rustup toolchain install $pinned" >&2
    return 1
}

# Fails, and says what is missing and how to get it, unless everything is there.
require_needs() {
    local program packages purpose complete=true
    while IFS='|' read -r program packages purpose; do
        echo "missing: $program, because $purpose. On Debian: apt-get install $packages" >&2
        complete=false
    done < <(missing_needs)
    use_pinned_toolchain && $complete
}
