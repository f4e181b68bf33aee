#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""man - each public symbol has a man page that names every error that its header names, says from which threads it may be
called, and is installed:
man.py LIBRARY BUILD-FOLDER HEADER...

The headers are read here in another way than docs/man/pages.py reads them: backwards from each symbol's declaration.
"""
import json
import os
import re
import subprocess
import sys

ERRNO = re.compile(r'-(E[A-Z0-9]+)\b')
REQUESTS = {'.TH', '.SH', '.PP', '.TP', '.BR', '.RS', '.RE', '.nf', '.fi', '.so'}


def exported(library):
    """What the symbol map lets out of the library."""
    out = subprocess.run(['nm', '-D', '--defined-only', library], capture_output=True, text=True, check=True).stdout
    names = {line.split()[2].split('@')[0] for line in out.splitlines() if re.match(r'\S+ [TWDBR] ', line)}
    return {name for name in names if not name.startswith('PGMAP_')}


def errors_of(symbol, headers):
    """The errors in the comment before a symbol's declaration, with nothing but declarations between, and behind it."""
    for text in headers:
        match = re.search(rf'^[a-z][^\n;/]*\b{symbol}\([^;]*;([ \t]*/\*.*?\*/)?', text, re.M | re.S)
        if not match:
            continue
        before = text[:match.start()].rsplit('\n\n', 1)[-1]
        comments = re.findall(r'^/\*.*?\*/$', before, re.M | re.S)
        return set(ERRNO.findall((comments[-1] if comments else '') + (match.group(1) or '')))
    return None


def whole_page(symbol, pages):
    """A page's text; that of the page that it leads to."""
    text = pages.get(f'{symbol}.3', '')
    match = re.fullmatch(r'\.so man3/(\S+)\n', text)
    return pages.get(match.group(1), '') if match else text


def faults(symbols, pages, headers, installed):
    """What is wrong, a line each."""
    for symbol in sorted(symbols):
        text, wanted = whole_page(symbol, pages), errors_of(symbol, headers)
        if not text:
            yield f'{symbol}: no page'
            continue
        if wanted is None:
            yield f'{symbol}: in no header'
            continue
        name = re.search(r'^\.SH NAME\n(.*?) \\- \S', text, re.M)
        if not name or symbol not in name.group(1).split(', '):
            yield f'{symbol}: its page does not have it under NAME'
        if not re.search(rf'^\S.*\b{symbol}\(.*\);$', text, re.M):
            yield f'{symbol}: its page does not say how it is called'
        if not re.search(r'^Thread safety: \S', text, re.M):
            yield f'{symbol}: its page does not say from which threads it may be called'
        for error in sorted(wanted - set(ERRNO.findall(text.replace('\\-', '-')))):
            yield f'{symbol}: its page does not name {error}'
    for page in sorted(pages):
        if page.endswith('.3') and page[:-2] not in symbols:
            yield f'{page}: a page of nothing'
        if page not in installed:
            yield f'{page}: is not installed'
        for line in pages[page].splitlines():
            if line and line[0] in ".'" and line.split(' ')[0] not in REQUESTS:
                yield f'{page}: no request of man(7): {line}'


def self_test(symbols, pages, headers, installed):
    """Each fault that can be planted is found."""
    some = 'pgmap_drain'
    page = pages[f'{some}.3']
    for planted in ({f'{some}.3': ''}, {f'{some}.3': page.replace('ETIMEDOUT', 'EIO')}, {'pgmap_bogus.3': page},
                    {f'{some}.3': page.replace(f'{some},', '').replace(f'{some} \\-', 'other \\-')},
                    {f'{some}.3': page.replace(f'{some}(', 'other(')}, {f'{some}.3': page + '.bogus\n'},
                    {f'{some}.3': page.replace('\nThread safety: ', '\nThreads: ')}):
        if not list(faults(symbols, {**pages, **planted}, headers, installed | set(planted))):
            yield f'planted, and not found: {list(planted)}'
    if not list(faults(symbols | {'pgmap_bogus'}, pages, headers, installed)):
        yield 'planted, and not found: a symbol without a page'
    if not list(faults(symbols, pages, headers, installed - {f'{some}.3'})):
        yield 'planted, and not found: a page that is not installed'


def main():
    library, build, *paths = sys.argv[1:]
    folder = f'{build}/docs/man'
    pages = {}
    for name in os.listdir(folder):
        if re.search(r'\.[37]$', name):
            with open(f'{folder}/{name}', encoding='utf-8') as file:
                pages[name] = file.read()
    headers = []
    for path in paths:
        with open(path, encoding='utf-8') as file:
            headers.append(file.read())
    plan = subprocess.run(['meson', 'introspect', '--installed', build], capture_output=True, text=True, check=True).stdout
    installed = {os.path.basename(path) for path in json.loads(plan).values()
                 if re.search(r'/man/man\d/[^/]+\.\d$', path) and f'/man{path[-1]}/' in path}
    symbols = exported(library)
    found = [*faults(symbols, pages, headers, installed), *self_test(symbols, pages, headers, installed)]
    found += [f'{page}: is not installed' for page in ('pgmap.1', 'pgmapd.8') if page not in installed]
    print('\n'.join(found) or f'{len(symbols)} symbols')
    return 1 if found or not symbols else 0


if __name__ == '__main__':
    sys.exit(main())
