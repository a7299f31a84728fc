#!/bin/sh
# One test runs the README's block for nginx. Installs nginx in CI only: on a machine of one's own
# Debian's package would also start a web server.
[ -x /usr/sbin/nginx ] || command -v nginx >/dev/null && exit 0
if [ -n "$CI" ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing nginx for the test of the README's block"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends nginx-light; } >/dev/null 2>&1 && exit 0
fi
echo "Without nginx the test of the README's block is left out. To get it:" \
    "sudo apt-get install nginx-light"
