# shellcheck shell=bash
# Which Debian package brings which program, and how to get it.

# Prints the packages a service lacks.
missing_for() {
    case $1 in
        postgres) [[ -n $(postgres_programs) ]] || echo postgresql ;;
        redis) command -v redis-server >/dev/null || echo redis-server ;;
        rabbitmq) [[ -x $RABBITMQ_PROGRAM ]] || echo rabbitmq-server ;;
        dovecot)
            [[ -x $(dovecot_program) ]] || echo dovecot-core
            [[ -x /usr/lib/dovecot/pop3 ]] || echo dovecot-pop3d
            [[ -x /usr/lib/dovecot/imap ]] || echo dovecot-imapd
            [[ -x /usr/lib/dovecot/lmtp ]] || echo dovecot-lmtpd
            ;;
        exim) [[ -x $(exim_program) ]] || echo exim4-daemon-light ;;
    esac
    command -v openssl >/dev/null || echo openssl
}

missing_packages() {
    local name
    for name in "$@"; do
        missing_for "$name"
    done | sort -u
}

require_packages() {
    local missing
    missing=$(missing_packages "$@" | tr '\n' ' ')
    [[ -z $missing ]] || fail 69 "missing Debian packages: ${missing% }; run 'deploy/dev/services install' as root"
}

# Installs what the services lack, and the named programs besides (package and program bear one name).
install_packages() {
    local missing policy=/usr/sbin/policy-rc.d made_policy=no program
    mapfile -t missing < <(missing_packages "${ALL_SERVICES[@]}")
    for program in "$@"; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    if ((${#missing[@]} == 0)); then
        say "everything needed is installed"
        return 0
    fi
    am_root || fail 69 "missing Debian packages: ${missing[*]}; only root can install them"
    command -v apt-get >/dev/null || fail 69 "missing: ${missing[*]}; this machine has no apt-get, install them by hand"
    # Without this the packages would start servers on the well-known ports.
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made_policy=yes
    fi
    local code=0
    apt-get update -q &&
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends --no-remove "${missing[@]}" || code=$?
    [[ $made_policy == no ]] || rm -f "$policy"
    ((code == 0)) || fail 69 "apt-get could not install: ${missing[*]}"
}
