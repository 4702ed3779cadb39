#!/bin/sh
# Every title with the name it should get.
set -eu
check() {
  got=$(sh src/slug.sh "$1")
  [ "$got" = "$2" ] || { echo "slug of '$1' is '$got', not '$2'"; exit 1; }
  echo "ok: $1"
}
check "Hello, World" hello-world
check "  Release 2.0 " release-2-0
