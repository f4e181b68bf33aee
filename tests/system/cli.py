# SPDX-License-Identifier: BSD-3-Clause
"""cli - what the tests of the command share: a server of their own, and the shape that every error must have.

A test file defines functions named test_*; cli.main() runs each with a fresh Pool, and fails when one of them does.
PGMAP is the program.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

PGMAP = os.environ['PGMAP']
MIB = 1 << 20


def run(*args, code=0, stdin=subprocess.DEVNULL, data=None, env=None):
    """Run pgmap with args. The exit code must be this one; a failure must be exactly one line, a success silent."""
    kind = {'input': data} if data is not None else {'stdin': stdin}
    done = subprocess.run([PGMAP, *args], capture_output=True, timeout=120, check=False, env={**os.environ, **(env or {})}, **kind)
    errors = done.stderr.decode(errors='replace')
    assert done.returncode == code, f'{args}: exit code {done.returncode}, not {code}: {errors}'
    if code:
        assert errors.count('\n') == 1 and errors.endswith('\n'), f'{args}: not one line: {errors!r}'
    return done.stdout, errors


def json_of(pool, *args):
    return json.loads(pool.run(*args, '-j')[0])


class Pool:
    """A server on a socket of its own, in the foreground, as a child."""

    def __init__(self, device='memfd:size=64M,page=4K'):
        self.dir = tempfile.mkdtemp(prefix='pgmap-cli-')
        self.socket = f'{self.dir}/sock'
        self.server = None
        self.start(device)

    def start(self, device='memfd:size=64M,page=4K'):
        ready, told = os.pipe()
        self.server = subprocess.Popen([PGMAP, 'serve', '--quiet', '--device', device, '--socket', self.socket,
                                        '--ready-fd', str(told)], pass_fds=(told,))
        os.close(told)
        assert os.read(ready, 1) == b'\0', 'the server did not start'
        os.close(ready)

    def run(self, *args, **kind):
        return run('--socket', self.socket, *args, **kind)

    def info(self):
        return json_of(self, 'info')

    def path(self, name):
        return f'{self.dir}/{name}'

    def write(self, name, size):
        """A file of this size whose every part differs."""
        data = os.urandom(size)
        with open(self.path(name), 'wb') as file:
            file.write(data)
        return self.path(name), data

    def end_server(self):
        if self.server.poll() is None:
            self.server.kill()
        self.server.wait()

    def end(self):
        self.end_server()
        shutil.rmtree(self.dir)


def main(tests):
    failed = 0
    for name, test in list(tests.items()):
        if not name.startswith('test_'):
            continue
        pool = Pool()
        try:
            test(pool)
            print(f'ok    {name}', flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f'FAIL  {name}\n{traceback.format_exc()}', flush=True)
        finally:
            pool.end()
    sys.exit(1 if failed else 0)
