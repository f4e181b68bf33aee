#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the model checker (mc.h says what it consists of) on the real claim.c, claim.h, live.h, word.h and pinword.h.

  run.py ROOT litmus                      the checker's memories allow what they should, and nothing else
  run.py ROOT search [SCENARIOS [SEED]]   random scenarios of two threads and named ones of three, in all small shapes, under
                                          sequential consistency and with store buffers; pins too
  run.py ROOT c11 [SCENARIOS [SEED]]      scenarios with C11's memory and the orders as written; with a number, random ones,
                                          and those of three threads of `search`, as far as they get
  run.py ROOT mutants                     the checker's negative control: each planted bug must be found
  run.py ROOT copies                      mc_folio.c has the operations of the core's files that it cannot include (copies.py)
  run.py ROOT orders                      each memory order weakened must be found, but for those in survivors.txt (orders.py)

A mutant replaces one text, which must be there exactly once; it has survived if no shape finds it.
"""
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import copies
import orders
from scenarios import C11, MUTANTS, NAMED, PINS, SHAPES, SMALL, SPECIAL, SPECIAL_MUTANTS, TELLING

# MC_CFLAGS=-w: for mutants of the core, of which the compiler has something to say.
FLAGS = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-fno-stack-protector", "-fcf-protection=none", "-fno-strict-aliasing",
         "-fno-pie", "-no-pie", "-include", "mc.h", *os.environ.get("MC_CFLAGS", "").split()]
BARRIERS = '-DLIVE_BARRIERS="mc_barriers.h"'
FLAT, VIEWS = ["mc_flat.c"], ["mc_views.c", "mc_history.c"]
MEMORIES = {  # name: (sources, flags, what live.h's barriers are, in words)
    "sc": (FLAT, ["-DSEQUENTIAL", BARRIERS], "sequential consistency"),
    "tso": (FLAT, ["-DTSO", BARRIERS], "store buffers"),
    "c11": (VIEWS, [], "C11"),
    "c11-old": (VIEWS, ["-DPSC=2"], "C11, SC order as of old"),
    "c11-barrier": (VIEWS, ["-DASYMMETRIC=1", BARRIERS], "C11, asymmetric barriers"),
}
LITMUS = [(FLAT, []), (FLAT, ["-DTSO"]), (VIEWS, []), (VIEWS, ["-DPSC=1"]), (VIEWS, ["-DPSC=2"]),
          (VIEWS, ["-DASYMMETRIC=1"])]
WORKERS = os.cpu_count() or 1


class Checker:
    """Builds the checker's programs in a folder of its own, each once."""

    def __init__(self, root, work):
        self.here, self.core, self.work = root / "tests/mc", root / "src/core", work

    def compile(self, level, sources, out, flags, core=None):
        flags = [*flags, *(["-w"] if core else [])]  # a mutant may leave things unused
        subprocess.run(["gcc", level, *FLAGS, *flags, "-I", core or self.core, "-I", self.here, *sources, "-o", out],
                       check=True, cwd=self.here)

    def base(self, memory, threads):
        """What does not depend on the core: memory and search."""
        sources, flags, _ = MEMORIES[memory]
        objects = []
        for source in [*sources, "mc_search.c", "mc.c"]:
            objects.append(self.work / f"{memory}{threads}-{source}.o")
            if not objects[-1].exists():
                level = "-O1" if source == "mc.c" else "-O3"
                self.compile(level, ["-c", source], objects[-1], [*flags, f"-DTHREADS={threads}"])
        return objects

    def tree_sources(self, core):
        """Of the model's own; a folder of mutants may have one of them too."""
        return [core / name if core and (core / name).exists() else name
                for name in ("mc_tree.c", "mc_folio.c", "mc_death.c", "mc_special.c")]

    def tree(self, shape, memory, core=None, more=()):
        """Claims and folios. `core`: a folder with other sources; `more`: flags."""
        out = (core or self.work) / f"tree{shape[0]}{shape[1]}-{memory}{''.join(more)}"
        if not out.exists():
            flags = [*MEMORIES[memory][1], "-DTHREADS=3", f"-DBITS={shape[0]}", f"-DLEVELS={shape[1]}", *more]
            self.compile("-O1", [*self.tree_sources(core), *self.base(memory, 3)], out, flags, core)
        return out

    def pins(self, memory, core=None):
        out = (core or self.work) / f"pins-{memory}"
        if not out.exists():
            self.compile("-O1", ["mc_pins.c", *self.base(memory, 3)], out, [*MEMORIES[memory][1], "-DTHREADS=3"], core)
        return out


