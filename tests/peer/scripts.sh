#!/usr/bin/env bash
# Runs scripts as people have them, unmodified, with another client of this API and with ours under the name `vault`, each
# against a fresh server, and compares what they print.
#
#   tests/peer/scripts.sh PEER_CLIENT OUR_CLIENT [SERVER [SCRIPT...]]
#
# PEER_CLIENT  `bao` or `vault`.
# SERVER       the binary that serves (`server -dev ...`), by default PEER_CLIENT; give OUR_CLIENT to check our server.
#
# SCRIPT       a file of scripts/ without `.sh`; by default all.
#
# `ci/test peer` runs them with our server. Standard output and standard error are compared together, since a reader
# sees both; the name of the product and what differs from run to run (ids, tokens, times) are made alike. The exit code is
# 1 if anything differs.
set -u
here=$(cd "$(dirname "$0")" && pwd)
peer=$(command -v "$1") ours=$(command -v "$2") server=$(command -v "${3:-$1}")
port=${PORT:-18787}
work=$(mktemp -d)
export GOGC=off # the peer's client starts a little faster
trap '[ -z "${pid:-}" ] || kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT

normalise() {
    sed -E \
        -e 's/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/UUID/g' \
        -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(Z| \+0000 UTC)/TIME/g' \
        -e 's/\b(s|b|hvs|hvb|hvr)\.[A-Za-z0-9_-]{20,}/TOKEN/g' -e 's/\b[A-Za-z0-9]{24}\b/ACCESSOR/g' \
        -e 's/767h5[0-9]m[0-9]+s/768h/g' -e 's/2764[67][0-9]{2}/2764800/g' -e 's/_[0-9a-f]{8}\b/_ID/g' \
        -e 's/OpenBao|Vault|Holdfast/PRODUCT/g' -e 's/BAO_TOKEN/VAULT_TOKEN/g' -e "s/\b(bao|vault) ([a-z])/vault \2/g" "$1"
}

run() {
    local name=$1 client=$2 script=$3
    local folder=$work/$name
    rm -rf "$folder"
    mkdir -p "$folder/home" "$folder/bin"
    ln -s "$client" "$folder/bin/vault"
    export VAULT_ADDR=http://127.0.0.1:$port VAULT_TOKEN=root
    "$server" server -dev -dev-root-token-id=root -dev-listen-address="127.0.0.1:$port" -dev-no-store-token \
        >"$folder/server.log" 2>&1 &
    pid=$!
    # It answers before its token is there.
    for _ in $(seq 100); do grep -q 'Root Token' "$folder/server.log" && break; sleep 0.1; done
    # Each command is shown before what it prints.
    (cd "$folder/home" && HOME=$PWD PATH=$folder/bin:$PATH bash -v "$script" >../out 2>&1 </dev/null)
    kill "$pid"
    wait "$pid" 2>/dev/null
    normalise "$folder/out" >"$work/$name.txt"
}

failed=0
shift $(($# < 3 ? $# : 3))
if [ $# -gt 0 ]; then
    scripts=("${@/%/.sh}")
    scripts=("${scripts[@]/#/$here/scripts/}")
else
    scripts=("$here"/scripts/*.sh)
fi
for script in "${scripts[@]}"; do
    run peer "$peer" "$script"
    run ours "$ours" "$script"
    if diff -u --label "peer: $(basename "$script")" --label ours "$work/peer.txt" "$work/ours.txt"; then
        echo "same: $(basename "$script") ($(grep -c '^[^#]*vault ' "$script") commands)"
    else
        failed=1
    fi
done
exit $failed
