#!/usr/bin/env bash
# Makes the engine's lock files anew after a version in package.json has changed; they are then committed.
#
# VS Code's own dependencies keep the versions its package ships in npm-shrinkwrap.json. That file alone will not do: `npm ci`
# finds packages missing in it, so npm completes it here. Addresses of downloads are left out, checksums stay.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export npm_config_omit_lockfile_registry_resolved=true npm_config_audit=false npm_config_fund=false

cp "$here/package.json" "$work/"
cd "$work"
npm install --package-lock-only --ignore-scripts
npm ci --omit=dev --ignore-scripts
vscode=$work/node_modules/code-server/lib/vscode
for dir in . extensions; do
  (cd "$vscode/$dir" && npm install --package-lock-only --ignore-scripts)
  mkdir -p "$here/vscode/$dir"
  cp "$vscode/$dir/npm-shrinkwrap.json" "$here/vscode/$dir/"
done
cp package-lock.json "$here/"

if grep -n '"resolved"' "$here"/package-lock.json "$here"/vscode/npm-shrinkwrap.json "$here"/vscode/extensions/npm-shrinkwrap.json; then
  echo "relock: a lock file names where a package is downloaded from" >&2
  exit 1
fi
