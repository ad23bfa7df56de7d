# shellcheck shell=bash
# Dovecot: POP3 (with STLS), POP3S, IMAP and IMAPS to look in, LMTP to deliver.
# As root the mailboxes belong to nobody; an ordinary user keeps everything under their own name.

dovecot_program() { command -v dovecot || echo /usr/sbin/dovecot; }

dovecot_pid_file() { echo "$STATE/dovecot/run/master.pid"; }
dovecot_mark() { echo "$STATE/dovecot/dovecot.conf"; }
dovecot_log() { echo "$STATE/dovecot/dovecot.log"; }

# Makes the users file and the folder of mailboxes; Exim needs them too.
prepare_mail() {
    mkdir -p "$STATE/mail/boxes" "$STATE/mail/homes" "$STATE/mail/users.d"
    [[ -e $STATE/mail/users ]] || : >"$STATE/mail/users"
    chmod 644 "$STATE/mail/users"
    if am_root; then
        chown nobody: "$STATE/mail/boxes" "$STATE/mail/homes"
    fi
}

dovecot_configure() {
    local home=$STATE/dovecot mail_user mail_group internal_user login_user internal_group
    prepare_mail
    mkdir -p "$home/run" "$home/state"
    if am_root; then
        mail_user=nobody internal_user=dovecot login_user=dovenull
    else
        mail_user=$(id -un) internal_user=$(id -un) login_user=$(id -un)
    fi
    mail_group=$(id -gn "$mail_user")
    internal_group=$(id -gn "$internal_user")
    render dovecot.conf "$home/dovecot.conf" HOME="$home" MAIL="$STATE/mail" TLS="$STATE/tls" \
        MAIL_USER="$mail_user" MAIL_GROUP="$mail_group" \
        INTERNAL_USER="$internal_user" INTERNAL_GROUP="$internal_group" LOGIN_USER="$login_user" \
        POP3_PORT="$POP3_PORT" POP3S_PORT="$POP3S_PORT" IMAP_PORT="$IMAP_PORT" IMAPS_PORT="$IMAPS_PORT" \
        LMTP_PORT="$LMTP_PORT"
}

dovecot_start() {
    # A pid file left by a killed master would stop the next one once its id is reused; a socket
    # left behind that nobody serves makes logins wait.
    rm -rf "$STATE/dovecot/run"
    mkdir -p "$STATE/dovecot/run"
    "$(dovecot_program)" -c "$STATE/dovecot/dovecot.conf" </dev/null
}

dovecot_ready() { greets "$POP3_PORT" '+OK*' && greets "$LMTP_PORT" '220 *'; }

dovecot_stop() { kill -TERM "$1"; }
