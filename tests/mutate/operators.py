#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""operators - all mutants of a C source of this project, made from its tokens.

  operators.py FILE...    lists them: the id, the line, what is replaced by what

A mutant is one replacement of a piece of a function's text. Its id is FILE:FUNCTION:OPERATOR:N, N counting from 1 within
the function, so that it stays when other functions change. The operators:

  never, always  the condition of an if or of ?: is still evaluated, and its answer is taken as false, as true; that of a
                 while, a for or a do: as false only (as true it is a hang, or the same loop)
  left, right    an operand of && or || is dropped
  compare        < <= > >= shifted by one, == != turned round
  drop           a statement is dropped: a call for its effect, an assignment, an increment, a jump
  errno          an error code becomes another one (-EDOM)
  flip           return true, return false

What is no mutant, and why:
  - declarations, with their initialisers: without them nothing compiles;
  - preprocessor lines: constants, and macros that the compiler may never see;
  - constants, shifts, masks and arithmetic: they are data. Their change is found by any test that gets as far;
  - memory orders, and barriers: these are the model checker's (tests/mc), as this machine may not show the difference;
  - a return under an if with nothing else: `never` of that if is the same;
  - map_abort, state_name, and those of track.c that print: they only say what is so already. That they are called is
    tested: the calls and the ifs above them are mutants, and their tests look for the words;
  - CLAIM_RELAX says to the processor that a loop waits, assume() to the compiler what is so. (void)x: no code.
