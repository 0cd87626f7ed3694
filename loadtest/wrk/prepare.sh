#!/usr/bin/env bash
# Opens accounts without a lower bound on a running server and prints what transfers.lua needs:
#   eval "$(loadtest/wrk/prepare.sh http://127.0.0.1:8080 1000)"
# The token comes from the server's data directory: run it where the server was started, or set DATA.
set -euo pipefail
url=${1:-http://127.0.0.1:8080}
count=${2:-1000}
ringledger=${RINGLEDGER:-target/release/ringledger}
token=$("$ringledger" --data "${DATA:-data}" token --operator --ttl 86400)
accounts=$(mktemp)
# One curl for all: {1-N} makes N requests on one connection.
curl -sSf -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
    -d '{"currency":"EUR","min_balance":null}' "$url/api/v1/accounts?n=[1-$count]" |
    grep -o '"id":"[^"]*"' | cut -d '"' -f 4 >"$accounts"
echo "export TOKEN=$token ACCOUNTS=$accounts"
