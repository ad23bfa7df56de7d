# shellcheck shell=bash
# Redis, without persistence: what it held is gone after a restart, as Lockstep must bear.

redis_pid_file() { echo "$STATE/redis/redis.pid"; }
# The server rewrites its command line to "redis-server 127.0.0.1:PORT".
redis_mark() { echo "127.0.0.1:$REDIS_PORT"; }
redis_log() { echo "$STATE/redis/redis.log"; }

redis_configure() {
    mkdir -p "$STATE/redis"
    render redis.conf "$STATE/redis/redis.conf" PORT="$REDIS_PORT" HOME="$STATE/redis"
}

redis_start() {
    redis-server "$STATE/redis/redis.conf" </dev/null
}

redis_ready() {
    local answer
    # shellcheck disable=SC2016 # expanded by the inner shell
    answer=$(timeout 5 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && printf "PING\r\n" >&3 && head -n 1 <&3' \
        "$REDIS_PORT" 2>/dev/null) || return 1
    [[ $answer == +PONG* ]]
}

redis_stop() { kill -TERM "$1"; }
