# SPDX-License-Identifier: BSD-3-Clause
"""run.py fuzz|find|replay PROGRAM: the fuzzer for $FUZZ_SECONDS (60); the same in a build with a planted bug, which it must
find from nothing; or each seed, and each input that once found something (found/), once and without libFuzzer.

What fuzz finds is kept beside the program, and said: once the bug is fixed, the file goes to found/ under a name that says what.
"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = ['', 'hello', 'open', 'close', 'fstat', 'truncate', 'map', 'open_map', 'unmap', 'stat', 'unlink', 'rename', 'mkdir', 'rmdir',
         'readdir', 'info', 'who', 'fence', 'drain', 'drain_cancel', 'lease', 'punch', 'order', 'await', 'devices', 'lost', 'repair', 'verify', 'device_add', 'device_remove', 'device_cancel']
ACTS = {'request': 0, 'garbage': 131, 'lie': 132, 'write': 133, 'pin': 134, 'scribble': 135, 'leave': 136, 'die': 137,
        'close_fd': 128, 'poor': 129}
NUMBERS = {'0': 0, '4K': 3, '64K': 7, '256K': 8, '1M': 11, 'max': 24}
RW, LOCAL, REMOTE, BACK = 3, 0, 1, 2


def act(name, who=0, flags=0, handle=1, offset=0, length='64K', prot=RW, path=0, path2=1, timeout=0, lie=0, value=(7, 0, 0, 0)):
    """A record of fuzz.h. A name that is no act is a request's."""
    kind = name if name in ACTS else 'request'
    kind_of_request = TYPES.index(name) if name in TYPES else TYPES.index('info')
    return bytes([ACTS[kind], who, kind_of_request, flags, handle, offset, NUMBERS[length], prot, path, path2, timeout, lie, *value])


def seeds():
    """{name: records}: a few lives of clients, from which the fuzzer begins."""
    made = act('open_map', flags=1)
    return {
        'life': [made, act('write'), act('pin', prot=LOCAL), act('info'), act('who'), act('pin', prot=LOCAL | BACK), act('unmap'),
                 act('unlink')],
        'files': [act('mkdir', path=3), act('open', path=4, flags=1), act('truncate'), act('map'), act('fstat'), act('unmap'),
                  act('close'), act('rename', path=4, path2=0), act('readdir', path=8), act('rmdir', path=3), act('stat')],
        'two': [made, act('open_map', who=1), act('write', who=1), act('unlink'), act('open_map', flags=1, length='1M', path=1),
                act('unmap', who=1), act('die', who=1), act('open_map', flags=5, length='256K', path=1)],
        'dies': [made, act('write'), act('pin', prot=REMOTE), act('die'), act('who', who=1), act('unlink', who=1),
                 act('open_map', who=1, flags=1, length='1M', path=2)],
        'forks': [made, act('lease', flags=3), act('unmap', flags=1), act('unlink'), act('open_map', flags=1, length='1M', path=1),
                  act('close_fd', handle=0), act('leave'), act('close_fd', handle=1), act('who', who=1)],
        'drains': [made, act('drain', who=1, timeout=255), act('open_map', who=2, flags=1, path=1), act('pin', prot=LOCAL),
                   act('drain_cancel', who=2), act('unmap'), act('drain', who=1), act('info', who=2)],
        'takes': [made, act('open', who=1), act('punch', who=1, flags=1, timeout=255), act('await', who=2), act('open_map', who=3),
                  act('unlink', flags=2), act('unmap'), act('truncate', who=1, flags=1, length='0', timeout=0), act('await', who=1, handle=1),
                  act('unlink', who=4, flags=1, timeout=127), act('close', who=1), act('await', who=4, handle=4)],
        'devices': [act('devices'), act('device_add', path=0), act('device_remove', timeout=255), made, act('device_remove', handle=0),
                    act('device_cancel', handle=0), act('who', flags=1, handle=0), act('unmap')],
        'lies': [made, act('lie', lie=1), act('garbage', who=1, length='256K'), act('scribble', length='max', value=(255, 255, 255, 255)),
                 act('unmap'), act('poor', lie=1), act('garbage', who=2)],
    }


def write_seeds(folder):
    for name, records in seeds().items():
        with open(f'{folder}/{name}', 'wb') as file:
            file.write(b''.join(records))


def libfuzzer(program, corpus, kept, seconds):
    env = {**os.environ, 'ASAN_OPTIONS': 'detect_leaks=1:abort_on_error=1:allocator_may_return_null=1',
           'UBSAN_OPTIONS': 'print_stacktrace=1:halt_on_error=1'}
    command = ['setarch', '-R', program, '-max_len=2048', f'-max_total_time={seconds}', '-timeout=20', '-rss_limit_mb=2048',
               '-print_final_stats=1', f'-artifact_prefix={kept}/', corpus]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace', check=False)
    return done.returncode, done.stdout


def main():
    mode, program = sys.argv[1:]
    seconds = int(os.environ.get('FUZZ_SECONDS') or 60)
    with tempfile.TemporaryDirectory(prefix='pgmap-fuzz-') as work:
        corpus = f'{work}/corpus'
        os.mkdir(corpus)
        if mode == 'find':
            # It ends when it has found it, after half a minute or so; but it is a search, and one in ten takes more than a whole one.
            code, said = libfuzzer(program, corpus, work, 600)
            print(said[-6000:])
            # By name: the memory's bug; or a page that is another's, or free (and so missing in the sum) while it is held.
            names = ('heap-use-after-free', 'fuzz: found: page', 'fuzz: found: used')
            found = code and any(name in said for name in names)
            print('the planted bug was ' + ('found' if found else 'not found'))
            return 0 if found else 1
        write_seeds(corpus)
        for name in sorted(set(os.listdir(f'{HERE}/found')) - {'README.md'}):
            shutil.copy(f'{HERE}/found/{name}', corpus)
        if mode == 'replay':
            return subprocess.run([program, corpus], check=False).returncode
        kept = os.path.dirname(os.path.abspath(program))
        code, said = libfuzzer(program, corpus, kept, seconds)
        print(said[-8000:])
        if code:
            print(f'the input is kept in {kept}')
        return code


if __name__ == '__main__':
    sys.exit(main())
