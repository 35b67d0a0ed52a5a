#!/bin/sh
# The curlimages/curl image's entry point: a first argument that is an option, or no program, is curl's.
set -e
if [ "${1#-}" != "$1" ] || ! command -v "$1" >/dev/null 2>&1; then
  set -- curl "$@"
fi
exec "$@"
