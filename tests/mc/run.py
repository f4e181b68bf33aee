#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the model checker (mc.c) on the real claim.c, claim.h, live.h and word.h.

  run.py ROOT search [SCENARIOS [SEED]]   random scenarios of two threads and named ones of three, in all small shapes, under
                                          sequential consistency and with store buffers
  run.py ROOT mutants                     the checker's negative control: each planted bug must be found

A mutant replaces one text, which must be there exactly once; it has survived if no shape finds it.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

FLAGS = ["-O1", "-w", "-fno-stack-protector", "-fcf-protection=none", "-fno-strict-aliasing", "-fno-pie", "-no-pie",
         '-DLIVE_BARRIERS="mc.c"']
SHAPES = [(2, 2), (1, 3), (3, 2)]  # bits of a level, levels
NAMED = [
    ("request against request against lookup", "R0.0 P0 | R0.1 P0 | L0"),
    ("overlapping orders", "R0.2 P0 | R0.1 P0 | R1.0"),
    ("request against kill and drain", "R0.1 P0 | K0 D0"),
    ("put against drain's wake-up", "R0.0 G0 P0 P0 | K0 D0"),
    ("revive against death", "R0.1 | K0 D0 | K0 V0"),
    ("a drainer and a revive", "R0.2 K0 V0 | K0 D0"),
    ("two drainers and a late request", "K0 D0 | K0 D0 | R0.1"),
    ("split against lookup", "R0.2 S0 | L1 P0 | L3"),
    ("split against request", "R0.2 S1 | R3.0 | R2.1"),
    ("last put against lookup", "R0.1 P0 | L0 P0 | L1"),
]
# Scenarios in which planted bugs showed; a shape that has not the pages or orders of one refuses it.
TELLING = [
    "R0.2 | R1.0 S0 S0 P0",
    "R3.0 R0.0 S0 | R2.1 S0 S1 R2.0",
    "R7.0 L4 P0 F6.0 | R4.2 S1 F0.3 R4.1 S0 K0 D0",
    "R0.3 S2 R0.2 L5 | R4.2 S1 G0",
    "R0.2 S1 R0.1 R0.2 | R0.2 S1 S1 R0.1 G0",
    "L3 R0.1 R0.2 S1 R0.0 | F1.0 P0 R0.2 S0",
    "R1.0 S0 R2.1 S0 R3.0 | F3.0 R1.0",
    "R2.0 R0.2 S0 G0 L3 | R0.2 S0 S1 K0 D0 R0.2",
    "L2 P0 F2.0 | R0.0 P0 G0 S1",
    "K0 D0 R0.1 S0 P0 | K0 V0 R3.0 S1",
]
MUTANTS = [
    ("parent-unconfirmed", "claim.c",
     "if (!word_is_open(w) || (w & claim_mask_bit(k)) != claim_mask_bit(k))\n\t\t\treturn CLAIM_AGAIN;", ""),
    ("larger-heads-unchecked", "claim.c", "r = claim_check_larger(tree, level, k, i, mask);", "r = 0;"),
    ("larger-heads-from-the-smallest", "claim.c",
     "for (unsigned larger = CLAIM_LEVEL_BITS - 1; larger > k; larger--) {",
     "for (unsigned larger = k + 1; larger < CLAIM_LEVEL_BITS; larger++) {"),
    ("no-second-look-at-the-mask", "claim.c", "} while (r == 0 && (mask & ~seen) != 0);", "} while (0);"),
    ("lookup-reads-the-mask-once", "claim.c",
     "while (!word_is_active(parent) && (parent & WORD_LOW_MASK & ~mask) != 0);", "while (0);"),
    ("lookup-stops-at-closing", "claim.c",
     "(word_state(w) != WORD_OPEN && word_state(w) != WORD_CLOSING)", "word_state(w) != WORD_OPEN"),
    ("lookup-looks-once", "claim.c", "return r == 0 && again == *out ? 0 : CLAIM_AGAIN;", "return 0;"),
    ("split-sets-no-mask", "claim.c",
     "claim_set_mask(claim_word(tree, level + 1, i >> CLAIM_LEVEL_BITS), new_k);", ";"),
    ("split-stores-over-claims", "claim.c",
     "while (!word_claim(word, &old, want)) {", "word_store(word, want);\n\twhile (0) {"),
    ("short-way-parent-unconfirmed", "claim.h",
     "if ((level != CLAIM_TOP && word_load(parent) != open) || !live_admitted(live)) {", "if (!live_admitted(live)) {"),
    ("admitted-while-dying", "claim.c", "return live_admitted(live) ? 0 : -ENODEV;", "(void)live;\n\treturn 0;"),
    ("busy-while-undecided", "claim.c", "return word_is_firm(w) ? -EBUSY : CLAIM_AGAIN;", "return -EBUSY;"),
    ("dies-of-any-generation", "live.h",
     "return live_move(live, &seen, (seen & ~UINT64_C(3)) | LIVE_DEAD) ? 1 : -1;",
     "seen = live_state(live);\n\treturn live_move(live, &seen, (seen & ~UINT64_C(3)) | LIVE_DEAD) ? 1 : -1;"),
    ("opened-without-the-mask", "claim.c",
     "if ((w & claim_mask_bit(k)) == claim_mask_bit(k) || word_claim(parent, &w, w | claim_mask_bit(k)))",
     "if (word_is_open(w))"),
    ("nobody-is-the-last", "live.h",
     "\tLIVE_FENCE();\n\treturn live_sum(live) == 0;", "\t(void)live;\n\treturn false;"),
]


