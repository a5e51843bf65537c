#!/usr/bin/env bash
# What the benchmarks need: proxies and load from the distribution, if root; Python's part into .venv. Starts nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'bench: %s\n' "$*" >&2; }

declare -A package=([nginx]=nginx-light [haproxy]=haproxy [wrk]=wrk [taskset]=util-linux [perf]=linux-perf
    [perdition.imap4]=perdition)
wanted=()
for program in "${!package[@]}"; do
    command -v "$program" >/dev/null || PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || wanted+=("${package[$program]}")
done
[ -e /usr/lib/nginx/modules/ngx_mail_module.so ] || wanted+=(libnginx-mod-mail)
if [ ${#wanted[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        # Nothing that is installed here is to run by itself.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e $policy ]; then
            printf '#!/bin/sh\nexit 101\n' >$policy
            chmod +x $policy
            trap 'rm -f $policy' EXIT
        fi
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=400 "${wanted[@]}" >/dev/null ||
            say "not all of ${wanted[*]} could be installed: what needs them is left out"
    else
        say "missing, and only root can install it: ${wanted[*]}; what needs them is left out"
    fi
fi
.venv/bin/python -c 'import aiohttp' 2>/dev/null ||
    .venv/bin/python -m pip install -q --disable-pip-version-check --group bench ||
    say "aiohttp could not be installed: its proxy is left out"
