#!/usr/bin/env bash
# Installs the servers of the live tests from Debian's packages, as root, without asking and without starting one of
# them. Nothing is done when all are there. The tests run them with configurations of their own, as child processes.
set -euo pipefail

packages=(
    sogo sogo-activesync memcached postgresql nginx # ActiveSync, what it needs, and the web server before it
    dovecot-imapd dovecot-pop3d dovecot-lmtpd       # mailboxes
    postfix                                         # delivery, submission
    swaks libnet-ssleay-perl msmtp                  # mail programs that send
    isync libsasl2-modules fetchmail                # and that fetch
    caddy haproxy libnginx-mod-mail                 # what asks for verdicts, beside nginx, Dovecot and Postfix
    libwbxml2-utils                                 # a WBXML reader that is not ours
    redis-server                                    # a Redis with TLS, which the embedded one has not
    apache2 libapache2-mod-auth-gssapi              # a web server whose logins belong to a connection,
    gss-ntlmssp krb5-kdc krb5-admin-server krb5-user # by NTLM and by Kerberos
)

say() { printf 'servers: %s\n' "$*" >&2; }

missing() {
    local name
    for name in "${packages[@]}"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null || true)" = installed ] || printf '%s ' "$name"
    done
}

if ! command -v apt-get >/dev/null; then
    say "no apt-get here: install by hand what the live tests need: ${packages[*]}"
    exit 0
fi
[ -n "$(missing)" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    say "only root can install $(missing)"
    exit 1
fi

# One installation at a time: the policy below is put in place and taken away again.
exec 9>/run/lock/gatepost-servers.lock
flock -w 600 9
wanted=$(missing)
[ -n "$wanted" ] || exit 0

# Package scripts ask this program before they start a daemon; 101 forbids it. One that is there is put back.
policy=/usr/sbin/policy-rc.d
saved=$policy.before-gatepost
put_back() {
    rm -f "$policy" "${log:-}"
    if [ -e "$saved" ]; then mv "$saved" "$policy"; fi
}
trap put_back EXIT
trap 'exit 130' INT TERM
if [ -e "$policy" ] && [ ! -e "$saved" ]; then mv "$policy" "$saved"; fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
apt() {
    if ! apt-get -qq -o DPkg::Lock::Timeout=400 "$@" >"$log" 2>&1; then
        cat "$log" >&2
        say "apt-get $1 has failed"
        exit 1
    fi
}

say "installing $wanted"
apt update
if ! dpkg-query -W postfix >/dev/null 2>&1; then
    # Without it the package writes a configuration for the whole machine, and rewrites /etc/aliases.
    echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
fi
# shellcheck disable=SC2086 # a list of names
apt install -y --no-install-recommends -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold $wanted
say "done in $SECONDS s"
