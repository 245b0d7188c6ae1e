#!/bin/sh
# Runs scripts/gpu-check.mjs on a machine without Node.js: unpacks the one of the bundle first. All options go on to it.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work="$root/build-gpu"
mkdir -p "$work"
[ -x "$work/node" ] || tar -xJf "$root/.gpu-bundle/node.tar.xz" -C "$work"
exec "$work/node" "$root/scripts/gpu-check.mjs" run "$@"
