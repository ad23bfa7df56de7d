# shellcheck shell=bash
# Exim: a relay port, submission (STARTTLS, then AUTH) and submissions (TLS from the first byte).
# It delivers known addresses of any .test domain to Dovecot and refuses all others.

exim_program() { command -v exim4 || echo /usr/sbin/exim4; }

exim_pid_file() { echo "$STATE/exim/exim.pid"; }
exim_mark() { echo "$STATE/exim/exim.conf"; }
exim_log() { echo "$STATE/exim/log/main.log"; }

exim_configure() {
    local home=$STATE/exim user group
    prepare_mail
    if am_root; then
        user=$(exim_package_user)
    else
        user=$(id -un)
    fi
    group=$(id -gn "$user")
    mkdir -p "$home/spool" "$home/log"
    if am_root; then
        chown "$user:$group" "$home" "$home/spool" "$home/log"
    fi
    # Exim takes a configuration only from a file of its caller that the group cannot write.
    render exim.conf "$home/exim.conf" HOME="$home" TLS="$STATE/tls" USERS="$STATE/mail/users" \
        USER="$user" GROUP="$group" LMTP_PORT="$LMTP_PORT" \
        SMTP_PORT="$SMTP_PORT" SUBMISSION_PORT="$SUBMISSION_PORT" SUBMISSIONS_PORT="$SUBMISSIONS_PORT"
}

# The user the package was built for.
exim_package_user() {
    local user
    for user in Debian-exim exim mail; do
        if id "$user" >/dev/null 2>&1; then
            echo "$user"
            return 0
        fi
    done
}

exim_start() {
    rm -f "$STATE/exim/exim.pid"
    "$(exim_program)" -C "$STATE/exim/exim.conf" -bd -q5s </dev/null
}

exim_ready() { greets "$SMTP_PORT" '220 *'; }

exim_stop() { kill -TERM "$1"; }
