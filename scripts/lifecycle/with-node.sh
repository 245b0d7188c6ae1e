#!/bin/sh
# Finds a Node.js that is new enough and hands over to one of our scripts, which does the work: with-node.sh SCRIPT [options]
if ! command -v node >/dev/null 2>&1; then
  echo "error: Node.js is missing." >&2
  echo "what to do: install Node.js 20.19 or newer (Debian, Ubuntu: apt-get install -y nodejs npm; macOS: brew install node), then run this again" >&2
  exit 1
fi
if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'; then
  echo "error: Node.js 20.19 or newer is needed; this is $(node --version)." >&2
  echo "what to do: install a newer Node.js, then run this again" >&2
  exit 1
fi
exec node "$@"
