#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""run - the cases that need a kernel of their own: run.py [--build DIR] [--list] [MACHINE]...

Boots each machine of machines/ under qemu, one after the other, and says "ok NAME SECONDS" or "FAIL NAME SECONDS" for each
case, with the log of what failed in lines that begin with "| ". The machine `control` is there to fail: its cases are told
apart from others' by what must become of them. Exit code 0: all is as it should be.
"""
import argparse
import os
import sys

sys.dont_write_bytecode = True
import image
import machine

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def machines():
    return [name[:-3] for name in sorted(os.listdir(f'{HERE}/machines')) if name.endswith('.sh')]


def say(name, passed, seconds, log):
    print(f'{"ok  " if passed else "FAIL"} {name} {seconds:.1f}', flush=True)
    if not passed:
        for line in log:
            print(f'| {line}')


def show(line):
    print(line, flush=True)


def control(one, verdicts):
    """The same verdicts the other way round: a case called ok_... must have passed, each other one must have failed."""
    wanted = {case: case.startswith('ok_') for case in one.cases}
    return {case: (passed == wanted.get(case, True), seconds, log or ['it passed, and had to fail'])
            for case, (passed, seconds, log) in verdicts.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', default=f'{ROOT}/build/release', metavar='DIR', help='where the programs are')
    parser.add_argument('--seconds', type=int, default=600, help='how long a machine may take')
    parser.add_argument('--accel', default='tcg', help="qemu's accelerator (tcg, which is everywhere)")
    parser.add_argument('--show', action='store_true', help='what the cases say, as it comes, and no more than that')
    parser.add_argument('--list', action='store_true', help='name machines and cases')
    parser.add_argument('machine', nargs='*', help='only these')
    options = parser.parse_args()
    failed = False
    for name in options.machine or machines():
        if name not in machines():
            parser.error(f'no machine {name}; there are: {" ".join(machines())}')
        one = machine.Machine(f'{HERE}/machines/{name}.sh')
        if options.list:
            print('\n'.join(f'{name}/{case}' for case in one.cases))
            continue
        try:
            verdicts = machine.run(one, options.build, options.seconds, options.accel, show if options.show else None)
        except (image.ImageError, OSError) as error:
            verdicts = {'image': (False, 0.0, [str(error)])}
        for case, verdict in (control(one, verdicts) if name == 'control' else verdicts).items():
            if not options.show or not verdict[0]:
                say(f'{name}/{case}', *verdict)
            failed = failed or not verdict[0]
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
