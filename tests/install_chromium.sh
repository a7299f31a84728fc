#!/bin/sh
# The browser tests drive Debian's Chromium. Installs it where that is possible, else says how to get it.
command -v chromium >/dev/null && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing Chromium for the browser tests"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
        >/dev/null 2>&1 && exit 0
fi
if [ -n "$CI" ]; then
    echo "Chromium could not be installed, and CI must not leave its tests out." >&2
    exit 1
fi
echo "Without Chromium the browser tests are left out. To get it: sudo apt-get install chromium"
