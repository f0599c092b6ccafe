"""Time a generated plain Python file: probe.py FILE INPUT_SIZE SECONDS. Runs under any Python 3.6+.

Prints the seconds of CPU time that a step takes.
"""

import sys
import time

path, size, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
names = {"__name__": "generated"}
with open(path) as file:  # noqa: PTH123  # as every Python has it
    exec(compile(file.read(), path, "exec"), names)  # noqa: S102  # what a benchmark is for
model = names["Model"]()
rows = [[0.3 * ((7 * i + 3 * t) % 11 - 5) for i in range(size)] for t in range(16)]
for row in rows * 2:
    model.step(row)
steps = 0
start = time.process_time()
while time.process_time() - start < seconds:
    for row in rows:
        model.step(row)
    steps += len(rows)
print((time.process_time() - start) / steps)
