#!/bin/sh
# Print a title as the name of a file: small letters and digits, joined by hyphens.
printf '%s' "$1" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9' '-' | sed 's/^-*//; s/-*$//'
echo
