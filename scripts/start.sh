#!/bin/sh
# `npm start`. The work is done by start.mjs.
here=$(dirname "$0")
exec sh "$here/lifecycle/with-node.sh" "$here/start.mjs" "$@"
