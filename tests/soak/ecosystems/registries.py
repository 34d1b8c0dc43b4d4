"""Registries of one package each, over TLS, with the certificate that lies beside this file."""

import hashlib, http.server, io, json, socket, ssl, zipfile

HERE = "https://localhost:8443"


def wheel():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = "kiln_sample-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: kiln-sample\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return out.getvalue()


NAME = "kiln_sample-1.0-py3-none-any.whl"
POM = """<project><modelVersion>4.0.0</modelVersion><groupId>test.kiln</groupId>
<artifactId>sample</artifactId><version>1.0</version><packaging>pom</packaging></project>"""
CRATE = {"name": "kiln-sample", "vers": "1.0.0", "deps": [], "features": {}, "yanked": False, "cksum": "0" * 64}
FILES = {
    "/go/kiln.test/sample/@v/list": b"v1.0.0\n",
    "/go/kiln.test/sample/@v/v1.0.0.info": b'{"Version": "v1.0.0"}',
    "/go/kiln.test/sample/@v/v1.0.0.mod": b"module kiln.test/sample\n",
    "/simple/kiln-sample/": f'<a href="{NAME}">{NAME}</a>'.encode(),
    f"/simple/kiln-sample/{NAME}": wheel(),
    "/composer/packages.json": json.dumps(
        {"packages": {"kiln/sample": {"1.0.0": {"name": "kiln/sample", "version": "1.0.0", "type": "metapackage"}}}}
    ).encode(),
    "/npm/kiln-sample": json.dumps(
        {"name": "kiln-sample", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {"name": "kiln-sample", "version": "1.0.0"}}}
    ).encode(),
    "/cargo/config.json": json.dumps({"dl": f"{HERE}/crates"}).encode(),
    "/cargo/ki/ln/kiln-sample": json.dumps(CRATE).encode(),
    "/maven/test/kiln/sample/1.0/sample-1.0.pom": POM.encode(),
    "/maven/test/kiln/sample/1.0/sample-1.0.pom.sha1": hashlib.sha1(POM.encode()).hexdigest().encode(),
}


class Registry(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        content = FILES.get(self.path)
        self.send_response(200 if content is not None else 404)
        kind = "text/html" if self.path.endswith("/") else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content or b"")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET


server = Server(("", 8443), Registry)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
