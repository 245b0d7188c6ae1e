#!/bin/sh
# Runs scripts/gpu-check.mjs on a machine without Node.js: unpacks the one of the bundle first. All options go on to it.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work="$root/build-gpu"
if [ ! -x "$work/node" ]; then
  mkdir -p "$work/node-staging"
  tar -xJf "$root/.gpu-bundle/node.tar.xz" -C "$work/node-staging"
  mv "$work/node-staging/node" "$work/node"
fi
exec "$work/node" "$root/scripts/gpu-check.mjs" run "$@"
