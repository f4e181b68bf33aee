# SPDX-License-Identifier: BSD-3-Clause
"""harness - builds src/core with a mutant in it, and runs checks on it until one fails.

A Workplace is a folder with a copy of src/core and src/port, and the objects of all checks, built from the sources as
they are; a mutant costs the compilation of what includes its file. Checks, the cheap and the likely first:
  - the unit tests of the core (tests/unit/core_*.c), the one named like the file before the others;
  - two threads on the core, switched at every pair of steps (tests/torture/steps.c);
  - the torture, with a delay before each atomic operation, for a few seeds;
  - the model checker, for the files that it compiles.
A check has found the mutant when it exits with anything but 0, when it takes far longer than it takes on the sources as
they are, or far more memory. A check that could not be run at all is an error of this program (Infrastructure), and
counts as nothing.
"""
import concurrent.futures
import ctypes
import functools
import math
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

CFLAGS = ['-std=gnu17', '-D_GNU_SOURCE', '-D_FILE_OFFSET_BITS=64', '-DLIVE_BARRIERS="port/barrier.h"', '-O1', '-w', '-fPIC',
          '-MMD', '-fno-diagnostics-color']
# A mutant that leaves an array, say, does not get away with it: what is undefined traps.
TRAPS = ['-fsanitize=undefined', '-fsanitize-undefined-trap-on-error']
RUNS = {'torture': [[str(seed), '4000', '4'] for seed in range(1, 9)]}
STEPS = ('scenarios', 'steps')  # of tests/torture, the sources of the check that is called so
MC_FILES = {'core/claim.c', 'core/claim.h', 'core/live.h', 'core/pinword.h', 'core/word.h'}
MC_SCENARIOS = '10'
QUICK_S = 0.1
LIMIT_BYTES = 1 << 30
LIBC, PR_SET_PDEATHSIG = ctypes.CDLL(None), 1
DEAR_S = 0.3  # a test that takes longer is not the first, even if the file is its own


# How long a check may take, by the clock and of a processor, if it takes u seconds on the sources as they are: a quick one
# 20 times that at least, one with threads enough for a machine that has much else to do. By the clock `patience` times as long.
def time_limits(u, patience):
    clock, processor = (3, 1) if u < QUICK_S else (15 + 10 * u, 5 + 10 * u)
    return patience * clock, processor


class Infrastructure(Exception):
    """Something that has nothing to do with the mutant."""


