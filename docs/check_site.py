"""Open every page of the built site in headless Chromium, and say what is wrong with it.

A page is wrong if its console shows an error, a script throws, anything that it asks for is
missing, a picture has no pixels, or a link within the site leads nowhere, to a missing page or a
missing heading. Everything that a page needs must come from the site itself: a request to any other
host is an error too.

    python docs/check_site.py build/docs

Needs Chromium (Debian's package `chromium`; another program by the environment variable CHROMIUM)
and `websocket-client`, which the `docs` extra brings. Exits with 1 if it finds anything.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-allow-origins=*",
    "--remote-debugging-port=0",
)
SECONDS_PER_PAGE = 60

# What a page has, once all its pictures are loaded.
CONTENT = """
(async () => {
    const images = [...document.images];
    images.forEach(image => { image.loading = "eager"; });
    await Promise.allSettled(images.map(image => image.decode()));
    return {
        broken: images.filter(image => !image.naturalWidth).map(image => image.src),
        images: images.length,
        links: [...document.querySelectorAll("a[href]")].map(link => link.href),
        anchors: [...document.querySelectorAll("[id], a[name]")].map(e => e.id || e.name),
        title: document.title,
    };
})()
"""


class Browser:
    """A Chromium without a window, spoken to by the DevTools protocol."""

    def __init__(self, program: str, profile: str) -> None:
        from websocket import create_connection

        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in self.process.stderr:
            found = re.search(r"DevTools listening on (ws://\S+)", line)
            if found:
                break
        else:
            raise RuntimeError(f"{program} did not start")
        # Chromium waits for ever on a full pipe.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.socket = create_connection(found[1], timeout=SECONDS_PER_PAGE)
        self.numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        self.session = None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        attached = self("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come before are kept."""
        number = next(self.numbers)
        session = {"sessionId": self.session} if self.session else {}
        self.socket.send(
            json.dumps({"id": number, "method": method, "params": parameters, **session})
        )
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def open(self, address: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Load a page; its content, and the events on the way."""
        self.events = []
        self("Page.navigate", url=address)
        deadline = time.monotonic() + SECONDS_PER_PAGE
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            if time.monotonic() > deadline:
                raise TimeoutError(address)
            self.events.append(json.loads(self.socket.recv()))
        result = self("Runtime.evaluate", expression=CONTENT, awaitPromise=True, returnByValue=True)
        return result["result"]["value"], self.events

    def close(self) -> None:
        """End the browser."""
        self.socket.close()
        self.process.terminate()
        self.process.wait()


def complaints(events: list[dict[str, Any]], origin: str) -> list[str]:
    """What the events of a page's loading have against it."""
    found, asked = [], {}
    for event in events:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                details = parameters["exceptionDetails"]
                text = details.get("exception", {}).get("description", details["text"])
                found.append(f"script error: {text.splitlines()[0]}")
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "assert"):
                words = (str(a.get("value", a.get("description"))) for a in parameters["args"])
                found.append(f"console error: {' '.join(words)}")
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                entry = parameters["entry"]
                found.append(f"console error: {entry['text']} {entry.get('url', '')}")
            case "Network.requestWillBeSent":
                address = asked[parameters["requestId"]] = parameters["request"]["url"]
                if not address.startswith((origin, "data:", "blob:", "about:")):
                    found.append(f"asks another host: {address}")
            case "Network.loadingFailed" if not parameters.get("canceled"):
                address = asked.get(parameters["requestId"])
                found.append(f"not loaded: {address} ({parameters['errorText']})")
    return found


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def check(site: Path, program: str) -> tuple[int, int, list[str]]:
    """Numbers of pages and pictures, and what is wrong."""
    handler = functools.partial(QuietHandler, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    origin = f"http://127.0.0.1:{server.server_port}/"
    problems, contents = [], {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            pages = (page.relative_to(site) for page in sorted(site.rglob("*.html")))
            for name in (page.as_posix() for page in pages if page.parts[0] != "_static"):
                contents[name], events = browser.open(origin + name)
                problems += [f"{name}: {text}" for text in complaints(events, origin)]
                broken = contents[name]["broken"]
                problems += [f"{name}: picture {src.removeprefix(origin)}" for src in broken]
        finally:
            browser.close()
            server.shutdown()
    for name, content in contents.items():
        for link in sorted(set(content["links"])):
            if link.startswith(origin) and (reason := dead(link, site, contents)):
                problems.append(f"{name}: link {link.removeprefix(origin)}: {reason}")
    n_images = sum(content["images"] for content in contents.values())
    return len(contents), n_images, list(dict.fromkeys(problems))


def dead(link: str, site: Path, contents: dict[str, dict[str, Any]]) -> str | None:
    """Why a link within the site leads nowhere; None if it does not."""
    parts = urlsplit(link)
    path = unquote(parts.path).lstrip("/")
    if not path or path.endswith("/"):
        path += "index.html"
    if not (site / path).is_file():
        return "no such file"
    anchor = unquote(parts.fragment)
    if anchor and path in contents and anchor not in contents[path]["anchors"]:
        return f"no heading #{anchor}"
    return None


def main() -> int:
    """Check the site that the command line names."""
    parser = argparse.ArgumentParser(description="Open every page of the site in Chromium.")
    parser.add_argument("site", type=Path, nargs="?", default=Path("build/docs"))
    site = parser.parse_args().site.resolve()
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
    if program is None:
        print("Chromium was not found: install Debian's package `chromium`, or name another "
              "program by the environment variable CHROMIUM.")  # fmt: skip
        return 1
    if not (site / "index.html").is_file():
        print(f"There is no site in {site}: run `make docs` first.")
        return 1
    n_pages, n_images, problems = check(site, program)
    print("\n".join(problems))
    print(f"{n_pages} pages with {n_images} pictures: {len(problems) or 'no'} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
