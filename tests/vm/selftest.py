#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""selftest - the harness's negative control without a machine: a guest that fails, hangs, says nothing, ends early, or says what
nobody asked for is never a pass. Each guest is a line of shell in qemu's place. (machines/control.sh has a real panic.)"""
import os
import re
import sys
import unittest

sys.dont_write_bytecode = True
import image
import machine
import run

CASES = ['one', 'two']
WELL = 'echo begin one; echo ok one; echo begin two; echo ok two; echo end 2'


def verdicts(script, seconds=60):
    return machine.run_command(CASES, ['sh', '-c', script], '/nonexistent', seconds)


def passed(script, **more):
    return {case: verdict[0] for case, verdict in verdicts(script, **more).items()}


class Guests(unittest.TestCase):
    def test_all_is_well(self):
        self.assertEqual(passed(WELL), {'one': True, 'two': True})

    def test_carriage_returns_of_a_serial_line(self):
        self.assertEqual(passed(f"({WELL}) | sed 's/$/\\r/'"), {'one': True, 'two': True})

    def test_a_case_fails_with_its_log(self):
        found = verdicts("echo begin one; echo '. why'; echo fail one 3; echo begin two; echo ok two; echo end 2")
        self.assertEqual([found['one'][0], found['two'][0]], [False, True])
        self.assertEqual(found['one'][2], ['why', 'exit code 3'])

    def test_says_nothing(self):
        self.assertEqual(passed('true'), {'one': False, 'two': False})

    def test_hangs_in_a_case(self):
        self.assertEqual(passed('echo begin one; echo ok one; echo begin two; exec sleep 1000', seconds=0.5), {'one': True, 'two': False})

    def test_hangs_after_the_last_line(self):
        self.assertEqual(passed(f'{WELL}; exec sleep 1000', seconds=0.5), {'one': True, 'two': True, 'end': False})

    def test_closes_the_line_and_lives_on(self):
        self.assertEqual(passed(f'{WELL}; exec >/dev/null; exec sleep 1000', seconds=0.5), {'one': True, 'two': True, 'end': False})

    def test_ends_in_a_case(self):
        self.assertEqual(passed('echo begin one; echo ok one; echo begin two'), {'one': True, 'two': False})

    def test_ends_between_two(self):
        self.assertEqual(passed('echo begin one; echo ok one'), {'one': True, 'two': False})

    def test_no_last_line(self):
        self.assertEqual(passed('echo begin one; echo ok one; echo begin two; echo ok two'), {'one': True, 'two': True, 'end': False})

    def test_wrong_number(self):
        self.assertFalse(passed(WELL.replace('end 2', 'end 1'))['end'])

    def test_says_that_it_ran_what_it_did_not(self):
        self.assertEqual(passed('echo begin one; echo ok one; echo end 2'), {'one': True, 'two': False})

    def test_a_verdict_without_a_beginning(self):
        self.assertFalse(passed('echo ok one; echo ok two; echo end 2')['one'])

    def test_a_verdict_on_another_case(self):
        self.assertFalse(passed('echo begin one; echo ok two; echo end 2')['one'])

    def test_a_second_verdict(self):
        self.assertFalse(passed(WELL.replace('echo end', 'echo fail one 1; echo end'))['end'])

    def test_broken(self):
        self.assertFalse(passed('echo broken no module; ' + WELL)['end'])

    def test_words_after_the_end(self):
        self.assertFalse(passed(WELL + '; echo begin one')['end'])

    def test_qemu_fails(self):
        self.assertFalse(passed(WELL + '; exit 1')['end'])

    def test_no_qemu(self):
        found = machine.run_command(CASES, ['/nonexistent/qemu'], '/nonexistent', 1)
        self.assertEqual([verdict[0] for verdict in found.values()], [False, False])

    def test_killed_with_its_last_line(self):
        found = machine.run_command(CASES, ['sh', '-c', f'{WELL}; exec sleep 1000'], '/nonexistent', 60, kill=True)
        self.assertEqual([verdict[0] for verdict in found.values()], [True, True])

    def test_ends_before_it_is_killed(self):
        found = machine.run_command(CASES, ['sh', '-c', 'echo begin one; echo ok one'], '/nonexistent', 60, kill=True)
        self.assertEqual([verdict[0] for verdict in found.values()], [True, False])

    def test_a_killed_machine_has_its_other_cases_in_a_second_boot(self):
        one = machine.Machine(os.path.join(machine.HERE, 'machines', 'nvdimm.sh'))
        first, second = one.boots()
        self.assertEqual(first + second, one.cases)
        self.assertEqual(first[-1:], one.killed)
        self.assertTrue(second)


class Control(unittest.TestCase):
    def test_what_must_fail_and_passes_is_a_failure(self):
        one = machine.Machine(os.path.join(machine.HERE, 'machines', 'control.sh'))
        self.assertIn('panics', one.cases)
        found = run.control(one, {case: (True, 0.0, []) for case in one.cases})
        self.assertEqual({case for case in found if found[case][0]}, {case for case in one.cases if case.startswith('ok_')})

    def test_no_image_is_a_failure_there_too(self):
        one = machine.Machine(os.path.join(machine.HERE, 'machines', 'control.sh'))
        self.assertFalse(run.control(one, {'image': (False, 0.0, ['none'])})['image'][0])


class Documents(unittest.TestCase):
    def test_each_case_that_the_list_of_upstreams_tests_names_is_there(self):
        with open(f'{run.ROOT}/docs/upstream-tests.md', encoding='utf-8') as file:
            named = re.findall(r'`([a-z]+)/(\w+)`', file.read())
        self.assertTrue(named)
        for name, case in named:
            self.assertIn(case, machine.Machine(f'{run.HERE}/machines/{name}.sh').cases, f'{name}/{case}')


class Archives(unittest.TestCase):
    def test_folders_come_before_their_files_and_once(self):
        archive = image.Archive()
        archive.add('a/b/c', b'text')
        archive.add('a/b/d', b'')
        names = [part[110:].rstrip(b'\0') for part in archive.parts if part.startswith(b'070701')]
        self.assertEqual(names, [b'a', b'a/b', b'a/b/c', b'a/b/d'])
        self.assertEqual(len(archive.bytes()) % 512, 0)


if __name__ == '__main__':
    unittest.main()