def limits(cpu_s):
    """In the child: it ends with this program, dumps no core, and has so much time of a processor, as has each of its children."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))


def resident_bytes(pid):
    try:
        with open(f'/proc/{pid}/statm', encoding='ascii') as file:
            return int(file.read().split()[1]) * 4096
    except (OSError, IndexError):
        return 0


def run(command, cwd, limit_s, cpu_s):
    """(exit status or 'hangs' or 'grows', seconds, output). Ends the whole process group."""
    start = time.monotonic()
    out = cwd / 'output'
    with open(out, 'wb') as file:
        child = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                                 start_new_session=True,
                                 preexec_fn=functools.partial(limits, math.ceil(cpu_s)))
        status = None
        try:
            while status is None:
                try:
                    status = child.wait(0.05)
                except subprocess.TimeoutExpired:
                    if time.monotonic() - start > limit_s:
                        status = 'hangs'
                    elif resident_bytes(child.pid) > LIMIT_BYTES:
                        status = 'grows'
        finally:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        status = 'hangs'
    return status, time.monotonic() - start, out.read_text(errors='replace')


class Workplace:
    """One folder, for one thread."""

    def __init__(self, root, folder, base=None, patience=1):
        self.root, self.folder, self.patience = root, folder, patience
        self.seconds = {}
        self.linked, self.relink = set(), set()
        text = (root / 'tests/unit/meson.build').read_text()
        self.wrapped = {test: re.findall(r"'(\w+)'", names) for test, names in re.findall(r"'(core_\w+)': \[([^]]*)\]", text)}
        self.torture = sorted(p.stem for p in (root / 'tests/torture').glob('*.c'))
        self.tests = sorted(p.stem for p in (root / 'tests/unit').glob('core_*.c'))
        self.sources = sorted(p.relative_to(root).as_posix() for floor in ('core', 'port')
                              for p in (root / 'src' / floor).glob('*.c'))
        if base:
            self.seconds, self.uses, self.reach = base.seconds, base.uses, base.reach
            self.linked = set(base.linked)
            shutil.copytree(base.folder, folder, symlinks=True)
            return
        folder.mkdir()
        for floor in ('core', 'port'):
            shutil.copytree(root / 'src' / floor, folder / 'src' / floor, dirs_exist_ok=True)
        (folder / 'tests').symlink_to(root / 'tests')
        (folder / 'obj').mkdir()
        self.uses = {}
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            compiled = list(pool.map(self.compile, self.units()))
        for unit, done in zip(self.units(), compiled):
            if not done:
                raise Infrastructure(f'{unit} does not compile:\n{(self.folder / f"obj/{unit}.log").read_text()}')
            deps = (folder / 'obj' / f'{unit}.d').read_text().replace('\\\n', ' ').split()
            self.uses[unit] = {d[len('src/'):] for d in deps if d.startswith('src/core/')}
        shutil.copytree(folder / 'obj', folder / 'clean')
        self.reach = {test: self.reached_by(f'{test}.test') for test in self.tests}

    def symbols(self, unit):
        """What it defines, what it needs."""
        lines = subprocess.run(['nm', '-g', f'obj/{unit}'], cwd=self.folder, stdout=subprocess.PIPE, text=True,
                               check=True).stdout.splitlines()
        words = [line.split() for line in lines]
        return {w[2] for w in words if len(w) == 3}, {w[1] for w in words if len(w) == 2}

    def reached_by(self, test):
        """The units whose code a test can run: it, and what it needs of the core, and so on."""
        symbols = {unit: self.symbols(unit) for unit in [test, *[u for u in self.units() if u.endswith('.real')]]}
        reached, more = set(), {test}
        while more:
            reached |= more
            needs = set().union(*[symbols[u][1] for u in reached])
            more = {u for u in symbols if u.endswith('.real') and symbols[u][0] & needs} - reached
        return reached

    # What there is to compile: NAME.real, NAME.delayed (a source of the core, twice), NAME.test, NAME.torture.

    def units(self):
        names = [s[len('src/'):-2].replace('/', '_') for s in self.sources]
        return ([f'{n}.real' for n in names] + [f'{t}.test' for t in self.tests] +
                [f'{n}.delayed' for n in names] + [f'{t}.torture' for t in self.torture])

    def compile(self, unit):
        name, kind = unit.split('.')
        command = ['gcc', *CFLAGS, '-I', self.root / 'include', '-I', 'src', '-c', '-o', f'obj/{unit}',
                   '-MF', f'obj/{unit}.d']
        if kind == 'real':
            command += TRAPS
        if kind == 'delayed':
            command += ['-include', self.root / 'tests/torture/delay.h']
        if kind in ('test', 'torture'):
            command.append(self.root / f'tests/{"unit" if kind == "test" else kind}/{name}.c')
        else:
            command.append('src/' + name.replace('_', '/', 1) + '.c')
        with open(self.folder / f'obj/{unit}.log', 'wb') as log:
            return subprocess.run(command, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT, check=False).returncode == 0

    def link(self, units, libraries, program):
        command = ['gcc', *[f'obj/{u}' for u in units], *libraries, '-lbsd', '-lpthread', '-o', program]
        done = subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.returncode == 0

    # Checks: a name, and what it needs. 'core_x', 'torture', 'mc'.

    def checks_for(self, file):
        """The checks that may find a mutant of this file, in their order; None: all files."""
        own = file and file.replace('/', '_').rsplit('.', 1)[0]
        tests = sorted(self.tests, key=lambda t: (t != own or self.seconds.get(t, 0) > DEAR_S, self.seconds.get(t, 0)))
        tests = [t for t in tests if not file or self.sees(t, file)]
        more = ['steps', 'torture'] if not file or any(file in self.uses[u] for u in self.uses if u.endswith('.delayed')) else []
        return tests + more + (['mc'] if not file or file in MC_FILES else [])

    def sees(self, test, file):
        """A test that reaches nothing that includes the file cannot tell."""
        return any(file in self.uses[u] for u in self.reach[test])

    def stale(self, kind):
        for unit in sorted(self.dirty):
            if unit.endswith(kind):
                self.dirty.discard(unit)
                if not self.compile(unit):
                    return False
        return True

    def prepare(self, check):
        """The commands of a check, one after the other; None: it does not compile."""
        if check == 'mc':
            return [['env', 'MC_CFLAGS=-w', sys.executable, str(self.folder / 'tests/mc/run.py'), str(self.folder), 'search', MC_SCENARIOS, '1']]
        delayed = check in ('torture', 'steps')
        kind = '.delayed' if delayed else '.real'
        own = [f'{t}.torture' for t in self.torture if (t in STEPS) == (check == 'steps')] if delayed else [f'{check}.test']
        if not all(self.stale(u) for u in [kind, *own]):
            return None
        core = [u for u in self.units() if u.endswith(kind)]
        if delayed or check in self.wrapped:
            libraries = [f'-Wl,--wrap={f}' for f in self.wrapped.get(check, [])] + ([] if delayed else ['-lcmocka'])
            return [[f'./{check}', *words] for words in RUNS.get(check, [[]])] if self.link(core + own, libraries, check) else None
        if not self.library_is_new and not self.link(core, ['-shared'], 'libcore.so'):
            return None
        self.library_is_new = True
        if (check not in self.linked or own[0] in self.relink) and not self.link(
                own, ['-L.', '-lcore', '-lcmocka', '-Wl,-rpath,$ORIGIN'], check):
            return None
        self.linked.add(check)
        self.relink.discard(own[0])
        return [[f'./{check}']]

    def run_check(self, check, doubt=True):
        """'' passed, else how it failed. In doubt, what takes too long gets more time, and a second chance."""
        commands = self.prepare(check)
        if commands is None:
            return 'no-compile'
        for command in commands:
            usual = self.seconds.get(check, 60)
            status, seconds, text = run(command, self.folder, *time_limits(usual, self.patience if doubt else 1))
            # One with threads takes longer, also of a processor, when others want the machine: what hangs does so twice.
            if status == 'hangs' and doubt:
                status, seconds, text = run(command, self.folder, *time_limits(max(5 * usual, QUICK_S), self.patience))
            if status in (126, 127) or 'Traceback (most recent' in text:
                raise Infrastructure(f'{check}: {text[-2000:]}')
            if status != 0:
                self.failure = text
                return status if isinstance(status, str) else 'fails'
            if self.measuring:
                self.seconds[check] = max(self.seconds.get(check, 0), seconds)
        return ''

    measuring = False
    failure = ''
    dirty = frozenset()
    library_is_new = False

    def baseline(self, checks=None):
        """These checks (all) pass on the sources as they are, or they can say nothing about mutants."""
        self.measuring, self.dirty, self.library_is_new = True, set(), False
        for check in self.checks_for(None):
            if check in self.seconds or (checks is not None and check not in checks):
                continue
            how = self.run_check(check)
            if how:
                raise Infrastructure(f'{check} {how} on the sources as they are:\n{self.failure[-3000:]}')
        self.measuring = False

    def same_code(self, file):
        """The compiler makes the same of the mutant, wherever it sees it."""
        for unit in [u for u in self.units() if file in self.uses[u] and not u.endswith(('.delayed', '.torture'))]:
            if unit in self.dirty:
                self.dirty.discard(unit)
                if not self.compile(unit):
                    return False
            if (self.folder / 'obj' / unit).read_bytes() != (self.folder / 'clean' / unit).read_bytes():
                return False
        return True

    def try_mutant(self, file, text, checks=None, first=None):
        """(verdict, check): caught, survives, same-code or no-compile. With these checks, which are known to find it, so
        that no hang of theirs is in doubt (none: all that can find it, `first` before the others)."""
        path = self.folder / 'src' / file
        clean = path.read_text()
        affected = {u for u in self.units() if file in self.uses[u]}
        self.dirty = set(affected)
        self.library_is_new = False
        self.relink = {u for u in affected if u.endswith('.test')}
        path.write_text(text)
        try:
            if not self.stale('.real'):
                return 'no-compile', '-'
            if self.same_code(file):
                return 'same-code', '-'
            for check in sorted(self.checks_for(file), key=lambda c: c != first) if checks is None else checks:
                how = self.run_check(check, doubt=checks is None)
                if how == 'no-compile':
                    return 'no-compile', '-'
                if how:
                    return 'caught', check if how == 'fails' else f'{check}:{how}'
            return 'survives', '-'
        finally:
            path.write_text(clean)
            for unit in affected:
                shutil.copy2(self.folder / 'clean' / unit, self.folder / 'obj' / unit)
            self.linked -= {u.split('.')[0] for u in affected if u.endswith('.test')}


def snapshot(root, folder):
    """All that checks are made of, as it is now: a run takes long, and somebody may be working."""
    for part in ('include', 'src/core', 'src/port', 'tests/unit', 'tests/torture', 'tests/mc'):
        shutil.copytree(root / part, folder / part, ignore=shutil.ignore_patterns('__pycache__'))


def make_workplaces(root, folder, n, checks=None, patience=1):
    """n workplaces on a snapshot whose sources pass these checks (all)."""
    base = Workplace(root, pathlib.Path(folder) / 'w0', patience=patience)
    base.baseline(checks)
    return [base] + [Workplace(root, pathlib.Path(folder) / f'w{i}', base, patience) for i in range(1, n)]
