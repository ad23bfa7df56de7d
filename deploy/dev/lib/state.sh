# shellcheck shell=bash
# Where everything is kept: DIR (what the caller named) and STATE (where the servers write).
#
# DIR holds lock, ports, env and links. STATE is normally DIR/state; it moves to /var/tmp when
# the servers' unprivileged users may not enter DIR, or when DIR is too long for a socket path or
# holds characters that mean something in a configuration.

# Longest STATE that still leaves room for the names of the Unix sockets Dovecot makes below it.
readonly MAX_STATE_LENGTH=70

say() {
    echo "services: $*" >&2
}

# fail CODE TEXT: prints TEXT and ends with an exit code of sysexits(3).
fail() {
    local code=$1
    shift
    say "$*"
    exit "$code"
}

am_root() {
    ((EUID == 0))
}

# run_as USER COMMAND…: becomes USER when we are root; an ordinary user stays who they are.
run_as() {
    local user=$1
    shift
    if am_root; then
        setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups --inh-caps=-all "$@"
    else
        "$@"
    fi
}

# Opens DIR, takes its lock for the life of this process (descriptor 9), and finds STATE.
open_dir() {
    mkdir -p "$1"
    DIR=$(cd "$1" && pwd -P)
    exec 9>>"$DIR/lock"
    flock -w 300 9 || fail 75 "another call holds $DIR/lock"
    if [[ -f $DIR/state_dir ]]; then
        STATE=$(<"$DIR/state_dir")
    else
        STATE=$(choose_state)
        echo "$STATE" >"$DIR/state_dir"
    fi
    # shellcheck source=/dev/null
    [[ ! -f $DIR/ports ]] || source "$DIR/ports"
}

choose_state() {
    local here=$DIR/state
    # A blank or colon in a path would split lists in the servers' configurations.
    if [[ ! $here =~ [^A-Za-z0-9/._-] ]] && ((${#here} <= MAX_STATE_LENGTH)) && { ! am_root || run_as nobody test -x "$DIR"; }; then
        echo "$here"
    else
        echo "/var/tmp/lockstep-$EUID-$(dir_hash)"
    fi
}

# A short name of DIR that is stable and safe in file and node names.
dir_hash() {
    printf '%s' "$DIR" | cksum | tr -d ' \n'
}

prepare_state() {
    if [[ ! -d $STATE ]]; then
        (umask 022 && mkdir -p "$STATE")
    fi
    # A folder below /var/tmp that someone else made could feed us their configuration.
    [[ -O $STATE && ! -L $STATE ]] || fail 77 "$STATE does not belong to us"
    (umask 022 && mkdir -p "$STATE/log" "$STATE/tls" "$STATE/mail" "$STATE/secret")
    chmod 700 "$STATE/secret"
    ln -sfn "$STATE/tls" "$DIR/tls"
    ln -sfn "$STATE/mail" "$DIR/mail"
    ln -sfn "$STATE/log" "$DIR/log"
}

# secret NAME: a password made once and kept.
secret() {
    local file=$STATE/secret/$1
    if [[ ! -s $file ]]; then
        (umask 077 && openssl rand -hex 16 >"$file")
    fi
    cat "$file"
}

# render TEMPLATE TARGET KEY=VALUE…: replaces @KEY@ in a template; the target appears whole or not at all.
render() {
    local text pair
    text=$(<"$HERE/templates/$1")
    local target=$2
    shift 2
    for pair in "$@"; do
        text=${text//"@${pair%%=*}@"/"${pair#*=}"}
    done
    printf '%s\n' "$text" >"$target.new"
    chmod 644 "$target.new"
    mv "$target.new" "$target"
}
