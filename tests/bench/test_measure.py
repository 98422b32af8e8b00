"""What a measured process says of itself is of itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PEAK_AFTER_A_LARGE_PARENT = """
import json
from bench.measure import in_its_own_process
held = bytearray(300 << 20)
print(json.dumps(in_its_own_process("bench.measure:nothing").peak))
"""


def test_a_large_parent_does_not_count_in_the_peak_of_a_run() -> None:
    command = [sys.executable, "-c", PEAK_AFTER_A_LARGE_PARENT]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert 0 < json.loads(done.stdout) < 200
