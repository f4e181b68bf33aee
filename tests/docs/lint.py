#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""lint - the man pages are good roff, and each command has one that is installed: lint.py PGMAP BUILD-FOLDER

They are looked at as they are installed: a page that leads to another one names it from the folder above both.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

# Pages carry no date, so that two builds are the same bytes; .so is how a page leads to another one.
MEANT = re.compile(r'missing date|\.so is fragile|missing manual title, using ""')


def lint(folder, page):
    """What mandoc has to say about a page, that is not meant to be so."""
    done = subprocess.run(['mandoc', '-T', 'lint', '-W', 'warning', page], cwd=folder, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines() + done.stderr.splitlines()
    found = [line for line in lines if re.search(r': (WARNING|ERROR|UNSUPP|FATAL|SYSERR)', line)]
    return [line for line in found if not MEANT.search(line)]


def lay_out(build, plan, folder):
    pages = []
    for built, installed in plan.items():
        match = re.search(r'/(man\d)/([^/]+\.\d)$', installed)
        if match:
            os.makedirs(f'{folder}/{match.group(1)}', exist_ok=True)
            shutil.copy(built, f'{folder}/{match.group(1)}/{match.group(2)}')
            pages.append(f'{match.group(1)}/{match.group(2)}')
    return sorted(pages)


def self_test(folder):
    os.makedirs(f'{folder}/man1', exist_ok=True)
    for text in ('.TH X 1 ""\n.SH NAME\nx \\- y\n.bogus\n', '.TH X 1 ""\n.SH NAME\nx \\- y\n.SH A\n.PP\nb\n', '.so man3/none.3\n'):
        with open(f'{folder}/man1/planted.1', 'w', encoding='utf-8') as file:
            file.write(text)
        if not lint(folder, 'man1/planted.1'):
            yield f'planted, and not found: {text!r}'
    os.unlink(f'{folder}/man1/planted.1')


def main():
    pgmap, build = sys.argv[1:]
    if not shutil.which('mandoc'):
        sys.exit('lint: no mandoc (scripts/deps test)')
    plan = json.loads(subprocess.run(['meson', 'introspect', '--installed', build], capture_output=True, text=True, check=True).stdout)
    with tempfile.TemporaryDirectory() as folder:
        found = list(self_test(folder))
        pages = lay_out(build, plan, folder)
        for page in pages:
            found += lint(folder, page)
    text = subprocess.run([pgmap, '--help'], capture_output=True, text=True, check=True).stdout
    commands = {f'man1/pgmap-{name}.1' for name in re.findall(r'^  ([a-z-]+) +\S', text, re.M)}
    of_commands = {page for page in pages if page.startswith('man1/pgmap-')}
    found += [f'{page}: is not installed (tools/meson.build has a list)' for page in sorted(commands - of_commands)]
    found += [f'{page}: a page of no command' for page in sorted(of_commands - commands)]
    print('\n'.join(found) or f'{len(pages)} pages')
    return 1 if found or not commands else 0


if __name__ == '__main__':
    sys.exit(main())
