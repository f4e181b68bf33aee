# SPDX-License-Identifier: BSD-3-Clause
"""machine - one virtual machine: what is asked of it, its run under qemu, and the verdict on each of its cases.

A machine is a file of shell, machines/NAME.sh, with its cases as functions case_NAME in the order in which they run. Comments
at its head say what it needs:
    # qemu: ARGUMENT...       # kernel: PARAMETER...       # programs: PATH...   (in the build tree)
    # killed: CASE            after this case the machine is killed as a power cut would, and booted again for the cases that follow
    # disk: MIB               of a file, FILE in # qemu, that is there in both boots
The guest reports on a serial line of its own (guest/init has the protocol). A case is a pass only if its "ok" came, and the
machine only if it then said "end" with the right number and qemu ended by itself with 0: a guest that panics, hangs or
says nothing has failed in the case that it was in, and every case after that has failed too.
"""
import os
import re
import selectors
import subprocess
import tempfile
import time

import image

HERE = os.path.dirname(os.path.abspath(__file__))
QEMU = 'qemu-system-x86_64'
ALWAYS_QEMU = ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-cpu', 'max,la57=off', '-smp', '2']
ALWAYS_KERNEL = ['console=ttyS0', 'loglevel=4', 'panic=-1', 'oops=panic', 'mitigations=off', 'nokaslr', 'audit=0']


class Machine:
    """What machines/NAME.sh says."""

    def __init__(self, path):
        self.name = os.path.splitext(os.path.basename(path))[0]
        with open(path, encoding='utf-8') as file:
            self.text = file.read()
        self.qemu = self.asked('qemu') or ['-m', '1G']
        self.kernel = self.asked('kernel')
        self.programs = self.asked('programs')
        self.killed = self.asked('killed')
        self.disk = self.asked('disk')
        self.cases = re.findall(r'^case_(\w+)\(\)', self.text, re.M)

    def boots(self):
        """The cases of each boot."""
        if not self.killed:
            return [self.cases]
        after = self.cases.index(self.killed[0]) + 1
        return [self.cases[:after], self.cases[after:]]

    def asked(self, what):
        return ' '.join(re.findall(rf'^# {what}: (.*)$', self.text, re.M)).split()


class Report:
    """What a guest has said, line by line: verdicts {case: (ok, seconds, log)}."""

    def __init__(self, cases, show=None, clock=time.monotonic):
        self.show = show  # called with each line that a case says, or None
        self.cases = cases
        self.clock = clock
        self.verdicts = {}
        self.running = None
        self.since = clock()
        self.log = []
        self.ended = None  # how many cases the last line named
        self.strange = []

    def line(self, line):
        word, _, rest = line.partition(' ')
        if self.ended is not None and line:
            self.strange.append(f'after the end: {line}')
        elif word == '.':
            self.log.append(rest)
            if self.show:
                self.show(rest)
        elif word == 'begin' and rest in self.cases and rest not in self.verdicts and not self.running:
            self.running, self.since = rest, self.clock()
        elif word in ('ok', 'fail') and self.running and rest.split(' ')[0] == self.running:
            self.verdict(word == 'ok', [f'exit code {rest.split(" ")[1]}'] if ' ' in rest else [])
        elif word == 'end' and rest.isdigit():
            self.ended = int(rest)
        elif word == 'broken':
            self.strange.append(rest)
        elif line:
            self.strange.append(f'not understood: {line}')

    def verdict(self, passed, more=()):
        self.verdicts[self.running] = (passed, self.clock() - self.since, [*self.log, *more])
        self.running, self.log = None, []

    def close(self, why, console):
        """After the last line: why is what was wrong with qemu's end, or empty. What is owed has failed."""
        if not why and self.ended is None:
            why = 'the guest ended without a last line'
        if not why and self.ended != len(self.cases):
            why = f'the guest says that it ran {self.ended} cases, not {len(self.cases)}'
        if not why and self.strange:
            why = self.strange[0]
        facts = [*self.strange, why, *console] if why else []
        missing = [case for case in self.cases if case not in self.verdicts and case != self.running]
        if self.running:
            self.verdict(False, facts or ['no verdict came'])
        elif facts and not missing:
            self.verdicts['end'] = (False, 0.0, facts)
        for case in missing:
            self.verdicts[case] = (False, 0.0, facts or ['was not run'])
            facts = [f'not run: {why or "nobody knows why"}']
        return self.verdicts


def command(machine, initrd, console, accel, show, disk):
    kernel = ' '.join(ALWAYS_KERNEL + machine.kernel + (['pgmap.show'] if show else []))
    qemu = [word.replace('FILE', disk) for word in machine.qemu]
    return [QEMU, '-accel', accel, *ALWAYS_QEMU, *qemu, '-kernel', image.kernel_file(image.fetch()), '-initrd', initrd,
            '-append', kernel, '-serial', f'file:{console}', '-serial', 'stdio']


def tail(path, lines=40):
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return [f'console: {line.rstrip()}' for line in file.readlines()[-lines:]]
    except OSError:
        return []


def follow(process, report, deadline, kill):
    """Read the guest's lines until it closes the line or the time is up. Why it is not well, or ''. kill: it does not end by
    itself, but is killed with its last line."""
    pending = b''
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                return 'no end in the time that it had'
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                break
            *whole, pending = (pending + data).split(b'\n')
            for line in whole:
                report.line(line.decode(errors='replace').rstrip('\r'))
            if kill and report.ended is not None:
                process.kill()
                return ''
    try:
        code = process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return 'no end in the time that it had'
    return f'{QEMU} ended with {code}' if code else ''


def run_command(cases, argv, console, seconds, show=None, kill=False):
    """Run this qemu; the verdicts on these cases."""
    report = Report(cases, show)
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        except OSError as error:
            return report.close(f'{argv[0]}: {error.strerror}', [])
        with process:
            why = follow(process, report, time.monotonic() + seconds, kill)
            process.kill()
        errors.seek(0)
        said = [f'qemu: {line}' for line in errors.read().decode(errors='replace').splitlines()]
    return report.close(why, said + tail(console))


def run(machine, build, seconds, accel='tcg', show=None):
    """Boot it with the programs of this build tree; the verdicts. show: called with each line that a case says, as it comes."""
    with tempfile.TemporaryDirectory(prefix='pgmap-vm-') as folder:
        initrd, console = f'{folder}/initrd', f'{folder}/console'
        programs = [os.path.join(build, program) for program in machine.programs]
        disk = f'{folder}/disk'
        with open(disk, 'wb') as file:
            file.truncate(int(machine.disk[0]) << 20 if machine.disk else 0)
        verdicts, boots = {}, machine.boots()
        for boot, cases in enumerate(boots, 1):
            kill = boot < len(boots)
            texts = {'machine': machine.text.encode(), 'cases': ' '.join(cases).encode()}
            if kill:
                texts['killed'] = b''
            image.initramfs(initrd, image.fetch(), programs, texts)
            argv = command(machine, initrd, console, accel, show, disk)
            verdicts.update(run_command(cases, argv, console, seconds, show, kill))
        return verdicts
