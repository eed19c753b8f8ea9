#!/usr/bin/env bash
# Runs the same commands with another client of this API and with ours, each against a fresh server, and compares standard
# output, standard error and exit codes.
#
#   tests/peer/cli_diff.sh PEER_CLIENT OUR_CLIENT [SERVER [AREA...]]
#
# PEER_CLIENT  `bao` or `vault`; our client is called through a link of its name, so that both name themselves alike.
# SERVER       the binary that serves (`server -dev ...`), by default PEER_CLIENT; give OUR_CLIENT to check our server.
# AREA         a file of cli/ without `.txt`; by default all. The server of `raft` is not initialised and keeps its data in
#              a directory.
#
# VERBOSE=1    shows deliberate differences as well.
#
# A line `#! reason` before a command marks a deliberate difference: it is run and shown, but not counted. The exit code is
# 1 if anything else differs. `ci/test peer` runs all areas with our server; nearly all of its time is the peer's client,
# which takes long to start.
set -u
here=$(cd "$(dirname "$0")" && pwd)
peer=$(command -v "$1") ours=$(command -v "$2") server=$(command -v "${3:-$1}")
port=${PORT:-18777}
work=$(mktemp -d)
export GOGC=off # the peer's client starts a little faster
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/links"
ln -s "$ours" "$work/links/$(basename "$peer")"

# What differs from run to run: ids, tokens, times.
normalise() {
    sed -i -E \
        -e "s#$work/[a-z0-9-]+#WORK#g" \
        -e 's/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/UUID/g' \
        -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(Z| \+0000 UTC)/TIME/g' \
        -e 's/[0-9]{2} [A-Z][a-z]{2} [0-9]{2} [0-9:]{5} UTC/TIME/g' \
        -e 's/\b(s|b|hvs|hvb|hvr)\.[A-Za-z0-9_-]{20,}/TOKEN/g' \
        -e 's#[A-Za-z0-9+/]{43,44}=?#KEY#g' -e 's/\b[A-Za-z0-9]{24}\b/ACCESSOR/g' \
        -e 's/_[0-9a-f]{8}\b/_ID/g' -e 's/vault-cluster-[0-9a-f]{8}/CLUSTER/g' \
        -e 's/\b17[0-9]{8}\b/UNIXTIME/g' \
        -e 's/767h5[0-9]m[0-9]+s/768h/g' -e 's/\b4m[0-9]+s/5m/g' -e 's/59m[0-9]+s/1h/g' -e 's/2764[67][0-9]{2}/2764800/g' \
        -e 's/Encryption Count +[0-9]+/Encryption Count N/' -e 's/"encryptions": [0-9]+/"encryptions": 0/' "$@"
}

# JSON by content, not by the order of keys; the headers of a cURL line in one order, and its body as JSON.
shape() {
    local file first
    for file in $(grep -lE '^[[{]' "$@"); do
        read -rN1 first <"$file"
        if [[ $first = [\[{] ]] && jq -S . "$file" >"$file.json" 2>/dev/null; then cat "$file.json" >"$file"; fi
        rm -f "$file.json"
    done
    for file in $(grep -l '^curl ' "$@"); do
        {
            sed -E "s/-d '.*' \"http/\"http/" "$file" | grep -oE -- '-H "[^"]*(\$\([^)]*\))?[^"]*"|[^ ]+' | sort
            sed -nE "s/.*-d '(.*)' \"http.*/\1/p" "$file" >"$file.body"
            jq -S . "$file.body" 2>/dev/null || cat "$file.body"
        } >"$file.shape"
        mv "$file.shape" "$file" && rm "$file.body"
    done
}

# serve FOLDER AREA: starts the server and waits until it answers, or a development server until it is all set up, which its
# banner tells: it answers before its token is there.
serve() {
    if [ "$2" = raft ]; then
        cat >server.hcl <<CONFIG
storage "raft" {
  path    = "$1/data"
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
        "$server" server -config=server.hcl >"$1.log" 2>&1 &
    else
        "$server" server -dev -dev-root-token-id=root -dev-listen-address="127.0.0.1:$port" -dev-no-store-token \
            >"$1.log" 2>&1 &
    fi
    pid=$!
    for _ in $(seq 100); do
        if [ "$2" = raft ]; then
            "$ours" status >/dev/null 2>&1
            [ $? != 1 ] && return
        else
            grep -q 'Root Token' "$1.log" && return
        fi
        sleep 0.1
    done
    echo "the server does not answer:"
    cat "$1.log"
    exit 1
}

# run FOLDER CLIENT AREA: runs the commands; what came of number N is in out/N.o, N.e and N.rc.
run() (
    folder=$1 C=$2 at=0
    mkdir -p "$folder/home" "$folder/out"
    cd "$folder" || exit 1
    export HOME=$folder/home VAULT_ADDR=http://127.0.0.1:$port VAULT_TOKEN=root
    serve "$folder" "$3"
    trap 'kill "$pid" && wait "$pid" 2>/dev/null' EXIT
    while IFS= read -r line <&3; do
        case $line in '' | '#'*) continue ;; esac
        at=$((at + 1))
        printf -v file 'out/%03d' "$at"
        eval "$line" >"$file.o" 2>"$file.e" </dev/null
        echo $? >"$file.rc"
    done 3<"$here/cli/$3.txt"
    normalise out/*.o out/*.e
    shape out/*.o out/*.e
)

failed=0
# compare AREA: after both have run.
compare() {
    local different at=0 same=0 differ=0 meant=0 reason='' line n part
    different=$(diff -rq "$work/$1-peer/out" "$work/$1-ours/out")
    while IFS= read -r line; do
        case $line in
        '#!'*) reason=${line#\#!} && continue ;;
        '' | '#'*) continue ;;
        esac
        at=$((at + 1))
        printf -v n %03d "$at"
        if ! [[ $different =~ /$n\.(o|e|rc)\  ]]; then
            same=$((same + 1))
        elif [ -n "$reason" ]; then
            meant=$((meant + 1))
            echo "== meant:$reason: $line"
        else
            differ=$((differ + 1)) failed=1
            echo "== DIFFERS: $line"
        fi
        if [[ $different =~ /$n\.(o|e|rc)\  ]] && [ -z "$reason" -o -n "${VERBOSE:-}" ]; then
            for part in o e rc; do
                diff -u --label "peer $part" --label "ours $part" "$work/$1-peer/out/$n.$part" "$work/$1-ours/out/$n.$part"
            done
        fi
        reason=
    done <"$here/cli/$1.txt"
    echo "$1: commands=$at same=$same meant=$meant differ=$differ"
    [ "$at" -gt 0 ] || failed=1
}

shift $(($# < 3 ? $# : 3))
[ $# -gt 0 ] || set -- auth kv paths raft rest
for area in "$@"; do
    run "$work/$area-peer" "$peer" "$area" || exit 1
    run "$work/$area-ours" "$work/links/$(basename "$peer")" "$area" || exit 1
    compare "$area"
done
exit $failed
