# shellcheck shell=bash
# RabbitMQ with the management API, under a node name, port mapper and folder of its own.

# The package's wrapper in /usr/sbin switches to user rabbitmq; this one stays who we are.
readonly RABBITMQ_PROGRAM=/usr/lib/rabbitmq/bin/rabbitmq-server

rabbitmq_pid_file() { echo "$STATE/rabbitmq/node.pid"; }
rabbitmq_mark() { echo "$STATE/rabbitmq"; }
rabbitmq_log() { echo "$STATE/rabbitmq/log/node.log"; }

rabbitmq_configure() {
    local home=$STATE/rabbitmq password
    mkdir -p "$home/log" "$home/mnesia"
    chmod 700 "$home"
    password=$(secret rabbitmq)
    render rabbitmq.conf "$home/rabbitmq.conf" \
        AMQP_PORT="$AMQP_PORT" API_PORT="$RABBITMQ_API_PORT" PASSWORD="$password"
    chmod 600 "$home/rabbitmq.conf"
    echo '[rabbitmq_management].' >"$home/enabled_plugins"
    # A quorum queue counts its messages by this clock (ms); the 5 s of production are long for a test.
    echo '[{rabbit, [{quorum_tick_interval, 500}]}].' >"$home/advanced.config"
    : >"$home/env.conf"
}

rabbitmq_environment() {
    local home=$STATE/rabbitmq node
    node=lockstep$(dir_hash)@localhost
    # An instance of the system must not leak into ours through exported variables.
    local name
    for name in ${!RABBITMQ_@}; do
        [[ $name == RABBITMQ_API_PORT || $name == RABBITMQ_DIST_PORT || $name == RABBITMQ_PROGRAM ]] || unset "$name"
    done
    export HOME=$home
    export ERL_EPMD_PORT=$EPMD_PORT ERL_EPMD_ADDRESS=127.0.0.1
    export RABBITMQ_CONF_ENV_FILE=$home/env.conf
    export RABBITMQ_NODENAME=$node
    export RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT=$AMQP_PORT
    export RABBITMQ_DIST_PORT
    export RABBITMQ_MNESIA_BASE=$home/mnesia RABBITMQ_LOG_BASE=$home/log RABBITMQ_LOGS=$home/log/node.log
    export RABBITMQ_ENABLED_PLUGINS_FILE=$home/enabled_plugins
    export RABBITMQ_PID_FILE=$home/node.pid
    export RABBITMQ_CONFIG_FILE=$home/rabbitmq.conf RABBITMQ_ADVANCED_CONFIG_FILE=$home/advanced.config
    # No busy waiting: the machine is shared with the tests. Distribution stays on loopback.
    export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
}

rabbitmq_start() {
    local home=$STATE/rabbitmq
    rabbitmq_environment
    cd "$home" || return 1
    rm -f "$home/node.pid"
    if ! accepts "$EPMD_PORT"; then
        # In the foreground of its own session, so that its process id is known.
        setsid epmd -port "$EPMD_PORT" -address 127.0.0.1 </dev/null >>"$home/log/epmd.log" 2>&1 &
        echo $! >"$home/epmd.pid"
        wait_until 20 accepts "$EPMD_PORT" || return 1
    fi
    setsid "$RABBITMQ_PROGRAM" </dev/null >>"$home/log/console.log" 2>&1 &
    disown
    wait_until 60 test -s "$home/node.pid"
}

# Listeners open last, when plugins and definitions are in place; the API must know us too.
rabbitmq_ready() {
    accepts "$AMQP_PORT" || return 1
    local credentials answer
    credentials=$(printf 'admin:%s' "$(secret rabbitmq)" | base64 -w 0)
    # shellcheck disable=SC2016 # expanded by the inner shell
    answer=$(timeout 10 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" &&
        printf "GET /api/vhosts HTTP/1.0\r\nAuthorization: Basic %s\r\n\r\n" "$1" >&3 && head -n 1 <&3' \
        "$RABBITMQ_API_PORT" "$credentials" 2>/dev/null) || return 1
    [[ $answer == *" 200 "* ]]
}

rabbitmq_stop() { kill -TERM "$1"; }

rabbitmq_after_stop() {
    local file=$STATE/rabbitmq/epmd.pid pid
    [[ -s $file ]] || return 0
    pid=$(<"$file")
    if [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") == *"epmd -port ${EPMD_PORT:-none} "* ]]; then
        kill "$pid" 2>/dev/null || true
        wait_until 5 ended "$pid" || kill -KILL "$pid" 2>/dev/null || true
    fi
    rm -f "$file"
}
