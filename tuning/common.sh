# shellcheck shell=bash
# What apply and undo share: where a knob is and what it is now. Sourced, never run.

# Where the values from before are kept until they are put back, below the root.
# shellcheck disable=SC2034 # of those who source this
UNDO_FILE=/var/lib/ringledger-tuning.undo

die() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit "${2:-1}"
}

# value FILE: what a knob is now, in one line. Of files with choices the one in brackets; white space is one blank.
value() {
    local content
    content=$(tr -s '[:space:]' ' ' <"$1") || return
    content=${content% }
    if [[ $content =~ \[([^]]+)\] ]]; then
        content=${BASH_REMATCH[1]}
    fi
    printf '%s' "$content"
}
