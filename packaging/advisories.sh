#!/usr/bin/env bash
# Checks the dependencies against the advisory database where that can be reached; elsewhere it says so and passes.
set -euo pipefail

if ! timeout -k 5 60 cargo deny --locked fetch db >/dev/null 2>&1; then
  echo "skipped: the advisory database cannot be reached from here"
  exit 0
fi
cargo deny --locked check --disable-fetch advisories
