/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hostile.c - what a process pays to map a file while another client does what none should: the 99th percentile, which is
 * where waiting for others shows. The peer is the same with no other client, in the same run.
 *
 * The other is a process on the other CPU, if there is one, and stopped but for the rounds: so it disturbs no other subject.
 * It speaks the protocol by hand, as the library would not do such things.
 */
#include "subject.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"
#include "pool.h"
#include "server/protocol.h"
#include "server/sockpath.h"

enum { MAPS = 2000, QUICK_MAPS = 100, FLOODERS = 4, IN_FLIGHT = 16 };

static const char path[] = "/bench-hostile";
static _Atomic uint64_t *acts; /* that the other has done */
static pid_t other;
static uint64_t grow_bytes;

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "the hostile client: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void did(void)
{
	atomic_fetch_add_explicit(acts, 1, memory_order_relaxed);
}

static struct proto_req request(enum proto_type type)
{
	struct proto_req req = {.magic = PROTO_MAGIC, .version = PROTO_VERSION, .type = (uint16_t)type};
	if (type == PROTO_STAT)
		strcpy(req.path, path);
	return req;
}

/* A connection that has said hello, and holds nothing. */
static int dial(void)
{
	struct sockaddr_un addr;
	struct proto_req hello = request(PROTO_HELLO);
	struct proto_rep rep;
	hello.flags = PROTO_HELLO_CONTROL;
	int err = sockpath_resolve(NULL, &addr), fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (err || fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0 ||
	    send(fd, &hello, sizeof(hello), MSG_NOSIGNAL) != sizeof(hello) || recv(fd, &rep, sizeof(rep), 0) <= 0)
		give_up("connect");
	return fd;
}

/* Small requests, several ahead of what has been read. */
static void *flood(void *arg)
{
	const struct proto_req req = request(PROTO_STAT);
	struct proto_rep rep;
	int fd = dial();
	for (unsigned sent = 0;; sent++) {
		if (send(fd, &req, sizeof(req), MSG_NOSIGNAL) != sizeof(req))
			give_up("send");
		if (sent >= IN_FLIGHT && recv(fd, &rep, sizeof(rep), 0) != sizeof(rep))
			give_up("receive");
		did();
	}
	return arg;
}

static _Noreturn void flood_from_threads(void)
{
	for (unsigned i = 1; i < FLOODERS; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, flood, NULL) != 0)
			give_up("a thread");
	}
	(void)flood(NULL);
	_exit(1);
}

/* Until the server hangs up on it; and again. */
static _Noreturn void never_read(void)
{
	const struct proto_req req = request(PROTO_INFO);
	for (;;) {
		int fd = dial();
		while (send(fd, &req, sizeof(req), MSG_NOSIGNAL) == sizeof(req))
			did();
		close(fd);
	}
}

static _Noreturn void come_and_go(void)
{
	for (;;) {
		struct pgmap_client *client;
		int rc = pgmap_connect(NULL, &client);
		if (rc == 0)
			rc = pgmap_disconnect(client);
		errno = -rc;
		if (rc != 0)
			give_up("connect");
		did();
	}
}

/* Nothing of the pool's: what the CPU alone costs, where there are not enough of them. */
static _Noreturn void spin(void)
{
	for (;;)
		did();
}

/* A file as big as was said, made and removed. */
static _Noreturn void grow(void)
{
	struct pgmap_client *client;
	if (pgmap_connect(NULL, &client) != 0)
		give_up("connect");
	for (;;) {
		struct pgmap_mapping *m;
		int rc = pgmap_open_map(client, "/bench-hostile-grown", PGMAP_O_CREATE, grow_bytes, PGMAP_MAP_READ, &m);
		if (rc == 0)
			rc = pgmap_unmap(m);
		if (rc == 0)
			rc = pgmap_unlink(client, "/bench-hostile-grown");
		errno = -rc;
		if (rc != 0)
			give_up("a file that grows");
		did();
	}
}

static _Noreturn void be_hostile(const char *kind, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	bench_use_other_cpu();
	if (strcmp(kind, "flood") == 0)
		flood_from_threads();
	else if (strcmp(kind, "never_reads") == 0)
		never_read();
	else if (strcmp(kind, "connects") == 0)
		come_and_go();
	else if (strcmp(kind, "spins") == 0)
		spin();
	else
		grow();
}

static bool is_kind(const char *text)
{
	static const char *const kinds[] = {"idle", "flood", "never_reads", "connects", "spins", "grow"};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(text, kinds[i]) == 0)
			return true;
	return false;
}

static void prepare(int argc, char **argv)
{
	if (argc < 1 || !is_kind(argv[0]))
		subject_fail("what the other client does: idle, flood, never_reads, connects, spins, or grow MIB");
	if (strcmp(argv[0], "grow") == 0)
		grow_bytes = subject_number(argc, argv, 1) << 20;
	if (strcmp(argv[0], "idle") != 0) {
		acts = mmap(NULL, sizeof(*acts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (acts == MAP_FAILED)
			subject_fail("mmap: %s", strerror(errno));
		pid_t parent = getpid();
		other = fork(); /* before there is a connection, which a child has no part in */
		if (other == 0)
			be_hostile(argv[0], parent);
		if (other < 0)
			subject_fail("fork: %s", strerror(errno));
		kill(other, SIGSTOP);
	}
	pool_make_file(path, 1 << 20);
}

/* It goes on, and has got to where it does something. */
static void let_it(void)
{
	if (!other)
		return;
	uint64_t before = atomic_load(acts);
	kill(other, SIGCONT);
	while (atomic_load(acts) == before) {
		if (waitpid(other, NULL, WNOHANG) == other)
			subject_fail("the hostile client has ended");
		sched_yield();
	}
}

static void stop_it(void)
{
	int status;
	if (!other)
		return;
	kill(other, SIGSTOP);
	if (waitpid(other, &status, WUNTRACED) != other || !WIFSTOPPED(status))
		subject_fail("the hostile client has ended");
}

static int by_time(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static double round_p99(void)
{
	static uint64_t took[MAPS];
	unsigned n = getenv("PGMAP_BENCH_QUICK") ? QUICK_MAPS : MAPS;
	let_it();
	for (unsigned i = 0; i < n; i++) {
		uint64_t start = now_ns();
		struct pgmap_mapping *m = pool_map(path, 0, 0, PGMAP_MAP_READ);
		took[i] = now_ns() - start;
		if (pgmap_unmap(m) != 0)
			subject_fail("unmap");
	}
	stop_it();
	qsort(took, n, sizeof(took[0]), by_time);
	unsigned slow = n / 100;
	return (double)took[n - slow - 1];
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {
		{"map_p99", "idle|flood|never_reads|connects|spins|grow [MIB]", prepare, round_p99},
		{0},
	};
	return subject_main(argc, argv, table);
}
