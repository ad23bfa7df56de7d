# shellcheck shell=bash
# Finding, ending and awaiting server processes, by the pid file each of them keeps.
#
# Every service defines NAME_pid_file, NAME_mark (a text its command line must contain, so that a
# reused process id is never mistaken for it), NAME_stop, NAME_start and NAME_ready.

# running NAME: prints the pid when the service runs.
running() {
    local file pid command
    file=$("$1_pid_file")
    [[ -s $file ]] || return 1
    read -r pid <"$file" || [[ -n $pid ]] || return 1
    [[ $pid =~ ^[0-9]+$ ]] || return 1
    command=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 1
    [[ $command == *"$("$1_mark")"* ]] || return 1
    echo "$pid"
}

# descendants PID: every process below PID, nearest first.
descendants() {
    local stat rest fields pid
    local -A parent=()
    for stat in /proc/[0-9]*/stat; do
        # Not $(<…): when the process ends between opening and reading, bash would end this script.
        read -r rest 2>/dev/null <"$stat" || continue
        pid=${stat#/proc/}
        pid=${pid%/stat}
        # The command name may hold spaces and parentheses: fields start after the last ")".
        rest=${rest##*) }
        read -ra fields <<<"$rest"
        parent[$pid]=${fields[1]:-0}
    done
    local level=("$1") next candidate
    while ((${#level[@]})); do
        next=()
        for pid in "${level[@]}"; do
            for candidate in "${!parent[@]}"; do
                if [[ ${parent[$candidate]} == "$pid" ]]; then
                    next+=("$candidate")
                    echo "$candidate"
                fi
            done
        done
        level=("${next[@]}")
    done
}

# ended PID…: true when none of them lives; a zombie nobody reaps counts as ended.
ended() {
    local pid rest
    for pid in "$@"; do
        read -r rest 2>/dev/null <"/proc/$pid/stat" || continue
        rest=${rest##*) }
        [[ ${rest:0:1} == Z ]] || return 1
    done
}

# kill_service NAME: SIGKILL to the server and everything below it, then waits for their end.
kill_service() {
    local pid pids
    if ! pid=$(running "$1"); then
        return 0
    fi
    mapfile -t pids < <(descendants "$pid")
    kill -KILL "$pid" "${pids[@]}" 2>/dev/null || true
    wait_until 20 ended "$pid" "${pids[@]}" || say "$1: some processes outlive SIGKILL"
}

# stop_service NAME: asks the server to end, insists after 20 seconds.
stop_service() {
    local pid pids
    if pid=$(running "$1"); then
        mapfile -t pids < <(descendants "$pid")
        "$1_stop" "$pid" >>"$STATE/log/$1.start.log" 2>&1 || true
        if ! wait_until 20 ended "$pid" "${pids[@]}"; then
            kill -KILL "$pid" "${pids[@]}" 2>/dev/null || true
            wait_until 20 ended "$pid" "${pids[@]}" || say "$1: some processes outlive SIGKILL"
        fi
    fi
    if declare -F "$1_after_stop" >/dev/null; then
        "$1_after_stop"
    fi
}

# wait_until SECONDS COMMAND…: repeats COMMAND until it succeeds.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

# accepts PORT: does something listen there?
accepts() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# greets PORT PATTERN: does the server there open with a line that matches?
greets() {
    local line
    # shellcheck disable=SC2016 # expanded by the inner shell
    line=$(timeout 5 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && head -n 1 <&3' "$1" 2>/dev/null) || true
    # shellcheck disable=SC2053 # the pattern is meant as one
    [[ $line == $2 ]]
}
