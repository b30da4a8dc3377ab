#!/bin/sh
# tests/install.sh PACKAGE: installs it where that needs nobody's leave, as root on Debian and its like; elsewhere names
# the command, and fails.
set -eu
package=$1
for manager in 'apt-get install -y' 'dnf install -y' 'apk add' 'pacman -S' 'zypper install'; do
  if command -v "${manager%% *}" >/dev/null; then
    install="$manager $package"
    break
  fi
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "$package is not installed: ${install:-install it}, as root." >&2
  exit 1
fi
echo "installing $package (apt-get)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# The lists of a machine may be there already; fetching them anew is only worth it when they fail.
if ! apt-get --quiet install --yes --no-install-recommends "$package" >"$log" 2>&1; then
  if ! { apt-get --quiet update && apt-get --quiet install --yes --no-install-recommends "$package"; } >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
  fi
fi
