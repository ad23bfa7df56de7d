# shellcheck shell=bash
# A private certificate authority and one server certificate, made once, under STATE/tls.
#
# Two certificates, not one: rustls refuses a CA certificate presented by a server.
# The key is readable by all on purpose, as three service users need it; it protects nothing.

make_certificates() {
    local tls=$STATE/tls
    [[ ! -s $tls/server.pem ]] || return 0
    {
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
            -subj "/CN=Lockstep test authority" \
            -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" \
            -keyout "$tls/ca.key" -out "$tls/ca.pem"
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
            -subj "/CN=localhost" -keyout "$tls/server.key" -out "$tls/server.csr"
        openssl x509 -req -in "$tls/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial \
            -days 3650 -out "$tls/server.pem.new" -extfile <(
                echo "basicConstraints=critical,CA:FALSE"
                echo "keyUsage=critical,digitalSignature"
                echo "extendedKeyUsage=serverAuth"
                echo "subjectAltName=DNS:localhost,IP:127.0.0.1"
            )
    } 2>>"$STATE/log/tls.log" || fail 70 "openssl could not make certificates, see $STATE/log/tls.log"
    chmod 644 "$tls/server.key" "$tls/ca.pem"
    mv "$tls/server.pem.new" "$tls/server.pem"
    rm -f "$tls/server.csr"
}
