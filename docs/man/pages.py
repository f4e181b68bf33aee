#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""pages - the man pages of the C library, from its public headers: pages.py [--list] [--out FOLDER] --version V HEADER...

The headers' comments are the one source. A block of a header ends at an empty line; in it, a comment that begins a line
is about the declarations that follow it, up to the next one; a comment behind a declaration is about that one. Functions
under one comment share a page, NAME.3 of the first; the others' pages lead to it. Each header has a page of its own,
pgmap-HEADER.7: its opening comment, its types, and what both mean for every call (thread safety, errors).

--list names the pages, one a line, and makes none. A function without a comment, or a page without a summary, is an error.
"""
import argparse
import os
import re
import sys

CLAUSES = re.compile(r'\s*\((?:clauses? )?c\d[\w., ]*\)')
ERRNO = re.compile(r'-(E[A-Z0-9]+)\b')
# "   -EINVAL  what it means        -ERANGE, -EIO  what these do": a table in a comment.
ITEM = re.compile(r'(?:^|(?<=\s{2}))((?:-E[A-Z0-9]+|0)(?:, -E[A-Z0-9]+)*)(?:\s{2,}|$)')
# Up to a full stop, colon or semicolon that is not in brackets.
SENTENCE = re.compile(r'(?:\([^)]*\)|[^(.:;]|[.:;](?=\S))*[.:;](?=\s|$)')
SUMMARY_MAX = 110
GENERAL = re.compile(r'^(Thread safety|Errors)\b')


class Function:
    def __init__(self, name, prototype, aside):
        self.name, self.prototype, self.aside = name, prototype, aside


class Page:
    """Functions that share a comment (lines without the stars), in one header."""
    def __init__(self, header, comment):
        self.header, self.comment, self.functions = header, comment, []


def bare(comment):
    """The lines of a comment, without its frame."""
    lines = comment.strip()[2:-2].split('\n')
    lines = [re.sub(r'^ \* ?', '', line).rstrip() if i else line.strip() for i, line in enumerate(lines)]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def one_line(text):
    return re.sub(r'\s+', ' ', text).strip()


class Header:
    def __init__(self, path):
        self.name = os.path.basename(path)
        self.page = 'pgmap-' + self.name.removesuffix('.h')
        with open(path, encoding='utf-8') as file:
            text = file.read()
        match = re.match(r'/\* SPDX[^\n]*\n(/\*.*?\*/)\n', text, re.S)
        if not match:
            sys.exit(f'{path}: does not begin with its licence and a comment that says what it is')
        self.opening = bare(match.group(1))
        self.types, self.pages = [], []
        for block in re.split(r'\n[ \t]*\n', text[match.end():]):
            self.read_block(block)

    def read_block(self, block):
        lines = [line for line in block.split('\n')
                 if not re.match(r'\s*(#(?!define)|extern "C"|\}$)', line) and line.strip()]
        comment, page = None, None
        types = []
        while lines:
            if lines[0].startswith('/*'):
                whole = self.take(lines, lambda text: '*/' in text)
                comment, page = bare(whole), None
                types.append(whole)
            elif lines[0].startswith('#'):
                types.append(self.take(lines, lambda text: not text.endswith('\\')))
            else:
                whole = self.take(lines, ended)
                function = as_function(whole)
                if not function:
                    types.append(whole)
                    continue
                if types and types[-1].startswith('/*'):
                    types.pop()
                if not page:
                    page = Page(self, comment or [])
                    self.pages.append(page)
                page.functions.append(function)
        if any(not text.startswith('/*') for text in types):
            self.types.append('\n'.join(types))

    @staticmethod
    def take(lines, done):
        text = lines.pop(0)
        while lines and not done(text):
            text += '\n' + lines.pop(0)
        return text


def ended(declaration):
    """A declaration has ended when its braces are closed, a semicolon is there, and so is the end of what is said of it."""
    code = re.sub(r'/\*.*?\*/', '', declaration, flags=re.S)
    return code.rstrip().endswith(';') and code.count('{') == code.count('}') and '/*' not in code


def as_function(declaration):
    code = one_line(re.sub(r'/\*.*?\*/', '', declaration, flags=re.S))
    match = re.match(r'(?!typedef|struct \w+;)[\w\s*]+?[\s*](\w+)\s*\(.*\);$', code)
    if not match or '{' in code:
        return None
    aside = re.search(r';\s*(/\*.*?\*/)\s*$', declaration, re.S)
    return Function(match.group(1), code, one_line(' '.join(bare(aside.group(1)))) if aside else '')


def roff(text):
    """A line of text as it is: no request, no escape, no hyphen in place of a minus."""
    text = text.replace('\\', '\\e').replace('-', '\\-')
    return '\\&' + text if text[:1] in ("'", '.') else text


def summary(page):
    """What stands behind the names in NAME: the comment's first sentence."""
    text = one_line(' '.join(page.comment) or page.functions[0].aside)
    text = re.sub(r'^[a-z_]+(?:, [a-z_]+)* - ', '', text)
    text = CLAUSES.sub('', text)
    text = (SENTENCE.match(text) or [text])[0].rstrip('.:;')
    return text if len(text) <= SUMMARY_MAX else text[:SUMMARY_MAX].rsplit(', ', 1)[0]


