#!/usr/bin/env bash
# Runs the same commands with another client of this API and with ours, each against a fresh server, and compares standard
# output, standard error and exit codes.
#
#   tests/peer/cli_diff.sh PEER_CLIENT OUR_CLIENT [SERVER]
#
# PEER_CLIENT  `bao` or `vault`; our client is called through a link of its name, so that both name themselves alike.
# SERVER       the binary that serves (`server -dev ...`), by default PEER_CLIENT; give OUR_CLIENT to check our server.
#
# RAFT=1       the server is not initialised and stores with Raft in a directory.
# VERBOSE=1    shows deliberate differences as well.
#
# The commands are in cli_commands.txt (RAFT: cli_raft_commands.txt) beside this script. A line `#! reason` before a command marks a deliberate
# difference: it is run and shown, but not counted. The exit code is 1 if anything else differs.
set -u
here=$(cd "$(dirname "$0")" && pwd)
peer=$(command -v "$1") ours=$(command -v "$2") server=$(command -v "${3:-$1}")
commands=$here/cli${RAFT:+_raft}_commands.txt
port=${PORT:-18777}
work=$(mktemp -d)
trap 'kill "${pid:-0}" 2>/dev/null; rm -rf "$work"' EXIT
mkdir -p "$work/links"
ln -s "$ours" "$work/links/$(basename "$peer")"

# What differs from run to run: ids, tokens, times.
normalise() {
    sed -E \
        -e "s#$work/[a-z]+#WORK#g" \
        -e 's/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/UUID/g' \
        -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(Z| \+0000 UTC)/TIME/g' \
        -e 's/[0-9]{2} [A-Z][a-z]{2} [0-9]{2} [0-9:]{5} UTC/TIME/g' \
        -e 's/\b(s|b|hvs|hvb|hvr)\.[A-Za-z0-9_-]{20,}/TOKEN/g' \
        -e 's#[A-Za-z0-9+/]{43,44}=?#KEY#g' -e 's/\b[A-Za-z0-9]{24}\b/ACCESSOR/g' \
        -e 's/_[0-9a-f]{8}\b/_ID/g' -e 's/vault-cluster-[0-9a-f]{8}/CLUSTER/g' \
        -e 's/\b17[0-9]{8}\b/UNIXTIME/g' \
        -e 's/767h59m[0-9]+s/768h/g' -e 's/4m5[0-9]s/5m/g' -e 's/59m5[0-9]s/1h/g' -e 's/27647[0-9]{2}/2764800/g' \
        -e 's/Encryption Count +[0-9]+/Encryption Count N/' -e 's/"encryptions": [0-9]+/"encryptions": 0/' "$1"
}

# JSON by content, not by the order of keys; the headers of a cURL line in one order, and its body as JSON.
shape() {
    if grep -q '^curl ' "$1"; then
        sed -E "s/-d '.*' \"http/\"http/" "$1" | grep -oE -- '-H "[^"]*(\$\([^)]*\))?[^"]*"|[^ ]+' | sort
        sed -nE "s/.*-d '(.*)' \"http.*/\1/p" "$1" | { tee body.txt | jq -S . 2>/dev/null || cat body.txt; }
    elif head -c1 "$1" | grep -q '[{[]' && jq -S . "$1" 2>/dev/null; then
        :
    else
        cat "$1"
    fi
}

run() {
    local name=$1 C=$2
    mkdir -p "$work/$name/home" "$work/$name/out"
    cd "$work/$name" || exit 1
    export HOME=$work/$name/home VAULT_ADDR=http://127.0.0.1:$port VAULT_TOKEN=root
    if [ -n "${RAFT:-}" ]; then
        cat >server.hcl <<CONFIG
storage "raft" {
  path    = "$work/$name/data"
  node_id = "n1"
}
listener "tcp" {
  address     = "127.0.0.1:$port"
  tls_disable = true
}
api_addr     = "http://127.0.0.1:$port"
cluster_addr = "http://127.0.0.1:$((port + 1))"
CONFIG
        mkdir data
        "$server" server -config=server.hcl >"$work/$name.log" 2>&1 &
    else
        "$server" server -dev -dev-root-token-id=root -dev-listen-address="127.0.0.1:$port" -dev-no-store-token \
            >"$work/$name.log" 2>&1 &
    fi
    pid=$!
    for _ in $(seq 100); do "$peer" status >/dev/null 2>&1; [ $? != 1 ] && break; sleep 0.1; done
    local at=0 line
    while IFS= read -r line <&3; do
        case $line in '' | '#'*) continue ;; esac
        at=$((at + 1))
        local file
        file=out/$(printf %03d $at)
        eval "$line" >"$file.o" 2>"$file.e" </dev/null
        echo $? >"$file.rc"
        for kind in o e; do
            normalise "$file.$kind" >"$file.n" && shape "$file.n" >"$file.$kind.txt"
        done
    done 3<"$commands"
    kill "$pid"
    wait "$pid" 2>/dev/null
    cd "$here" || exit 1
}

run a "$peer"
run b "$work/links/$(basename "$peer")"

different=$(diff -rq "$work/a/out" "$work/b/out")
at=0 same=0 differ=0 meant=0 reason=
while IFS= read -r line; do
    case $line in
        '#!'*) reason=${line#\#!} && continue ;;
        '' | '#'*) continue ;;
    esac
    at=$((at + 1))
    n=$(printf %03d $at)
    if ! [[ $different =~ /$n\.(o\.txt|e\.txt|rc)\  ]]; then
        same=$((same + 1))
    else
        if [ -n "$reason" ]; then
            meant=$((meant + 1))
            echo "== meant:$reason: $line"
        else
            differ=$((differ + 1))
            echo "== DIFFERS: $line"
        fi
        if [ -z "$reason" ] || [ -n "${VERBOSE:-}" ]; then
            for part in o.txt e.txt rc; do
                diff -u --label "peer $part" --label "ours $part" "$work/a/out/$n.$part" "$work/b/out/$n.$part"
            done
        fi
    fi
    reason=
done <"$commands"
echo "commands=$at same=$same meant=$meant differ=$differ"
[ "$differ" = 0 ]
