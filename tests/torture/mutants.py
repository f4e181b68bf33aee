#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The torture's negative control: each planted bug in the real source must make it fail.

  mutants.py SOURCE-ROOT            all mutants; exit 0 if each was caught
  mutants.py SOURCE-ROOT --only N   one of them, by name

A mutant is a copy of src/ with one text replaced (which must be there exactly once), built with the torture, and run with
one seed after the other until a run fails, or hangs, or the seeds are used up: then it has survived, and so has the test
failed. Here stand bugs that random delays find soon; those with a window of a few instructions are the model
checker's (tests/mc).
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

SEEDS = 60
OPERATIONS = "4000"
THREADS = "4"
TIMEOUT_S = 10  # a run takes well under a second: one that hangs is caught as well

MUTANTS = [
    ("larger-heads-unchecked", "core/claim.c",
     "r = claim_check_larger(tree, level, k, i, mask);", "r = 0;"),
    ("span-unchecked", "core/claim.c",
     "r = claim_close_words(tree, level, i + 1, i + (UINT64_C(1) << k));", "r = 0;"),
    ("parent-unconfirmed", "core/claim.c",
     "if (!word_is_open(w) || (w & claim_mask_bit(k)) != claim_mask_bit(k))\n\t\t\treturn CLAIM_AGAIN;", ""),
    ("closed-over-held-ones", "core/claim.c",
     "word_store(word, r ? word_make(WORD_OPEN, 0, mask) : word_make(WORD_CLOSED, 0, 0));",
     "word_store(word, word_make(WORD_CLOSED, 0, 0));"),
    ("dies-with-folios", "core/live.h",
     "\tif (live_sum(live) != 0)\n\t\treturn 0;", ""),
    ("uncount-forgotten", "core/folio.c",
     "\tmap_uncount(pgmap, port_slot(), UINT64_C(1) << order);\n\treturn request(", "\treturn request("),
    ("mark-forgotten", "core/holder.c", "(void)word_mark(word, WORD_FENCE);", ";"),
    ("fence-releases-what-is-marked", "core/holder.c",
     "if (has_mark(&pgmap->charges, word) || !unfence(word, &old))", "if (!unfence(word, &old))"),
    ("kept-pages-forgotten", "core/folio.c", "word_store(word, word_make(WORD_QUARANTINED, order, 0));\n\t\treturn;", ";"),
    ("private-stays", "core/folio.c", "\tmap_private_clear(pgmap, word);\n\tword_store(", "\tword_store("),
    ("parts-get-no-charge", "core/split.c", "charge_make(table, part_word(s, i), c->holder)->refs = c->refs;", ";"),
    ("split-takes-all-charges-for-its-own", "core/split.c", "*ncharges ? charged : 1", "*ncharges ? word_refs(s->held) : 1"),
    ("walk-goes-not-below", "core/walk.c", "return walk_block(walk, level - 1, i);", "return 0;"),
    ("walk-unlocked", "core/walk.c", "\tcharge_lock(&pgmap->charges, &saved);\n", ""),
    ("poison-unread", "core/folio.c", "poison_covers(&pgmap->poison, pgoff, npages)", "0"),
    ("poison-not-cleared", "core/poison.c", "} else if (cut_range(poison, spare, pgoff, pgoff + npages)) {", "} else if (false) {"),
    ("half-a-span", "core/claim.c", "\twhile (r && pgoff < at) {", "\twhile (0) {"),
    ("put-by-plain-store", "core/word.h",
     "return atomic_fetch_sub_explicit(word, n * WORD_REF + pins * WORD_PIN, memory_order_acq_rel);",
     "uint64_t old = atomic_load_explicit(word, memory_order_acquire);\n"
     "\tatomic_store_explicit(word, old - n * WORD_REF - pins * WORD_PIN, memory_order_release);\n\treturn old;"),
]


def build(root, src, out):
    here = root / "tests/torture"
    sources = sorted((src / "core").glob("*.c")) + sorted((src / "port").glob("*.c"))
    subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE",
                    '-DLIVE_BARRIERS="port/barrier.h"', "-O1", "-g", "-w", "-include", here / "delay.h",
                    "-I", root / "include", "-I", src, *sorted(p for p in here.glob("*.c") if p.name not in ("steps.c", "scenarios.c")), *sources, "-lbsd", "-lpthread", "-o", out],
                   check=True)


def caught(program):
    for seed in range(1, SEEDS + 1):
        try:
            run = subprocess.run([program, str(seed), OPERATIONS, THREADS], stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, timeout=TIMEOUT_S, text=True)
        except subprocess.TimeoutExpired:
            return seed, "it hangs"
        if run.returncode != 0:
            return seed, (run.stdout.strip().splitlines() or ["no output"])[-1][:100]
    return None, None


def try_mutant(root, mutant):
    name, file, old, new = mutant
    with tempfile.TemporaryDirectory() as work:
        src = pathlib.Path(work) / "src"
        shutil.copytree(root / "src", src)
        text = (src / file).read_text()
        if text.count(old) != 1:
            print(f"mutants: {name}: its text stands {text.count(old)} times in {file}: the list is stale")
            return False
        (src / file).write_text(text.replace(old, new))
        program = pathlib.Path(work) / "torture"
        build(root, src, program)
        seed, how = caught(program)
    print(f"mutants: {name}: " + (f"caught by seed {seed}: {how}" if seed else "SURVIVED"), flush=True)
    return seed is not None


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    only = sys.argv[3] if len(sys.argv) == 4 and sys.argv[2] == "--only" else None
    chosen = [m for m in MUTANTS if only in (None, m[0])]
    if not chosen:
        sys.exit(f"mutants: no mutant is called {only}")
    results = [try_mutant(root, m) for m in chosen]
    print(f"mutants: {sum(results)} of {len(results)} caught")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
