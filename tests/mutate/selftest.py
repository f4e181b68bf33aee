#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""selftest - the negative control of mutate.py: a stale result, a wrong verdict and a survivor without a proof fail, and
operators.py makes what it says. Nothing is built: what a mutant does is planted here."""
import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import harness
import mutate
import operators

SAMPLE = '''
static int f(int a, const char *b)
{
	int c = a;
	if (a < 3 && b)
		return -EINVAL;
	for (c = 0; c < a; c++)
		g(c);
	return h(c) ? 0 : -EBUSY;
}
static bool t(void)
{
	return true;
}
'''
SAMPLE_MUTANTS = {
    'f:never:1': 'if (((void)(a < 3 && b), 0))', 'f:always:1': 'if (((void)(a < 3 && b), 1))', 'f:left:1': 'if (1 && b)',
    'f:right:1': 'if (a < 3 && 1)', 'f:compare:1': 'if (a <= 3 && b)', 'f:errno:1': 'return -EDOM;',
    'f:never:2': 'for (c = 0; ((void)(c < a), 0); c++)', 'f:compare:2': 'for (c = 0; c <= a; c++)', 'f:drop:1': '\t\t;\n',
    'f:never:3': 'return ((void)(h(c)), 0) ? 0', 'f:always:2': 'return ((void)(h(c)), 1) ? 0', 'f:errno:2': '0 : -EDOM;',
    't:flip:1': 'return false;',
}


class Planted:
    """A workplace in which each mutant has the verdict that was planted."""

    def __init__(self, verdicts):
        self.verdicts, self.texts, self.first = verdicts, {}, {}

    def baseline(self, checks=None):
        pass

    def try_mutant(self, file, text, checks=None, first=None):
        verdict = self.verdicts[self.texts[file, text]]
        self.first[self.texts[file, text]] = first
        return verdict if checks is None or verdict[1] in ('-', *checks) else ('survives', '-')


class Operators(unittest.TestCase):
    def test_each_operator_makes_its_mutants_and_no_other(self):
        made = {m.id[len('x.c:'):]: operators.apply(SAMPLE, m) for m in operators.mutants_of('x.c', SAMPLE)}
        self.assertEqual(sorted(made), sorted(SAMPLE_MUTANTS))
        for name, part in SAMPLE_MUTANTS.items():
            self.assertIn(part, made[name])

    def test_mutants_of_the_core_are_all_different(self):
        for name, text in mutate.core_files(mutate.ROOT).items():
            texts = [operators.apply(text, m) for m in operators.mutants_of(name, text)]
            self.assertEqual(len(texts), len(set(texts)), name)
            self.assertNotIn(text, texts)


class Ten(unittest.TestCase):
    """`ten`, on a result and survivors of our own."""

    def setUp(self):
        self.files = mutate.core_files(mutate.ROOT)
        self.mutants = mutate.all_mutants(self.files)
        self.names = list(self.mutants)
        self.truth = {name: ('caught', 'core_claim') for name in self.names}
        self.survivor = self.names[7]
        self.truth[self.survivor] = ('survives', '-')
        self.folder = pathlib.Path(self.enterContext_(tempfile.TemporaryDirectory()))
        self.was = mutate.RESULT, mutate.SURVIVORS, harness.make_workplaces
        mutate.RESULT, mutate.SURVIVORS = self.folder / 'result.txt', self.folder / 'survivors.txt'
        self.place = place = Planted(dict(self.truth))
        place.texts = {(file, text): name for name, (file, text, _) in self.mutants.items()}
        harness.make_workplaces = lambda *_: [place]
        self.write(self.truth, [self.survivor])

    def enterContext_(self, context):
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def tearDown(self):
        mutate.RESULT, mutate.SURVIVORS, harness.make_workplaces = self.was

    def write(self, verdicts, survivors, files=None):
        mutate.SURVIVORS.write_text(''.join(f'{name}\n    A proof.\n' for name in survivors))
        mutate.write_result(files or self.files, self.mutants, verdicts)

    def run_ten(self, chosen=None):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = mutate.ten(self.folder, self.files, self.mutants, 1, chosen)
        return status, out.getvalue()

    def expect_failure(self, words, chosen=None):
        status, said = self.run_ten(chosen)
        self.assertEqual(status, 1)
        self.assertIn(words, said)

    def test_the_truth_is_right(self):
        status, said = self.run_ten()
        self.assertEqual(status, 0, said)
        self.assertEqual(said.count('\n'), 11)
        self.assertEqual(self.run_ten(self.names[5:9])[0], 0)

    def test_a_result_of_other_sources_is_stale(self):
        self.write(self.truth, [self.survivor], {**self.files, 'core/claim.c': self.files['core/claim.c'] + '\n'})
        self.expect_failure('stale')

    def test_a_result_of_other_mutants_is_stale(self):
        for gone in (self.names[0], self.names[-1]):
            self.write({name: v for name, v in self.truth.items() if name != gone}, [self.survivor])
            self.expect_failure('stale')

    def test_a_survivor_without_a_proof_fails(self):
        self.write(self.truth, [])
        self.expect_failure('do not name the same survivors')
        self.write({**self.truth, self.names[3]: ('survives', '-')}, [self.survivor])
        self.expect_failure('do not name the same survivors')

    def test_a_wrong_verdict_fails(self):
        self.write({**self.truth, self.names[3]: ('no-compile', '-')}, [self.survivor])
        self.expect_failure('is listed as no-compile, and is: caught', self.names[2:5])
        self.write({**self.truth, self.survivor: ('caught', 'core_word')}, [])
        self.expect_failure('is listed as caught, and is: survives', self.names[5:9])
        self.write({**self.truth, self.names[3]: ('survives', '-')}, [self.survivor, self.names[3]])
        self.expect_failure('is listed as survives, and is: caught', self.names[2:5])

    def test_another_check_than_the_listed_one_may_find_it(self):
        self.write({**self.truth, self.names[3]: ('caught', 'core_word:hangs')}, [self.survivor])
        self.assertEqual(self.run_ten(self.names[2:5])[0], 0)

    def test_a_full_run_begins_with_what_found_it_last_time(self):
        listed = {**self.truth, self.names[3]: ('caught', 'core_word:hangs')}
        del listed[self.names[4]]
        self.write(listed, [self.survivor])
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(mutate.full(self.folder, self.files, self.mutants, 1, {}), 0)
        self.assertEqual([self.place.first[name] for name in self.names[2:5]], ['core_claim', 'core_word', None])
        self.assertEqual(mutate.read_result()[1], self.truth)

    def test_the_commit_chooses(self):
        was, said = mutate.commit_hash, []
        for commit in ('a', 'b', 'a'):
            mutate.commit_hash = lambda _, commit=commit: commit
            said.append(self.run_ten()[1].splitlines()[1:])
        mutate.commit_hash = was
        self.assertEqual(said[0], said[2])
        self.assertNotEqual(said[0], said[1])


class Hangs(unittest.TestCase):
    """A check that hangs: how often it is run, and with which limits."""

    def limits_of(self, status, **how):
        limits, place, was = [], harness.Workplace.__new__(harness.Workplace), harness.run
        place.folder, place.patience, place.seconds, place.prepare = None, mutate.PATIENCE, {'core_x': 2.0}, lambda _: [['x']]

        def run(command, cwd, *times):
            limits.append(times)
            return status, 1.0, ''

        harness.run = run
        try:
            self.assertEqual(place.run_check('core_x', **how), '' if status == 0 else status)
        finally:
            harness.run = was
        return limits

    def test_what_is_known_to_find_the_mutant_has_the_usual_time_and_no_second_chance(self):
        self.assertEqual(self.limits_of('hangs', doubt=False), [harness.time_limits(2.0, 1)])

    def test_in_doubt_a_hang_is_one_that_happens_twice(self):
        self.assertEqual(self.limits_of('hangs'), [harness.time_limits(seconds, mutate.PATIENCE) for seconds in (2.0, 10.0)])
        self.assertEqual(self.limits_of(0), [harness.time_limits(2.0, mutate.PATIENCE)])


class Complaints(unittest.TestCase):
    def test_survivors_are_those_that_are_listed(self):
        mutants = {name: ('', '', 'what') for name in 'abc'}
        verdicts = {'a': ('survives', '-'), 'b': ('caught', 'x'), 'c': ('survives', '-')}
        said = list(mutate.complaints(verdicts, mutants, {'a': 'proof', 'b': 'proof', 'd': 'proof'}, True))
        self.assertEqual([line.split()[0] for line in said], ['b', 'c', 'survivors.txt:'])


class Program(unittest.TestCase):
    def test_a_changed_source_makes_the_real_result_stale(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            harness.snapshot(mutate.ROOT, root)
            (root / 'tests/mutate').mkdir()
            for path in mutate.HERE.iterdir():
                if path.is_file():
                    (root / 'tests/mutate' / path.name).write_bytes(path.read_bytes())
            with open(root / 'src/core/word.h', 'a', encoding='utf-8') as file:
                file.write('/* planted */\n')
            done = subprocess.run([sys.executable, root / 'tests/mutate/mutate.py', 'ten'], stdout=subprocess.PIPE, text=True,
                                  check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('result.txt is stale', done.stdout)


if __name__ == '__main__':
    unittest.main()
