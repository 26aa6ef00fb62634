#!/bin/sh
# Records a first real operation, shows whether to believe it, proves its history, and serves it until Ctrl-C: what
# `make run` does. The port is 8420, or the first argument.
#
# Everything happens in build/demo, made anew each time: a small project in a git repository of its own, and a HOME of
# its own, so nothing of yours is read or written.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
demo=$root/build/demo

rm -rf "$demo"
mkdir -p "$demo/home"
cp -R "$root/examples/first-run" "$demo/project"
cd "$demo/project"

unset XDG_CONFIG_HOME XDG_STATE_HOME XDG_CACHE_HOME XDG_DATA_HOME DRE_PARENT
export HOME="$demo/home" PATH="$root/.venv/bin:$PATH"
export GIT_CONFIG_NOSYSTEM=1 PYTHONDONTWRITEBYTECODE=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1

git init --quiet --initial-branch=main
git add --all
git -c user.name=Demo -c user.email=demo@example.invalid commit --quiet --message "A shopping cart with its tests"

say() { printf '\n$ %s\n' "$*"; }

say dre wrap --wait pytest -q
dre wrap --wait pytest -q

say dre show
dre show

say dre ledger verify
dre ledger verify

# Whoever opens the page sees something arrive.
python "$root/examples/arriving.py" >/dev/null 2>&1 &
watching=$!
trap 'kill "$watching" 2>/dev/null || true' EXIT

# On a terminal the server is a job of its own, so that Ctrl-C ends it and nothing else: make then ends well.
if [ -t 0 ]; then set -m; fi
port=${1:-8420}
say dre serve --port "$port"
echo '(the second line opens your browser once; Ctrl-C ends it)'
printf '(in another terminal: HOME=%s %s -C %s log)\n' "$HOME" "$root/.venv/bin/dre" "$PWD"
dre serve --port "$port"