def run(program, *args, states=600000):
    """(0 right, 1 a violation, 2 not for this shape; what it says)"""
    done = subprocess.run([program, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={"MC_STATES": str(states)}, check=False)
    if done.returncode not in (0, 1, 2):
        sys.exit(f"mc: {program} {args}: ended with {done.returncode}")
    return done.returncode, done.stdout


def must_be_right(what, program, *args, states=600000, whole=False):
    rc, text = run(program, *args, states=states)
    if rc == 2:
        return  # not for this shape
    print(f"mc: {what}: {text.splitlines()[-1]}", flush=True)
    if rc != 0 or (whole and " 0 cut short" not in text):
        sys.exit(text)


def litmus(checker):
    failed = False
    for column, (memory, flags) in enumerate(LITMUS):
        out = checker.work / f"litmus{column}"
        checker.compile("-O1", ["mc_litmus.c", "mc_search.c", *memory], out, [*flags, "-DTHREADS=4", f"-DCOLUMN={column}"])
        rc, text = run(out)
        print(f"mc: {memory[0]} {' '.join(flags)}: {text.strip()}", flush=True)
        failed = failed or rc != 0 or "wrong" not in text
    sys.exit(1 if failed else 0)


def search(checker, scenarios, seed):
    for shape in SHAPES:
        for scenario in TELLING:
            must_be_right(f"{shape[1]} levels of {shape[0]} bits: {scenario}", checker.tree(shape, "sc"), scenario)
    for shape in SHAPES:
        for memory in ("sc", "tso"):
            must_be_right(f"{shape[1]} levels of {shape[0]} bits, {MEMORIES[memory][2]}", checker.tree(shape, memory), "-r", str(seed),
                          str(scenarios // (1 if memory == "sc" else 4)), "2")
    for memory in ("sc", "tso"):
        for name, scenario in NAMED:
            must_be_right(f"{MEMORIES[memory][2]}: {name}", checker.tree((2, 2), memory), scenario, whole=True)
        for scenario in SPECIAL:
            must_be_right(f"{MEMORIES[memory][2]}: {scenario}", checker.tree((2, 2), memory), scenario, whole=True)
    for scenario in PINS:
        for memory in ("sc", "tso"):
            must_be_right(f"pins, {MEMORIES[memory][2]}", checker.pins(memory), scenario, whole=True)


def c11(checker, scenarios, seed):
    for memory in ("c11", "c11-barrier", *(["c11-old"] if scenarios else [])):
        for shape, scenario in C11:
            must_be_right(f"{MEMORIES[memory][2]}: {scenario}", checker.tree(shape, memory), scenario, whole=True)
    for scenario in PINS:
        must_be_right(f"pins, C11: {scenario}", checker.pins("c11"), scenario, whole=True)
    for scenario in SPECIAL:
        must_be_right(f"C11: {scenario}", checker.tree((2, 2), "c11"), scenario, whole=True)
    for shape, name, scenario in SMALL:
        must_be_right(f"C11, {shape[1]} levels of {shape[0]} bits: {name}", checker.tree(shape, "c11"), scenario, states=2000000,
                      whole=True)
    for shape in SHAPES if scenarios else []:
        must_be_right(f"{shape[1]} levels of {shape[0]} bits, C11", checker.tree(shape, "c11"), "-r", str(seed), str(scenarios), "2",
                      states=100000)
    for name, scenario in NAMED if scenarios else []:
        must_be_right(f"C11: {name}", checker.tree((2, 2), "c11"), scenario)


def find_mutant(checker, mutant, scenarios, seed):
    name, file, old, new = mutant
    folder = checker.work / name
    shutil.copytree(checker.core, folder)
    text = (folder / file).read_text()
    if text.count(old) != 1:
        print(f"mc: {name}: its text stands {text.count(old)} times in {file}: the list is stale")
        return False
    (folder / file).write_text(text.replace(old, new))
    tries = [(shape, (s,)) for shape in SHAPES for s in TELLING]
    tries += [(shape, ("-r", str(seed), str(scenarios), "2")) for shape in SHAPES]
    for shape, args in tries:
        rc, text = run(checker.tree(shape, "sc", folder), *args)
        if rc == 1:
            why = [line for line in text.splitlines() if line.startswith(("VIOLATION", "scenario"))]
            print(f"mc: {name}: found: {'; '.join(why)}", flush=True)
            return True
    print(f"mc: {name}: SURVIVED", flush=True)
    return False


def find_special_mutant(checker, mutant):
    """In mc_special.c, and it is right without."""
    name, memory, scenario, old, new = mutant
    folder = checker.work / name
    folder.mkdir()
    shutil.copytree(checker.core, folder, dirs_exist_ok=True)
    text = (checker.here / "mc_special.c").read_text()
    if text.count(old) != 1:
        print(f"mc: {name}: its text stands {text.count(old)} times in mc_special.c: the list is stale")
        return False
    (folder / "mc_special.c").write_text(text.replace(old, new))
    rc, said = run(checker.tree((2, 2), memory, folder), scenario)
    print(f"mc: {name}: {'found: ' + said.splitlines()[0] if rc == 1 else 'SURVIVED'}", flush=True)
    return rc == 1


def mutants(checker, scenarios, seed):
    checker.base("sc", 3)
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        found = list(pool.map(lambda m: find_mutant(checker, m, scenarios, seed), MUTANTS))
    found += [find_special_mutant(checker, mutant) for mutant in SPECIAL_MUTANTS]
    print(f"mc: {sum(found)} of {len(found)} planted bugs found")
    sys.exit(0 if all(found) else 1)


def main():
    root, what = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    number = int(sys.argv[3]) if len(sys.argv) > 3 else None
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    with tempfile.TemporaryDirectory() as work:
        checker = Checker(root, pathlib.Path(work))
        if what == "litmus":
            litmus(checker)
        elif what == "search":
            search(checker, number or 300, seed)
        elif what == "c11":
            c11(checker, number or 0, seed)
        elif what == "mutants":
            mutants(checker, number or 300, seed)
        elif what == "copies":
            sys.exit(copies.check(root))
        elif what == "orders":
            sys.exit(orders.check(checker, run))
        else:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
