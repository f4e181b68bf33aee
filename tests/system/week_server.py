#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""week_server - Ctrl-C in the server's terminal, with clients attached: it drains, and says whom it waits for.

The server has a terminal of its own (a pty) as its controlling one; what is typed there is a signal to all in its foreground.
"""
import errno
import os
import pty
import re
import signal
import tempfile

import cli
import pylib

SIZE = 16 * pylib.PAGE
CTRL_C = b'\x03'


class Terminal:
    """A terminal, and in it a server, with a client beside it where that is asked for. It ends with both."""
    def __init__(self, with_client=False):
        self.folder = tempfile.TemporaryDirectory(prefix='pgmap-tty-')
        self.socket = f'{self.folder.name}/s'
        ready, told = os.pipe()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.close(ready)
            leader(self.socket, told, with_client)
        os.close(told)
        assert os.read(ready, 1) == b'\0', self.said()
        assert not with_client or os.read(ready, 1) == b'c'
        os.close(ready)
        self.text = b''

    def type(self, text):
        os.write(self.fd, text)

    def read(self):
        try:
            more = os.read(self.fd, 65536)
        except OSError:  # nobody has the other end any more
            more = b''
        self.text += more
        return more

    def until(self, pattern):
        """Until this is shown."""
        while not (found := re.search(pattern, self.text)):
            assert self.read(), self.text
        return found

    def said(self):
        while self.read():
            pass
        return self.text

    def ended(self):
        """The exit codes of all in it, in the order of their start."""
        text = self.said()
        os.waitpid(self.pid, 0)
        os.close(self.fd)
        assert not os.path.exists(self.socket), text
        self.folder.cleanup()
        return [int(code) for code in re.search(rb'codes ([-\d ]+)', text).group(1).split()]


def leader(socket, told, with_client):
    """The first in the terminal: what a shell would be."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ready, server_told = os.pipe()
    server = os.fork()
    if server == 0:
        os.set_inheritable(server_told, True)
        os.execv(cli.PGMAP, [cli.PGMAP, 'serve', '--device', 'memfd:size=16M,page=4K', '--socket', socket, '--ready-fd', str(server_told)])
    os.close(server_told)
    os.write(told, os.read(ready, 1))  # not before: a socket that has a name does not listen yet
    children = [server]
    if with_client:
        children.append(os.fork())
        if children[1] == 0:
            pylib.Client(socket).map('/c', SIZE).bytes[0] = 1
            os.write(told, b'c')
            signal.pause()
    os.close(told)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print('codes', *codes, flush=True)
    os._exit(0)


def test_it_drains_and_says_whom_it_waits_for(_pool):
    terminal = Terminal()
    client = pylib.Client(terminal.socket)
    mapping = client.map('/f', SIZE)
    mapping.bytes[:] = b'f' * SIZE
    terminal.type(CTRL_C)
    whom = terminal.until(rb'pgmapd: draining: waiting for (\S+) \(pid (\d+)\)\r\n')
    assert int(whom.group(2)) == os.getpid() and whom.group(1).startswith(b'python'), whom.group(0)
    try:
        client.map('/g', SIZE)
        assert False, 'a draining pool gave pages'
    except OSError as error:
        assert error.errno == errno.ENODEV, error
    assert bytes(mapping.bytes) == b'f' * SIZE
    assert mapping.unmap() == 0
    assert terminal.ended() == [0]
    client.disconnect()


def test_one_that_unmaps_is_not_waited_for_any_more(_pool):
    terminal = Terminal()
    clients = [pylib.Client(terminal.socket) for _ in range(2)]
    mappings = [client.map(f'/{i}', SIZE) for i, client in enumerate(clients)]
    terminal.type(CTRL_C)
    one = rb'\S+ \(pid \d+\)'
    terminal.until(rb'draining: waiting for ' + one + rb', ' + one + rb'\r\n')
    assert mappings[0].unmap() == 0
    terminal.until(rb'draining: waiting for ' + one + rb'\r\n')
    assert mappings[1].unmap() == 0
    assert terminal.ended() == [0]


def test_a_second_one_ends_it_and_takes_nothing_from_anyone(_pool):
    terminal = Terminal()
    client = pylib.Client(terminal.socket)
    mapping = client.map('/f', SIZE)
    mapping.bytes[:] = b'f' * SIZE
    terminal.type(CTRL_C)
    terminal.until(rb'draining: waiting for ')
    terminal.type(CTRL_C)
    terminal.until(rb'second signal: \S+: ended without a drain')
    assert terminal.ended() == [1]
    assert bytes(mapping.bytes) == b'f' * SIZE
    assert mapping.unmap() == 0
    client.disconnect()


def test_clients_in_the_same_terminal_get_it_too(_pool):
    terminal = Terminal(with_client=True)
    terminal.type(CTRL_C)
    assert terminal.ended() == [0, -signal.SIGINT]


if __name__ == '__main__':
    cli.main(globals())
