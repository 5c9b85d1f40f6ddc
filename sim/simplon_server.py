"""The SIMPLON REST interface of the simulated detector, on the standard library's HTTP server.

<module>/api/<version>/<config|status|command>/<name>: GET reads, PUT writes or commands. 404 for
what does not exist, 405 for a method that does not fit, 400 for a value or a moment that does not.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .simplon_detector import NotNow, SimulatedDetector
from .simplon_parameters import Parameter, Refused, status_answer

VERSION = "1.8.0"
_MAX_BODY = 8 << 20  # a description of 350 x 351 points is 20 kB
_COMMANDS = {
    "detector": ("arm", "trigger", "disarm", "cancel", "abort", "initialize", "status_update"),
    "stream": ("initialize",),
    "monitor": ("initialize", "clear"),
}


class _Answer(Exception):
    """Any answer but 200 with a body."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class SimplonServer:
    """Serves a simulated detector on loopback, from start() to stop().

    Raises OSError where the port cannot be had.
    """

    def __init__(self, detector: SimulatedDetector, port: int = 0, host: str = "127.0.0.1") -> None:
        self.detector = detector
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._reply("GET")

            def do_PUT(self) -> None:
                self._reply("PUT")

            def do_POST(self) -> None:
                self._reply("POST")

            def do_DELETE(self) -> None:
                self._reply("DELETE")

            def _reply(self, method: str) -> None:
                try:
                    body = self._body()
                    found = server.answer(method, self.path, body)
                    self._send(200, b"" if found is None else json.dumps(found).encode())
                except _Answer as answer:
                    self._send(answer.code, str(answer).encode(), "text/plain; charset=utf-8")

            def _body(self) -> bytes:
                length = int(self.headers.get("Content-Length") or 0)
                if length > _MAX_BODY:
                    self.close_connection = True
                    raise _Answer(400, f"body of {length} bytes, at most {_MAX_BODY} are read")
                return self.rfile.read(length)

            def _send(self, code: int, body: bytes, kind: str = "application/json") -> None:
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Requests are not news."""

        try:
            self._http = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise OSError(f"http://{host}:{port}: {error.strerror or error}") from error
        self._http.daemon_threads = True
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, name="simplon"
        )
        self._thread.daemon = True

    @property
    def url(self) -> str:
        """e.g. "http://127.0.0.1:8080"."""
        return f"http://{self._http.server_address[0]!s}:{self._http.server_address[1]}"

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End; the detector is left as it is."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join(timeout=5.0)
        self._http.server_close()

    # -- one request ------------------------------------------------------------------------------

    def answer(self, method: str, path: str, body: bytes) -> object:
        """What method on path returns; None for an empty body. Raises _Answer."""
        parts = path.split("?")[0].strip("/").split("/")
        if len(parts) == 3 and parts[1:] == ["api", "version"] and parts[0] in _COMMANDS:
            return {"value": VERSION, "value_type": "string"}
        if len(parts) < 5 or parts[0] not in _COMMANDS or parts[1] != "api":
            raise _Answer(404, f"{path}: nothing here")
        module, _, version, task, *rest = parts
        if version != VERSION:
            raise _Answer(404, f"{path}: this detector speaks {VERSION}")
        name = "/".join(rest)
        if task == "config":
            return self._config(method, module, name, body)
        if task == "status":
            if method != "GET":
                raise _Answer(405, f"{path}: {method}, a status is only read")
            return self._status(module, name)
        if task == "command" and name in _COMMANDS[module]:
            if method != "PUT":
                raise _Answer(405, f"{path}: {method}, a command is PUT")
            return self._command(module, name)
        raise _Answer(404, f"{path}: nothing here")

    def _parameters(self, module: str) -> dict[str, Parameter]:
        return {"detector": self.detector.detector, "stream": self.detector.stream}.get(module, {})

    def _config(self, method: str, module: str, name: str, body: bytes) -> object:
        parameters = self._parameters(module)
        if name in ("keys", "") and method == "GET":
            return sorted(parameters)
        if name not in parameters:
            raise _Answer(404, f"{module}/config/{name}: no such parameter")
        if method == "GET":
            return parameters[name].answer()
        if method != "PUT" or not parameters[name].writable:
            raise _Answer(405, f"{module}/config/{name}: {method} is not for this parameter")
        try:
            value = json.loads(body)["value"]
        except (ValueError, KeyError, TypeError):
            raise _Answer(400, f"{module}/config/{name}: body must be {{'value': ...}}") from None
        try:
            return self.detector.write(parameters, name, value)
        except (Refused, NotNow) as error:
            raise _Answer(400, f"{module}/config/{name}: {error}") from None

    def _status(self, module: str, name: str) -> object:
        detector = self.detector
        known: dict[tuple[str, str], tuple[bool | int | float | str | list[str], str, str]] = {
            ("detector", "state"): (detector.state, "string", ""),
            ("detector", "error"): ([], "list", ""),
            ("detector", "temperature"): (22.3, "float", "°C"),
            ("detector", "humidity"): (4.1, "float", "%"),
            ("detector", "board_000/th0_temp"): (22.3, "float", "°C"),
            ("detector", "board_000/th0_humidity"): (4.1, "float", "%"),
            ("detector", "high_voltage/state"): ("READY", "string", ""),
            ("stream", "state"): (_busy(detector.state), "string", ""),
            ("stream", "dropped"): (detector.dropped, "uint", ""),
            ("stream", "error"): ([], "list", ""),
            ("monitor", "state"): ("normal", "string", ""),
            ("monitor", "dropped"): (0, "uint", ""),
        }
        if name in ("keys", ""):
            return sorted(n for m, n in known if m == module)
        if (module, name) not in known:
            raise _Answer(404, f"{module}/status/{name}: no such status")
        return status_answer(*known[module, name])

    def _command(self, module: str, name: str) -> object:
        if module != "detector":
            return None
        detector = self.detector
        try:
            if name == "arm":
                return {"sequence id": detector.arm()}
            if name == "trigger":
                detector.software_trigger()
                return None
            if name in ("disarm", "cancel", "abort"):
                return {"sequence id": detector.end_series(name)}
            if name == "initialize":
                detector.recover()
        except (Refused, NotNow) as error:
            raise _Answer(400, f"detector/command/{name}: {error}") from None
        return None


def _busy(state: str) -> str:
    return "acquire" if state in ("ready", "acquire") else "ready"
