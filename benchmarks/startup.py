"""How long `import faultline` and `faultline --help` take, best and median of several starts.

python benchmarks/startup.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "import faultline": [sys.executable, "-c", "import faultline"],
    "faultline --help": [sys.executable, "-m", "faultline", "--help"],
    "python alone": [sys.executable, "-c", "pass"],
}


def main():
    for name, command in COMMANDS.items():
        times = []
        for _ in range(10):
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - started)
        shown = {"best": round(min(times), 3), "median": round(statistics.median(times), 3)}
        print(json.dumps({"what": name, "seconds": shown}))


if __name__ == "__main__":
    main()
