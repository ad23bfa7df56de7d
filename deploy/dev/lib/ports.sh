# shellcheck shell=bash
# Free loopback ports, chosen once for a DIR and remembered in DIR/ports.
#
# They lie below the range the kernel gives to outgoing connections, so that a stopped server
# finds its port free when it comes back. A file for each port under /tmp keeps two folders
# that start at the same moment from choosing the same one.

readonly PORT_NAMES=(
    POSTGRES_PORT REDIS_PORT
    AMQP_PORT RABBITMQ_API_PORT RABBITMQ_DIST_PORT EPMD_PORT
    POP3_PORT POP3S_PORT IMAP_PORT IMAPS_PORT LMTP_PORT
    SMTP_PORT SUBMISSION_PORT SUBMISSIONS_PORT
)

choose_ports() {
    local name port missing=no
    for name in "${PORT_NAMES[@]}"; do
        if [[ -z ${!name:-} ]]; then
            port=$(free_port)
            printf -v "$name" '%s' "$port"
            missing=yes
        fi
    done
    if [[ $missing == yes ]]; then
        for name in "${PORT_NAMES[@]}"; do
            echo "$name=${!name}"
        done >"$DIR/ports.new"
        mv "$DIR/ports.new" "$DIR/ports"
    fi
}

free_port() {
    local first=10000 last=32767 port tries
    if [[ -r /proc/sys/net/ipv4/ip_local_port_range ]]; then
        read -r last _ </proc/sys/net/ipv4/ip_local_port_range
        last=$((last - 1))
    fi
    ((last >= first + 2000)) || { first=20000 last=60000; }
    for ((tries = 0; tries < 500; tries++)); do
        port=$((first + (RANDOM << 15 | RANDOM) % (last - first)))
        if ! accepts "$port" && reserve "$port"; then
            echo "$port"
            return 0
        fi
    done
    fail 69 "found no free port"
}

# reserve PORT: true when no other live folder holds it.
reserve() {
    local book=/tmp/lockstep-ports-$EUID owner
    (umask 077 && mkdir -p "$book")
    local claim=$book/$1
    # noclobber makes the creation atomic.
    if (set -o noclobber && echo "$DIR" >"$claim") 2>/dev/null; then
        return 0
    fi
    owner=$(cat "$claim" 2>/dev/null) || true
    if [[ -n $owner && ! -d $owner ]]; then
        rm -f "$claim"
    fi
    return 1
}

port_of() {
    case $1 in
        postgres) echo "$POSTGRES_PORT" ;;
        rabbitmq) echo "$AMQP_PORT" ;;
        redis) echo "$REDIS_PORT" ;;
        dovecot) echo "$POP3_PORT" ;;
        exim) echo "$SMTP_PORT" ;;
    esac
}
