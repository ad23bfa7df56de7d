# shellcheck shell=bash
# The addresses tests read, kept in DIR/env (readable by the owner only: it holds passwords).

write_environment() {
    local postgres_password rabbitmq_password
    postgres_password=$(secret postgres)
    rabbitmq_password=$(secret rabbitmq)
    (
        umask 077
        cat >"$DIR/env.new" <<ENV
LOCKSTEP_SERVICES_DIR=$DIR
LOCKSTEP_TEST_POSTGRES_URL=postgres://postgres:$postgres_password@127.0.0.1:$POSTGRES_PORT/postgres
LOCKSTEP_TEST_REDIS_URL=redis://127.0.0.1:$REDIS_PORT
LOCKSTEP_TEST_AMQP_URL=amqp://admin:$rabbitmq_password@127.0.0.1:$AMQP_PORT/%2f
LOCKSTEP_TEST_RABBITMQ_API_URL=http://admin:$rabbitmq_password@127.0.0.1:$RABBITMQ_API_PORT
LOCKSTEP_TEST_POP3_PORT=$POP3_PORT
LOCKSTEP_TEST_POP3S_PORT=$POP3S_PORT
LOCKSTEP_TEST_IMAP_PORT=$IMAP_PORT
LOCKSTEP_TEST_IMAPS_PORT=$IMAPS_PORT
LOCKSTEP_TEST_LMTP_PORT=$LMTP_PORT
LOCKSTEP_TEST_SMTP_PORT=$SMTP_PORT
LOCKSTEP_TEST_SUBMISSION_PORT=$SUBMISSION_PORT
LOCKSTEP_TEST_SUBMISSIONS_PORT=$SUBMISSIONS_PORT
LOCKSTEP_TEST_CA_FILE=$STATE/tls/ca.pem
LOCKSTEP_TEST_MAIL_USERS_FILE=$STATE/mail/users
LOCKSTEP_TEST_MAIL_DIR=$STATE/mail/boxes
ENV
    )
    mv "$DIR/env.new" "$DIR/env"
}
