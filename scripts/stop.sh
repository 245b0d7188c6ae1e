#!/bin/sh
# `npm stop`. The work is done by stop.mjs.
here=$(dirname "$0")
exec sh "$here/lifecycle/with-node.sh" "$here/stop.mjs" "$@"
