"""A product that posts events: `python -m tests.poster PORT KEY FILE`, the file a JSON list of requests (lists of messages)."""

import contextlib
import http.client
import json
import sys
import time
from pathlib import Path


def post(port: int, key: str, batch: list[object]) -> None:
    """Post one request until it is answered 200, as a client that retries does."""
    for attempt in range(20):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("POST", "/api/events", json.dumps(batch), {"Authorization": f"Bearer {key}"})
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1 * (attempt + 1))
    raise SystemExit("a request was never answered 200")


if __name__ == "__main__":
    port, key, file = sys.argv[1:]
    for batch in json.loads(Path(file).read_text()):
        post(int(port), key, batch)
