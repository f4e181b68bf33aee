#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""mutate - each check of src/core removed, one at a time: something must notice (operators.py, harness.py).

  mutate.py full          all mutants; writes result.txt, also as far as it has come when it is interrupted. What found a
                          mutant when result.txt was written is tried first: most are found by it again
  mutate.py again         on the sources of result.txt, as tests were added: those that have no verdict yet, or another one
                          than survivors.txt says
  mutate.py again hangs   also those that a check found by taking too long: was it the mutant, or the machine?
  mutate.py ten           ten of them, chosen by the commit: each has the verdict that result.txt says
  mutate.py run WORD...   the mutants whose ids begin with one of the words; writes nothing
  mutate.py list          ids, and what each does

A mutant that no check finds must stand in survivors.txt with the reason why it cannot be found; one that stands there and
is found must go. result.txt belongs to the sources whose hash it begins with: when src/core changes, `ten` fails until
`full` has run again. Exit status: 0 all as it should be, 1 not, 2 usage or no verdict possible.
"""
import collections
import concurrent.futures
import hashlib
import os
import pathlib
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import time

import harness
import operators

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RESULT, SURVIVORS = HERE / 'result.txt', HERE / 'survivors.txt'
PATIENCE = 4  # for `ten`, which runs wherever there is a commit: a machine that has much else to do is no mutant
AGAIN = 'run: python3 tests/mutate/mutate.py full; scripts/figures --mutants   (then commit what they wrote)'


def core_files(root):
    """{'core/claim.c': text}, sorted."""
    paths = sorted(p for p in (root / 'src/core').iterdir() if p.suffix in ('.c', '.h'))
    return {f'core/{p.name}': p.read_text() for p in paths}


def hash_of(files):
    total = hashlib.sha256()
    for name, text in files.items():
        total.update(f'{name}\0{text}\0'.encode())
    return total.hexdigest()


def all_mutants(files):
    """{id: (file, mutated text, line, what)}, in the order of the sources."""
    mutants = {}
    for name, text in files.items():
        for m in operators.mutants_of(name, text):
            was = ' '.join(text[m.start:m.end].split())
            what = f'line {text.count(chr(10), 0, m.start) + 1}: {was}  ->  {" ".join(m.text.split())}'
            mutants[m.id] = (name, operators.apply(text, m), what)
    return mutants


def read_survivors():
    """{id: proof}. Ids in column 0, the proof of all of them indented below; # begins a comment."""
    found, open_ids = {}, []
    for line in SURVIVORS.read_text().splitlines() if SURVIVORS.exists() else []:
        if line.startswith('#') or not line.strip():
            continue
        if line[0].isspace():
            for name in open_ids:
                found[name] = (found[name] + ' ' + line.strip()).strip()
        else:
            if any(found[name] for name in open_ids):
                open_ids = []
            open_ids.append(line.strip())
            found[line.strip()] = ''
    for name, proof in found.items():
        if not proof:
            sys.exit(f'mutate: survivors.txt: {name} has no proof')
    return found


def read_result():
    """(hash of the sources, {id: (verdict, check)})."""
    sources, verdicts = '', {}
    for line in RESULT.read_text().splitlines() if RESULT.exists() else []:
        words = line.split()
        if words[:1] == ['sources']:
            sources = words[1]
        elif len(words) == 3 and words[0].count(':') == 3:
            verdicts[words[0]] = (words[1], words[2])
    return sources, verdicts


def try_all(places, mutants, names, show, checks=None, first=None):
    """{id: (verdict, check)}, in the order of names. checks: {id: those to be tried}; none: all, beginning with first[id]."""
    verdicts = {}
    free = queue.Queue()
    for place in places:
        free.put(place)

    def one(name):
        place = free.get()
        try:
            return name, place.try_mutant(mutants[name][0], mutants[name][1], checks[name] if checks else None,
                                          (first or {}).get(name))
        finally:
            free.put(place)

    with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
        try:
            for done in concurrent.futures.as_completed([pool.submit(one, name) for name in names]):
                name, verdict = done.result()
                verdicts[name] = verdict
                show(name, verdict, len(verdicts))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {name: verdicts[name] for name in names}


def complaints(verdicts, mutants, survivors, everything):
    """What is not as survivors.txt says."""
    for name, (verdict, check) in verdicts.items():
        if verdict == 'survives' and name not in survivors:
            yield f'{name} survives, and survivors.txt does not say why: {mutants[name][2]}'
        elif verdict != 'survives' and name in survivors:
            yield f'{name} is in survivors.txt, and is: {verdict} {check}'
    for name in survivors:
        if everything and name not in mutants:
            yield f'survivors.txt: there is no {name}'


def write_result(files, mutants, verdicts):
    verdicts = {name: verdicts[name] for name in mutants if name in verdicts}
    counts = collections.Counter((name.split(':')[0], verdict) for name, (verdict, _) in verdicts.items())
    kinds = ['caught', 'same-code', 'survives', 'no-compile']
    lines = ['# Made by tests/mutate/mutate.py. Each check of src/core removed, one at a time, and what became of it:',
             '# caught by a check (which may have failed, or: hangs, grows); same-code: the compiler makes the same of it;',
             '# survives: survivors.txt says why nothing can notice; no-compile: it is no program.',
             f'sources {hash_of(files)}', '', f'# {"file":<20}{"mutants":>8}' + ''.join(f'{k:>12}' for k in kinds)]
    for name in [*files, 'all']:
        row = [sum(n for (file, v), n in counts.items() if v == kind and name in (file, 'all')) for kind in kinds]
        lines.append(f'# {name:<20}{sum(row):>8}' + ''.join(f'{n:>12}' for n in row))
    lines += ['', *[f'{name} {verdict} {check}' for name, (verdict, check) in verdicts.items()]]
    RESULT.write_text('\n'.join(lines) + '\n')


