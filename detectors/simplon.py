"""A client of the SIMPLON REST interface of DECTRIS detectors.

Every failure is one line: the method, the URL, and what the detector answered.
"""

from __future__ import annotations

import json

import httpx

_AWAY = (502, 503, 504)  # a web server stands before the detector's own, which is not there
Value = bool | int | float | str | list[str]


class SimplonError(RuntimeError):
    """The detector refused, or did not answer."""


class NoAnswer(SimplonError):
    """Nobody answers where the detector should be."""


class Simplon:
    """One detector's REST interface; may be used by several threads.

    url: "http://host:port"
    version: of the interface
    timeout_s: for everything but arm and trigger, which may take longer
    """

    def __init__(self, url: str, version: str = "1.8.0", timeout_s: float = 5.0) -> None:
        self.url = url.rstrip("/")
        self.version = version
        # the detector is on the beamline's own network, never behind a proxy of the environment
        self._client = httpx.Client(timeout=timeout_s, trust_env=False)

    def get(self, module: str, task: str, name: str) -> Value:
        """The value of a configuration or status parameter. Raises SimplonError."""
        return self._value(self._request("GET", self._path(module, task, name)))

    def put(self, module: str, name: str, value: Value) -> tuple[str, ...]:
        """Write a configuration parameter; the names of all that changed with it."""
        response = self._request("PUT", self._path(module, "config", name), {"value": value})
        changed = self._json(response) if response.content else []
        return tuple(str(n) for n in changed) if isinstance(changed, list) else ()

    def command(self, name: str, module: str = "detector", timeout_s: float = 60.0) -> int:
        """Send a command; the number of the series where the detector tells one, else 0."""
        response = self._request("PUT", self._path(module, "command", name), None, timeout_s)
        answer = self._json(response) if response.content else {}
        number = answer.get("sequence id", 0) if isinstance(answer, dict) else 0
        return number if isinstance(number, int) else 0

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _path(self, module: str, task: str, name: str) -> str:
        return f"{self.url}/{module}/api/{self.version}/{task}/{name}"

    def _request(
        self, method: str, url: str, body: dict[str, Value] | None = None, timeout_s: float = 0.0
    ) -> httpx.Response:
        try:
            if timeout_s:
                response = self._client.request(method, url, json=body, timeout=timeout_s)
            else:
                response = self._client.request(method, url, json=body)
        except httpx.HTTPError as error:
            raise NoAnswer(f"{method} {url}: no answer ({_words(error)})") from error
        if response.status_code != 200:
            said = f"{response.status_code} {' '.join(response.text.split())[:300]}"
            if response.status_code in _AWAY:
                raise NoAnswer(f"{method} {url}: no answer ({said})")
            raise SimplonError(f"{method} {url}: {said}")
        return response

    def _json(self, response: httpx.Response) -> object:
        try:
            found: object = response.json()
        except (json.JSONDecodeError, UnicodeDecodeError):
            said = " ".join(response.text.split())[:80]
            raise SimplonError(
                f"{response.request.method} {response.request.url}: answer is no JSON: {said!r}"
            ) from None
        return found

    def _value(self, response: httpx.Response) -> Value:
        answer = self._json(response)
        value = answer.get("value") if isinstance(answer, dict) else None
        if not isinstance(value, (bool, int, float, str, list)):
            raise SimplonError(
                f"{response.request.method} {response.request.url}: "
                f"answer has no value: {str(answer)[:80]!r}"
            )
        return value


def _words(error: httpx.HTTPError) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
