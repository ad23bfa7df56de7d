# shellcheck shell=bash
# PostgreSQL. As root it runs as the package's user `postgres`, since it refuses to run as root.
# Durability against power loss is off (it is a test server); commits still survive a SIGKILL.

# Prints the folder with initdb and postgres: on the PATH, or where Debian hides them.
postgres_programs() {
    local folder best=""
    if command -v pg_config >/dev/null && [[ -x $(pg_config --bindir)/initdb ]]; then
        pg_config --bindir
        return 0
    fi
    for folder in /usr/lib/postgresql/*/bin; do
        [[ ! -x $folder/initdb ]] || best=$folder
    done
    echo "$best"
}

postgres_pid_file() { echo "$STATE/postgres/data/postmaster.pid"; }
postgres_mark() { echo "$STATE/postgres/data"; }
postgres_log() { echo "$STATE/postgres/server.log"; }

postgres_configure() {
    local home=$STATE/postgres password
    mkdir -p "$home"
    am_root && chown postgres: "$home"
    password=$(secret postgres)
    render postgresql.conf "$home/lockstep.conf" PORT="$POSTGRES_PORT"
    (umask 077 && echo "$password" >"$home/password")
    if am_root; then chown postgres: "$home/lockstep.conf" "$home/password"; fi
}

postgres_start() {
    local home=$STATE/postgres programs
    programs=$(postgres_programs)
    # Called where bash ignores errexit: each step that must not fail says so.
    cd "$home" || return 1
    if [[ ! -f $home/data/lockstep.ready ]]; then
        rm -rf "$home/data"
        run_as postgres "$programs/initdb" -D "$home/data" -U postgres --pwfile="$home/password" \
            -A scram-sha-256 -E UTF8 --locale=C.UTF-8 --no-sync --no-instructions || return 1
        echo "include '$home/lockstep.conf'" >>"$home/data/postgresql.conf" || return 1
        run_as postgres touch "$home/data/lockstep.ready"
    fi
    # The caller made sure that the last server is gone. Where nobody reaps it, its process id still
    # seems to live, and PostgreSQL would refuse; it checks the shared memory in any case.
    rm -f "$home/data/postmaster.pid"
    # After a SIGKILL the old children may hold that memory for a moment: try again.
    local try
    for try in 1 2 3 4 5; do
        if run_as postgres "$programs/pg_ctl" start -D "$home/data" -l "$home/server.log" -w -t 60 </dev/null; then
            return 0
        fi
        sleep "$try"
    done
    return 1
}

postgres_ready() {
    local programs
    programs=$(postgres_programs)
    if [[ -x $programs/pg_isready ]]; then
        "$programs/pg_isready" -q -h 127.0.0.1 -p "$POSTGRES_PORT" -t 5
    else
        accepts "$POSTGRES_PORT"
    fi
}

# SIGINT is PostgreSQL's fast shutdown: roll back, disconnect, checkpoint.
postgres_stop() { kill -INT "$1"; }
