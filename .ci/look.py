"""Opens the one-time address as a browser would and looks whether the recorded operation is on the page."""

import http.client
import sys
import urllib.parse

once = urllib.parse.urlsplit(sys.argv[1])


def ask(path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """A browser takes every name under `localhost` for this machine; Python asks its resolver, which need not."""
    connection = http.client.HTTPConnection("127.0.0.1", once.port, timeout=10)
    connection.request("GET", path, headers={"Host": once.netloc, **headers})
    return connection.getresponse()


cookie = ask(once.path, {}).headers["Set-Cookie"].partition(";")[0]
page = ask("/", {"Cookie": cookie}).read().decode()
assert "pytest -q" in page, page
print("the page shows the recorded operation")
