#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the torture over seeds: run.py PROGRAM FIRST-SEED SEEDS [SECONDS]. Stops at the first failure, or when the seconds
are over (then that is said: fewer seeds is no failure). A run that hangs for 60 s is one."""
import subprocess
import sys
import time


def main():
    program, first, seeds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    end = time.monotonic() + (float(sys.argv[4]) if len(sys.argv) > 4 else 1e9)
    done = 0
    for seed in range(first, first + seeds):
        if time.monotonic() > end:
            break
        try:
            run = subprocess.run([program, str(seed), "4000", "4"], timeout=60, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True)
        except subprocess.TimeoutExpired:
            sys.exit(f"torture: seed {seed} hangs")
        if run.returncode != 0:
            sys.exit(f"{run.stdout}\ntorture: seed {seed} fails (replay: {program} {seed} 4000 4)")
        done += 1
    print(f"torture: {done} of {seeds} seeds, from {first}: all histories right")
    sys.exit(0 if done else 1)


if __name__ == "__main__":
    main()