"""
import re
import sys

TOKEN = re.compile(r'''
    (?P<space>\s+|/\*.*?\*/|//[^\n]*)
  | (?P<cpp>^\#(?:[^\n]*\\\n)*[^\n]*)
  | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
  | (?P<word>[A-Za-z_]\w*)
  | (?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
  | (?P<punct>->|\+\+|--|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\.\.\.|.)
''', re.X | re.S | re.M)

EXCLUDED_FUNCTIONS = {'map_abort', 'state_name', 'base_name', 'say', 'say_frames', 'say_record', 'say_dropped'}
EXCLUDED_CALLS = {'CLAIM_RELAX', 'assume', 'LIVE_LIGHT', 'LIVE_HEAVY', 'LIVE_FENCE'}
COMPARISONS = {'<': '<=', '<=': '<', '>': '>=', '>=': '>', '==': '!=', '!=': '=='}
OPENING, CLOSING = {'(': ')', '[': ']', '{': '}'}, {')', ']', '}'}
ASSIGNMENTS = {'=', '+=', '-=', '*=', '/=', '%=', '&=', '|=', '^=', '<<=', '>>='}
TYPES = {'const', 'static', 'volatile', 'unsigned', 'signed', 'int', 'long', 'char', 'void', 'struct', 'enum', 'union', 'bool',
         '_Atomic', '_Thread_local', 'extern', 'register', 'float', 'double', 'short'}


class Token:
    def __init__(self, kind, text, start):
        self.kind, self.text, self.start, self.end = kind, text, start, start + len(text)


class Mutant:
    def __init__(self, function, operator, start, end, text):
        self.function, self.operator, self.start, self.end, self.text = function, operator, start, end, text
        self.id = None


def tokens_of(source):
    """What a compiler would see, without comments and preprocessor lines."""
    out = []
    for match in TOKEN.finditer(source):
        if match.lastgroup not in ('space', 'cpp'):
            out.append(Token(match.lastgroup, match.group(), match.start()))
    return out


def matching(tokens):
    """For each bracket its partner."""
    partner, stack = {}, []
    for i, token in enumerate(tokens):
        if token.kind == 'punct' and token.text in OPENING:
            stack.append(i)
        elif token.kind == 'punct' and token.text in CLOSING:
            j = stack.pop()
            partner[i], partner[j] = j, i
    return partner


class Parser:
    """The mutants of the functions of one source."""

    def __init__(self, source):
        self.source = source
        self.t = tokens_of(source)
        self.partner = matching(self.t)
        self.function = None
        self.mutants = []

    def text(self, i):
        return self.t[i].text if i < len(self.t) else ''

    def span(self, first, last):
        """The source from token first to token last."""
        return self.source[self.t[first].start:self.t[last].end]

    def add(self, operator, first, last, text):
        if self.function not in EXCLUDED_FUNCTIONS:
            self.mutants.append(Mutant(self.function, operator, self.t[first].start, self.t[last].end, text))

    def parse(self):
        i = 0
        while i < len(self.t):
            name = self.function_before(i) if self.text(i) == '{' else None
            if name:
                self.function = name
                self.block(i)
            if self.text(i) in OPENING:
                i = self.partner[i]
            i += 1
        return self.mutants

    def function_before(self, i):
        """The name of the function whose body begins at i, or None."""
        j, name = i - 1, None
        while j >= 0 and self.text(j) not in (';', '}'):
            if self.text(j) == '=':
                return None
            if self.text(j) == ')':
                j = self.partner[j]
                if not name and j > 0 and self.t[j - 1].kind == 'word' and self.text(j - 1) != '__attribute__':
                    name = self.text(j - 1)
            j -= 1
        return name

    # Statements. Each returns the token after it.

    def block(self, i):
        end = self.partner[i]
        i += 1
        while i < end:
            i = self.statement(i)
        return end + 1

    def statement(self, i):
        word = self.text(i)
        if word == '{':
            return self.block(i)
        if word in ('if', 'while', 'switch'):
            return self.conditional(i, word)
        if word == 'for':
            return self.for_loop(i)
        if word == 'do':
            after = self.statement(i + 1)  # at its while
            self.condition(after + 2, self.partner[after + 1] - 1, ('never',))
            return self.partner[after + 1] + 2
        if word in ('case', 'default') or (self.t[i].kind == 'word' and self.text(i + 1) == ':'):
            while self.text(i) != ':':
                i += 1
            return i + 1
        if word.endswith('FOREACH') or word.endswith('FOREACH_SAFE'):
            return self.statement(self.partner[i + 1] + 1)
        return self.simple(i)

    def conditional(self, i, word):
        close = self.partner[i + 1]
        if word != 'switch':
            self.condition(i + 2, close - 1, ('never', 'always') if word == 'if' else ('never',))
        if word == 'if' and self.text(close + 1) == 'return':
            after = self.returned(close + 1, alone=True)
        else:
            after = self.statement(close + 1)
        if word == 'if' and self.text(after) == 'else':
            after = self.statement(after + 1)
        return after

    def for_loop(self, i):
        close, at = self.partner[i + 1], i + 2
        semis = [j for j in self.level(at, close - 1) if self.text(j) == ';']
        if semis[0] + 1 < semis[1]:
            self.condition(semis[0] + 1, semis[1] - 1, ('never',))
        self.expression(at, semis[0] - 1)
        self.expression(semis[1] + 1, close - 1)
        return self.statement(close + 1)

    def condition(self, first, last, operators):
        for operator in operators:
            self.answer(operator, first, last)
        self.expression(first, last)

    def answer(self, operator, first, last):
        self.add(operator, first, last, f'((void)({self.span(first, last)}), {0 if operator == "never" else 1})')

    def simple(self, i):
        """A statement up to its semicolon."""
        end = i
        while self.text(end) != ';':
            end = self.partner[end] + 1 if self.text(end) in OPENING else end + 1
        word = self.text(i)
        if word == 'return':
            return self.returned(i, alone=False)
        if end == i:
            return end + 1
        if not self.declares(i) and word not in EXCLUDED_CALLS and not self.only_void(i, end):
            self.add('drop', i, end, ';')
        self.expression(i, end - 1)
        return end + 1

    def only_void(self, i, end):
        return self.span(i, i + 2) == '(void)' and end == i + 4

    def declares(self, i):
        if self.text(i) in TYPES or re.fullmatch(r'\w+_t', self.text(i)):
            return True
        return self.t[i].kind == 'word' and self.t[i + 1].kind == 'word'

    def returned(self, i, alone):
        """A return; `alone` under an if."""
        end = i
        while self.text(end) != ';':
            end = self.partner[end] + 1 if self.text(end) in OPENING else end + 1
        value = self.text(i + 1)
        if end == i + 1 and not alone:
            self.add('drop', i, end, ';')
        elif end == i + 2 and value in ('true', 'false'):
            self.add('flip', i + 1, i + 1, 'false' if value == 'true' else 'true')
        if end > i + 1:
            self.expression(i + 1, end - 1)
        return end + 1

    # Expressions: operators within the tokens first to last.

    def level(self, first, last):
        """The tokens of the span that stand in no bracket."""
        i = first
        while i <= last:
            yield i
            i = self.partner[i] + 1 if self.text(i) in OPENING else i + 1

    def expression(self, first, last):
        for i in range(first, last + 1):
            text = self.text(i)
            if text in COMPARISONS and self.t[i].kind == 'punct':
                self.add('compare', i, i, COMPARISONS[text])
            elif text in ('&&', '||'):
                self.operands(i, first, last)
            elif text == '?':
                self.ternary(i, first)
            elif re.fullmatch(r'E[A-Z]{3,}', text) and self.text(i - 1) == '-':
                self.add('errno', i, i, 'EDOM')

    def operands(self, i, first, last):
        """The operand to the right; the one to the left unless it is another operator's to the right."""
        mine, stops = self.text(i), {',', ';', '?', ':', '||'} | ASSIGNMENTS | ({'&&'} if self.text(i) == '&&' else set())
        start, previous = self.back(i, first, stops)
        stop = i + 1
        while stop <= last and self.text(stop) not in stops and self.text(stop) not in CLOSING:
            stop = self.partner[stop] + 1 if self.text(stop) in OPENING else stop + 1
        neutral = '1' if mine == '&&' else '0'
        if previous != mine:
            self.add('left', start, i - 1, neutral)
        self.add('right', i + 1, stop - 1, neutral)

    def ternary(self, i, first):
        start, _ = self.back(i, first, {',', ';', '?', ':'} | ASSIGNMENTS)
        for operator in ('never', 'always'):
            self.answer(operator, start, i - 1)

    def back(self, i, first, stops):
        """Where the operand that ends before i begins, and the token before it."""
        start = i
        while start > first:
            text = self.text(start - 1)
            if text in stops or text in OPENING or text == 'return':
                return start, text
            start = self.partner[start - 1] if text in CLOSING else start - 1
        return start, ''


def mutants_of(name, source):
    """All mutants, with their ids, in the order of the source."""
    mutants = sorted(Parser(source).parse(), key=lambda m: (m.start, m.end, m.operator))
    counts = {}
    for mutant in mutants:
        key = f'{name}:{mutant.function}:{mutant.operator}'
        counts[key] = counts.get(key, 0) + 1
        mutant.id = f'{key}:{counts[key]}'
    return mutants


def apply(source, mutant):
    return source[:mutant.start] + mutant.text + source[mutant.end:]


def main():
    for path in sys.argv[1:]:
        with open(path, encoding='utf-8') as file:
            source = file.read()
        for mutant in mutants_of('/'.join(path.split('/')[-2:]), source):
            line = source.count('\n', 0, mutant.start) + 1
            was = ' '.join(source[mutant.start:mutant.end].split())
            print(f'{mutant.id}  line {line}: {was}  ->  {" ".join(mutant.text.split())}')


if __name__ == '__main__':
    main()