def finish(wrong):
    for line in wrong:
        print(f'mutate: {line}')
    return 1 if wrong else 0


def full(folder, files, mutants, jobs, known, doubted=None):
    """known: verdicts that stand; doubted: those that stay if it is interrupted before they are tried again."""
    start, verdicts, survivors = time.monotonic(), {**known, **(doubted or {})}, read_survivors()
    names = [name for name in mutants if name not in known]
    first = {name: check.split(':')[0] for name, (_, check) in read_result()[1].items()}

    def show(name, verdict, n):
        verdicts[name] = verdict
        if (verdict[0] == 'survives') != (name in survivors) or n % 100 == 0:
            print(f'{n}/{len(names)} {time.monotonic() - start:.0f} s: {name} {" ".join(verdict)}  {mutants[name][2]}', flush=True)
        if n % 50 == 0:
            write_result(files, mutants, verdicts)

    try:
        try_all(harness.make_workplaces(folder / 'root', folder, jobs), mutants, names, show, first=first)
    finally:
        write_result(files, mutants, verdicts)
    print(f'mutate: {len(names)} mutants in {time.monotonic() - start:.0f} s; result.txt is written')
    return finish(list(complaints(verdicts, mutants, survivors, True)))


def again(folder, files, mutants, jobs, hangs):
    sources, listed = read_result()
    if sources != hash_of(files):
        return finish([f'result.txt is of other sources; {AGAIN}'])
    survivors = read_survivors()
    known = {name: listed[name] for name in mutants if name in listed and (listed[name][0] == 'survives') == (name in survivors)
             and not (hangs and listed[name][1].endswith((':hangs', ':grows')))}
    return full(folder, files, mutants, jobs, known, {name: listed[name] for name in listed if name not in known})


def commit_hash(files):
    done = subprocess.run(['git', '-C', ROOT, 'rev-parse', 'HEAD'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=False) if (ROOT / '.git').exists() and shutil.which('git') else None
    return done.stdout.strip() if done and done.returncode == 0 else hash_of(files)


def stale(files, mutants, sources, listed):
    """Why result.txt cannot be what a full run of these sources says."""
    if sources != hash_of(files):
        return [f'result.txt is stale: it is of other sources than src/core has now; {AGAIN}']
    wrong = []
    if list(listed) != list(mutants):
        wrong.append(f'result.txt is stale: its mutants are not those that operators.py makes; {AGAIN}')
    if {name for name, (verdict, _) in listed.items() if verdict == 'survives'} != set(read_survivors()):
        wrong.append(f'result.txt and survivors.txt do not name the same survivors; {AGAIN}')
    return wrong


def ten(folder, files, mutants, jobs, chosen=None):
    """Those that a check caught are given to this check first. All others, and what it does not find now, to all."""
    sources, listed = read_result()
    wrong = stale(files, mutants, sources, listed)
    if wrong:
        return finish(wrong)
    seed = commit_hash(files)
    chosen = chosen or sorted(random.Random(seed).sample(list(mutants), 10))
    print(f'mutate: {len(chosen)} of {len(mutants)}, chosen by {seed}', flush=True)
    checks = {name: [listed[name][1].split(':')[0]] if listed[name][0] == 'caught' else [] for name in chosen}
    places = harness.make_workplaces(folder / 'root', folder, jobs, set().union(*checks.values()), PATIENCE)
    verdicts = try_all(places, mutants, chosen, lambda *_: None, checks)
    more = [name for name in chosen if verdicts[name][0] == 'survives']
    if more:
        places[0].baseline()
        verdicts.update(try_all(places, mutants, more, lambda *_: None))
    for name, verdict in verdicts.items():
        print(f'  {name} {" ".join(verdict)}')
    return finish([f'{name} is listed as {listed[name][0]}, and is: {" ".join(verdict)} ({mutants[name][2]})'
                   for name, verdict in verdicts.items() if verdict[0] != listed[name][0]])


def run_some(folder, mutants, words, jobs):
    names = [n for n in mutants if n.startswith(tuple(words))]
    if not names:
        print('mutate: no such mutant')
        return 2
    places = harness.make_workplaces(folder / 'root', folder, jobs)
    verdicts = try_all(places, mutants, names, lambda name, verdict, _: print(
        f'{" ".join(verdict):<26} {name}  {mutants[name][2]}', flush=True))
    return finish(list(complaints(verdicts, mutants, read_survivors(), False)))


def act(what, words, folder):
    files = core_files(folder / 'root')
    mutants = all_mutants(files)
    jobs = os.cpu_count() or 1
    if what == 'full' and not words:
        return full(folder, files, mutants, jobs, {})
    if what == 'again' and words in ([], ['hangs']):
        return again(folder, files, mutants, jobs, bool(words))
    if what == 'ten' and not words:
        return ten(folder, files, mutants, jobs)
    if what == 'run' and words:
        return run_some(folder, mutants, words, jobs)
    if what == 'list' and not words:
        for name, (_, _, line) in mutants.items():
            print(f'{name}  {line}')
        return 0
    print(__doc__, file=sys.stderr)
    return 2


def main():
    with tempfile.TemporaryDirectory(prefix='mutate-') as folder:
        harness.snapshot(ROOT, pathlib.Path(folder) / 'root')
        try:
            return act(sys.argv[1] if len(sys.argv) > 1 else '', sys.argv[2:], pathlib.Path(folder))
        except harness.Infrastructure as error:
            print(f'mutate: no verdict: {error}')
            return 2


if __name__ == '__main__':
    sys.exit(main())