def split_tables(lines):
    """The lines of a comment without its tables of errors, and the tables' items: [errors, meaning]."""
    text, items = [], []
    table = False
    for line in lines:
        indented = line.startswith('  ')
        found = list(ITEM.finditer(line)) if indented else []
        if indented and line.strip() and (found or table):
            if not table and text and text[-1].endswith(':'):
                text[-1] += ' see RETURN VALUE AND ERRORS.'
            table = True
            if items and (not found or line[:found[0].start()].strip()):
                items[-1][1] += ' ' + line[:found[0].start() if found else None].strip()
            for i, match in enumerate(found):
                end = found[i + 1].start() if i + 1 < len(found) else None
                items.append([match.group(1), line[match.end():end].strip()])
        else:
            table = False
            text.append(line)
    return text, items


def paragraphs(lines, names):
    """Filled text; what is indented stays as it is; a line "name - ..." begins a paragraph."""
    out, literal = [], False
    for line in lines:
        indented = line.startswith('  ') and line.strip()
        if bool(indented) != literal:
            out.append('.RS\n.nf' if indented else '.fi\n.RE')
            literal = bool(indented)
        begin = re.match(r'((?:[a-z_0-9]+, )*[a-z_0-9]+) - (.*)', line)
        if begin and begin.group(1).split(', ')[0] in names:
            out.append('.PP\n\\fB' + roff(begin.group(1)) + '\\fR: ' + roff(begin.group(2)).removeprefix('\\&'))
        elif line.strip():
            out.append(roff(line.rstrip() if indented else line.strip()))
        else:
            out.append('.PP')
    if literal:
        out.append('.fi\n.RE')
    return out


def general(header, headers):
    """What the opening comment says of every call; where it leads to another header's, that too."""
    found, inside = [], False
    for line in header.opening:
        if GENERAL.match(line):
            found.append([])
            inside = True
        inside = inside and bool(line.strip())
        if inside:
            found[-1].append(line)
    text = [one_line(' '.join(lines)) for lines in found]
    for other in headers:
        if other is not header and any(f'see {other.name}' in line for line in text[:len(found)]):
            text += general(other, headers)
    return [re.sub(r'\bsee (\w+)\.h\b', r'see pgmap-\1(7)', line) for line in text]


def section_errors(page, items):
    named = [name for errors, _ in items for name in ERRNO.findall(errors)]
    said = ' '.join([*page.comment, *(function.aside for function in page.functions)])
    rest = list(dict.fromkeys(name for name in ERRNO.findall(said) if name not in named))
    if not items and not rest:
        return []
    out = ['.SH RETURN VALUE AND ERRORS']
    for errors, meaning in items:
        out += ['.TP', '\\fB' + roff(errors).removeprefix('\\&') + '\\fR', roff(one_line(meaning)) or 'see above']
    if rest:
        out += (['.PP'] if items else []) + ['When: see above:', '.BR ' + ' ", " '.join(roff('-' + name) for name in rest) + ' .']
    return out


def man_head(name, section, version):
    return [f'.TH {name.upper()} {section} "" "pgmap {version}" "pgmap Manual"', '.SH NAME']


