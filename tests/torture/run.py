#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the torture over seeds, and stops at the first failure.

  run.py PROGRAM FIRST-SEED SEEDS        so many seeds
  run.py PROGRAM FIRST-SEED seconds=S    as many as fit into S seconds, one at least; FIRST-SEED `any`: others each time

Says which seeds it ran, and how a failing one is run again. A run that hangs for 60 s has failed.
"""
import itertools
import subprocess
import sys
import time

OPERATIONS, THREADS = '4000', '4'
HANGS_S = 60


def run_seed(program, seed):
    """What is wrong, or None."""
    command = [program, str(seed), OPERATIONS, THREADS]
    again = f'torture: seed {seed} fails; again: {" ".join(command)}'
    try:
        run = subprocess.run(command, timeout=HANGS_S, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             errors='replace', check=False)
    except subprocess.TimeoutExpired:
        return f'torture: it hangs for {HANGS_S} s\n{again}'
    return f'{run.stdout}\n{again} (exit status {run.returncode})' if run.returncode else None


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    program, first, much = sys.argv[1:]
    first = int(time.time()) * 1000 if first == 'any' else int(first)
    start = time.monotonic()
    seconds = float(much[len('seconds='):]) if much.startswith('seconds=') else None
    seeds = itertools.count(first) if seconds is not None else range(first, first + int(much))
    print(f'torture: seeds from {first}, {OPERATIONS} operations by each of {THREADS} threads', flush=True)
    done, said = 0, start
    for seed in seeds:
        wrong = run_seed(program, seed)
        if wrong:
            sys.exit(wrong)
        done += 1
        elapsed = time.monotonic() - start
        if sys.stdout.isatty() and time.monotonic() - said > 1:
            said = time.monotonic()
            print(f'\rtorture: seed {seed}, {elapsed:.0f} s', end='', flush=True)
        if seconds is not None and elapsed >= seconds:
            break
    print(('\r' if sys.stdout.isatty() else '') +
          f'torture: {done} seeds, {first} to {first + done - 1}, in {time.monotonic() - start:.0f} s: all histories are right')


if __name__ == '__main__':
    main()
