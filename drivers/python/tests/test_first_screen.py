"""What the README shows first runs as it stands, and prints what it says."""

import re
import subprocess
import sys
from pathlib import Path

from harness import PATIENCE, Server

HERE = Path(__file__).parent.parent


def test_first_screen(server: Server) -> None:
    readme = (HERE / "README.md").read_text()
    match = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert match is not None
    example = match.group(1)
    printed = [line.rpartition("# ")[2].strip() for line in example.splitlines() if "print(" in line]
    assert len(printed) == 3
    program = example.replace("http://127.0.0.1:8739", server.url)
    assert program != example

    # Who tries it tries it more than once; versions go on, and the server forgets the first ones.
    for _ in range(5):
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            env={"PYTHONPATH": str(HERE / "src")},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert (run.stdout.splitlines(), run.stderr) == (printed, "")