def man_page(page, headers, known, version):
    names = [function.name for function in page.functions]
    text, items = split_tables(page.comment)
    out = man_head(names[0], 3, version)
    out.append(', '.join(names).replace('-', '\\-') + ' \\- ' + roff(summary(page)))
    out += ['.SH LIBRARY', 'libpgmap (pkg\\-config libpgmap, \\fB\\-lpgmap\\fR)', '.SH SYNOPSIS', '.nf',
            f'\\fB#include <pgmap/{page.header.name}>\\fR', '.PP']
    out += [roff(function.prototype) for function in page.functions] + ['.fi']
    about = paragraphs(text, names)
    for function in page.functions:
        if function.aside:
            about += ['.PP', f'\\fB{function.name}\\fR(): ' + roff(function.aside).removeprefix('\\&')]
    out += ['.SH DESCRIPTION', '\n'.join(about).removeprefix('.PP\n')]  # a section begins a paragraph by itself
    out += section_errors(page, items)
    common = general(page.header, headers)
    if common:
        out.append('.SH THREAD SAFETY AND ERRORS OF ALL CALLS')
        for i, line in enumerate(common):
            out += (['.PP'] if i else []) + [roff(line)]
    said = ' '.join([*page.comment, *(function.aside for function in page.functions)])
    also = [name for name in dict.fromkeys(re.findall(r'\b([a-z_0-9]+)\(\)', said)) if name in known and name not in names]
    out += ['.SH SEE ALSO', ', '.join([*(f'\\fB{name}\\fR(3)' for name in also), f'\\fB{roff(page.header.page)}\\fR(7)'])]
    return '\n'.join(out) + '\n'


def literal(text):
    return ['.nf', *(roff(line) for line in text.expandtabs(8).split('\n')), '.fi']


def header_page(header, version):
    first = re.match(r'\S+\.h - (.*)', ' '.join(header.opening))
    if not first:
        sys.exit(f'{header.name}: its opening comment does not begin with "{header.name} - what it is"')
    about = re.split(r'[.:](?:\s|$)', first.group(1))[0]
    out = man_head(header.page, 7, version)
    out += [roff(header.page) + ' \\- ' + roff(about), '.SH SYNOPSIS', f'\\fB#include <pgmap/{header.name}>\\fR',
            '.SH DESCRIPTION', *literal('\n'.join(header.opening))]
    if header.types:
        out.append('.SH TYPES AND CONSTANTS')
        for i, text in enumerate(header.types):
            out += (['.PP'] if i else []) + literal(text)
    names = [function.name for page in header.pages for function in page.functions]
    out += ['.SH SEE ALSO', ', '.join(f'\\fB{name}\\fR(3)' for name in names)]
    return '\n'.join(out) + '\n'


def faults(headers):
    for header in headers:
        for page in header.pages:
            name = page.functions[0].name
            if not page.comment and not all(function.aside for function in page.functions):
                yield f'{header.name}: {name}: no comment says what it does'
            elif not summary(page):
                yield f'{header.name}: {name}: its comment does not begin with a sentence'


def pages(headers, version):
    """Names of files, and what is in them."""
    known = {function.name for header in headers for page in header.pages for function in page.functions}
    for header in headers:
        yield f'{header.page}.7', header_page(header, version)
        for page in header.pages:
            yield f'{page.functions[0].name}.3', man_page(page, headers, known, version)
            for function in page.functions[1:]:
                yield f'{function.name}.3', f'.so man3/{page.functions[0].name}.3\n'


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--list', action='store_true', help='only the names of the pages')
    parser.add_argument('--out', default='.', help='the folder that they go to')
    parser.add_argument('--version', default='', help='of the library')
    parser.add_argument('--section', help='only this one')
    parser.add_argument('headers', nargs='+')
    options = parser.parse_args()
    headers = [Header(path) for path in options.headers]
    wrong = list(faults(headers))
    if wrong:
        sys.exit('\n'.join(wrong))
    for name, text in pages(headers, options.version):
        if options.section and not name.endswith('.' + options.section):
            continue
        if options.list:
            print(name)
            continue
        with open(os.path.join(options.out, name), 'w', encoding='utf-8') as file:
            file.write(text)
    return 0


if __name__ == '__main__':
    sys.exit(main())
