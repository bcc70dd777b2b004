#!/usr/bin/env bash
# Names what set-up, tests and demo leave outside the checkout, with its size; `make clean` removes none of it.
set -eu
if [ "$(id -u)" = 0 ]; then
    servers=/var/cache/dewarwatch/servers data=/var/lib/dewarwatch
else
    servers=${XDG_CACHE_HOME:-$HOME/.cache}/dewarwatch/servers data=${XDG_DATA_HOME:-$HOME/.local/share}/dewarwatch
fi
stays() { # path, what it is
    [ ! -e "$1" ] || echo "stays: $1 ($2, $(du -sh "$1" 2>/dev/null | cut -f1))"
}
stays "${DEWARWATCH_SERVERS:-$servers}" "the servers' programs; the next set-up takes them from there"
stays "$data" "the data of the demo"
stays "${UV_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/uv}" "the cache of uv, which other projects share"
stays "${PIP_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pip}" "the cache of pip, which other projects share"
for left in /dev/shm/dewarwatch-test-* "${TMPDIR:-/tmp}"/dewarwatch-test-*; do
    stays "$left" "data of a test run that was killed, or runs"
done
