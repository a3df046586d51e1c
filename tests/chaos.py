"""`make chaos`: the kill test with twenty kills, on every backend that answers. Prints what it counted."""

import json
import os
import sys
import tempfile
from pathlib import Path

from tests import services
from tests.test_processes import survive


def main() -> int:
    """Run it; 1 when something was lost or done twice."""
    backends = ["sqlite"]
    os.environ.setdefault("DATABASE_URL", "postgres://postgres@127.0.0.1:5432/leadstate")
    os.environ.setdefault("CELERY_BROKER_URL", "redis://127.0.0.1:6379/14")
    if services.main() == 0:
        backends.append("postgres")
    failed = False
    for backend in backends:
        with tempfile.TemporaryDirectory() as folder:
            counts = survive(Path(folder), backend=backend, kills=20, seed=7)
        failed |= counts["events"] != 500 or counts["points"] != counts["columns"] or counts["received_twice"] > 0
        failed |= counts["sent"] + counts["unknown"] != counts["messages"]
        sys.stdout.write(json.dumps({"backend": backend, "kills": 20} | counts) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
