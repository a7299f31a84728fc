#!/bin/sh
# The browser tests drive Debian's Chromium without its windows, `chromium-headless-shell`, because
# the whole browser needs several times the processor: for each visitor it makes a window that nobody
# sees. Where the shell is not to be had, they drive the whole one. Installs what is possible, else
# says how to get it.
command -v chromium-headless-shell >/dev/null && exit 0
install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1"
}
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing Chromium for the browser tests"
    {
        apt-get update -qq -o Acquire::Retries=0
        install chromium-headless-shell || command -v chromium || install chromium
    } >/dev/null 2>&1 && exit 0
fi
command -v chromium >/dev/null && exit 0
if [ -n "$CI" ]; then
    echo "Chromium could not be installed, and CI must not leave its tests out." >&2
    exit 1
fi
echo "Without Chromium the browser tests are left out. To get it:" \
    "sudo apt-get install chromium-headless-shell"
