#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""week_python - Python's multiprocessing on mapped files: children by fork see what their parent maps, for as long as they
look, whatever becomes of it; children by spawn are clients of their own. No page is reused early, and none is lost."""
import errno
import multiprocessing
import os
import signal
import subprocess
import sys

import cli
import pylib

SIZE = 64 * pylib.PAGE


def all_are(view, byte):
    return bytes(view) == bytes([byte]) * len(view)


def until(pool, question):
    """Asked again until it is so; the test runner's timeout is the only clock."""
    while not question(pool.info()):
        pass


def next_owner(pool):
    """All of the pool that is free, written over by somebody else."""
    client = pylib.Client(pool.socket)
    rest = client.map('/rest', pool.info()['free'] * pylib.PAGE)
    rest.bytes[:] = b'\xee' * rest.size
    assert rest.unmap() == 0
    client.unlink('/rest')
    client.disconnect()


def in_use(info):
    return info['used'] + info['waiting']


def look_at_inherited(mapping, pipe):
    """A child by fork: it is asked again and again. It may look, and nothing else; what it wants to do it does as its own client."""
    while (question := pipe.recv()) != 'end':
        if question == 'unmap':
            pipe.send(mapping.unmap())
        elif question == 'connect':
            client = pylib.Client(os.environ['POOL'])
            own = client.map('/own', SIZE)
            own.bytes[:] = b'o' * SIZE
            pipe.send((all_are(own.bytes, ord('o')), own.unmap()))
            client.unlink('/own')
            client.disconnect()
        else:
            pipe.send(all_are(mapping.bytes, ord('f')))


def look_as_own_client(pool_socket, pipe):
    """A child by spawn: a new program, with a connection and a mapping of its own."""
    client = pylib.Client(pool_socket)
    mapping = client.map('/f')
    while pipe.recv() != 'end':
        pipe.send(all_are(mapping.bytes, ord('f')))


def start(context, fn, *args):
    here, there = context.Pipe()
    child = context.Process(target=fn, args=(*args, there), daemon=True)
    child.start()
    there.close()
    return child, here


def ask(pipe, question='look'):
    pipe.send(question)
    return pipe.recv()


def end(child, pipe):
    pipe.send('end')
    child.join()
    assert child.exitcode == 0, child.exitcode


def filled(client):
    mapping = client.map('/f', SIZE)
    mapping.bytes[:] = b'f' * SIZE
    return mapping


def test_fork_children_see_what_the_parent_unmapped(pool):
    os.environ['POOL'] = pool.socket
    context = multiprocessing.get_context('fork')
    client = pylib.Client(pool.socket)
    mapping = filled(client)
    children = [start(context, look_at_inherited, mapping) for _ in range(3)]
    assert all(ask(pipe) for _, pipe in children)
    assert ask(children[0][1], 'unmap') == -errno.EPERM
    assert ask(children[0][1], 'connect') == (True, 0)
    assert mapping.unmap() == 0
    client.unlink('/f')
    next_owner(pool)
    assert all(ask(pipe) for _, pipe in children)
    assert in_use(pool.info()) == SIZE // pylib.PAGE
    end(*children[0])
    children[1][0].kill()
    children[1][0].join()
    next_owner(pool)
    assert ask(children[2][1])
    assert in_use(pool.info()) == SIZE // pylib.PAGE
    end(*children[2])
    until(pool, lambda info: in_use(info) == 0 and info['live_pages'] == 0)
    client.disconnect()


def test_fork_children_outlive_their_parent(pool):
    """The parent is a program of its own, which is killed; its children are asked through pipes that this one has."""
    ask_in, ask_out = os.pipe()
    said_in, said_out = os.pipe()
    parent = subprocess.Popen([sys.executable, __file__, 'parent', pool.socket, str(ask_in), str(said_out)], pass_fds=(ask_in, said_out))
    os.close(ask_in)
    os.close(said_out)
    assert os.read(said_in, 1) == b'1'  # it has forked
    parent.kill()
    parent.wait()
    client = pylib.Client(pool.socket)
    client.unlink('/f')
    next_owner(pool)
    os.write(ask_out, b'?')
    assert os.read(said_in, 1) == b'1'
    assert in_use(pool.info()) == SIZE // pylib.PAGE
    os.close(ask_out)  # the children end
    until(pool, lambda info: in_use(info) == 0 and info['live_pages'] == 0)
    assert os.read(said_in, 1) == b''
    client.disconnect()


def child_of_parent(mapping, ask_in, said_out):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while os.read(ask_in, 1):
        os.write(said_out, b'1' if all_are(mapping.bytes, ord('f')) else b'0')


def parent_program(pool_socket, ask_in, said_out):
    mapping = filled(pylib.Client(pool_socket))
    multiprocessing.get_context('fork').Process(target=child_of_parent, args=(mapping, ask_in, said_out)).start()
    os.write(said_out, b'1')
    signal.pause()


def test_spawn_children_are_clients_of_their_own(pool):
    context = multiprocessing.get_context('spawn')
    client = pylib.Client(pool.socket)
    mapping = filled(client)
    children = [start(context, look_as_own_client, pool.socket) for _ in range(2)]
    assert all(ask(pipe) for _, pipe in children)
    holders = {row['pid'] for row in cli.json_of(pool, 'who')}
    assert holders == {os.getpid(), *(child.pid for child, _ in children)}, holders
    assert mapping.unmap() == 0
    client.unlink('/f')
    next_owner(pool)
    assert all(ask(pipe) for _, pipe in children)
    children[0][0].kill()
    children[0][0].join()
    next_owner(pool)
    assert ask(children[1][1])
    end(*children[1])
    until(pool, lambda info: in_use(info) == 0 and info['live_pages'] == 0)
    client.disconnect()


if __name__ == '__main__':
    if sys.argv[1:2] == ['parent']:
        parent_program(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        cli.main(globals())
