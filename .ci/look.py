"""Opens the one-time address as a browser would and looks whether the recorded operation is on the page."""

import sys
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

once = sys.argv[1]
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
browser.open(once, timeout=10).read()
page = browser.open(urllib.parse.urljoin(once, "/"), timeout=10).read().decode()
assert "pytest -q" in page, page
print("the page shows the recorded operation")