def build(here, core, out, shape, buffered):
    subprocess.run(["gcc", *FLAGS, f"-DBITS={shape[0]}", f"-DLEVELS={shape[1]}", *(["-DTSO"] if buffered else []),
                    "-I", core, "-I", here, here / "mc.c", "-o", out], check=True)


def run(program, *args):
    done = subprocess.run([program, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={"MC_STATES": "600000"})
    return done.returncode, done.stdout


def search(here, core, work, scenarios, seed):
    for shape in SHAPES:
        for buffered in (False, True):
            program = work / f"mc{shape[0]}{shape[1]}{'t' if buffered else ''}"
            build(here, core, program, shape, buffered)
            memory = "store buffers" if buffered else "sequential consistency"
            rc, text = run(program, "-r", str(seed), str(scenarios // (4 if buffered else 1)), "2")
            print(f"mc: {shape[1]} levels of {shape[0]} bits, {memory}: {text.splitlines()[-1]}", flush=True)
            if rc != 0:
                sys.exit(text)
    program = work / "mc22"
    for name, scenario in NAMED + [("telling", s) for s in TELLING]:
        rc, text = run(program, scenario)
        if rc == 2:
            continue  # a telling one of a larger shape
        print(f"mc: {name}: {text.splitlines()[-1]}", flush=True)
        if rc != 0:
            sys.exit(text)


def find_mutant(here, core, work, mutant, scenarios, seed):
    name, file, old, new = mutant
    folder = work / name
    shutil.copytree(core, folder)
    text = (folder / file).read_text()
    if text.count(old) != 1:
        print(f"mc: {name}: its text stands {text.count(old)} times in {file}: the list is stale")
        return False
    (folder / file).write_text(text.replace(old, new))
    for shape in SHAPES:
        build(here, folder, folder / f"mc{shape[0]}{shape[1]}", shape, False)
    tries = [(shape, (s,)) for shape in SHAPES for s in TELLING]
    tries += [(shape, ("-r", str(seed), str(scenarios), "2")) for shape in SHAPES]
    for shape, args in tries:
        rc, text = run(folder / f"mc{shape[0]}{shape[1]}", *args)
        if rc == 1:
            why = [line for line in text.splitlines() if line.startswith(("VIOLATION", "scenario"))]
            print(f"mc: {name}: found: {'; '.join(why)}", flush=True)
            return True
    print(f"mc: {name}: SURVIVED", flush=True)
    return False


def main():
    root, what = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    scenarios = int(sys.argv[3]) if len(sys.argv) > 3 else 300
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    here, core = root / "tests/mc", root / "src/core"
    with tempfile.TemporaryDirectory() as work:
        if what == "search":
            search(here, core, pathlib.Path(work), scenarios, seed)
        else:
            found = [find_mutant(here, core, pathlib.Path(work), m, scenarios, seed) for m in MUTANTS]
            print(f"mc: {sum(found)} of {len(found)} planted bugs found")
            sys.exit(0 if all(found) else 1)


if __name__ == "__main__":
    main()
