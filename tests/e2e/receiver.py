"""A receiver of webhooks, as docs/webhooks.md tells people to write one: the code of its section "Verify" runs here.

usage: receiver.py DOCUMENT SECRET_FILE LOG [PORT]
Prints its port. Every fourth request is answered 503. Appends what it has accepted to LOG, one JSON object a line.
"""

import http.server
import json
import re
import sys

document, secret_file, log, port = (sys.argv[1:] + ["0"])[:4]
code = re.search(r"```python\n(.*?)```", open(document, encoding="utf-8").read(), re.S).group(1)
exec(code, globals())
count = 0


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        global count
        count += 1
        body = self.rfile.read(int(self.headers["content-length"]))
        valid = verify(open(secret_file).read().strip(), self.headers, body)
        status = 400 if not valid else 503 if count % 4 == 0 else 204
        if status != 503:
            line = {"id": self.headers["webhook-id"], "valid": valid, "event": json.loads(body)}
            with open(log, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
