/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * transfer.c - see transfer.h. Before a chunk is copied its pages are made present by one call, which is several times
 * cheaper than a fault for each; where the kernel does not know that call (before 5.14), the faults do it.
 */
#include "transfer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli.h"
#include "port/guard.h"

enum { CHUNK = 8 << 20, THREADS_MAX = 4 };

struct job {
	int fd;
	char *addr;
	const char *from; /* memory, in the place of fd; or null */
	uint64_t len;
	bool out;              /* memory to file */
	bool stream;           /* from where it stands, by one thread */
	_Atomic uint64_t next; /* the first chunk that nobody has taken */
	_Atomic uint64_t moved;
	_Atomic uint64_t end; /* in: where the file turned out to end */
	_Atomic int err;      /* the first error */
};

static void make_present(void *addr, size_t len, bool out)
{
	uintptr_t start = (uintptr_t)addr & ~(uintptr_t)4095;
	(void)madvise((void *)start, (uintptr_t)addr + len - start, out ? MADV_POPULATE_READ : MADV_POPULATE_WRITE);
}

static ssize_t move_some(const struct job *job, uint64_t at, size_t n)
{
	void *addr = job->addr + at;
	if (job->from) {
		struct guard_fault fault;
		size_t done = guard_read(addr, job->from + at, n, &fault);
		errno = EFAULT;
		return done ? (ssize_t)done : -1;
	}
	if (job->stream)
		return job->out ? write(job->fd, addr, n) : read(job->fd, addr, n);
	return job->out ? pwrite(job->fd, addr, n, (off_t)at) : pread(job->fd, addr, n, (off_t)at);
}

/* All of [at, at + len), or less at the end of what is read. Bytes, or -errno. progress, where it is one thread's: or null. */
static int64_t move_all(const struct job *job, uint64_t at, uint64_t len, struct progress *progress)
{
	uint64_t done = 0;
	while (done < len) {
		size_t n = len - done < CHUNK ? (size_t)(len - done) : CHUNK;
		ssize_t got = move_some(job, at + done, n);
		if (cli_stopped())
			return -EINTR;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0 && job->out)
			return -EIO; /* nothing is written, and nothing is said of why */
		if (got == 0)
			break;
		done += (uint64_t)got;
		if (progress)
			progress_add(progress, (uint64_t)got);
	}
	return (int64_t)done;
}

/* Take one chunk and move it; false when there is none or something failed. */
static bool job_step(struct job *job)
{
	uint64_t at = atomic_fetch_add(&job->next, CHUNK);
	int none = 0;
	if (at >= job->len || atomic_load(&job->err))
		return false;
	size_t n = job->len - at < CHUNK ? (size_t)(job->len - at) : CHUNK;
	make_present(job->addr + at, n, job->out);
	if (job->from)
		make_present((char *)(uintptr_t)job->from + at, n, true);
	int64_t done = move_all(job, at, n, NULL);
	if (done < 0) {
		atomic_compare_exchange_strong(&job->err, &none, (int)done);
		return false;
	}
	atomic_fetch_add(&job->moved, (uint64_t)done);
	if ((size_t)done < n) {
		uint64_t end = atomic_load(&job->end);
		while (at + (uint64_t)done < end)
			if (atomic_compare_exchange_weak(&job->end, &end, at + (uint64_t)done))
				break;
	}
	return true;
}

static void *job_thread(void *arg)
{
	while (job_step(arg))
		;
	return NULL;
}

static unsigned job_start(struct job *job, pthread_t threads[THREADS_MAX])
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t chunks = (job->len + CHUNK - 1) / CHUNK;
	unsigned n = 0, want = cpus < 1 ? 1 : cpus > THREADS_MAX ? THREADS_MAX : (unsigned)cpus;
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old); /* signals are for the thread that called */
	while (n + 1 < want && n + 2 < chunks && pthread_create(&threads[n], NULL, job_thread, job) == 0)
		n++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return n;
}

static int job_run(struct job *job, struct progress *progress)
{
	pthread_t threads[THREADS_MAX];
	unsigned n = job_start(job, threads);
	uint64_t said = 0;
	while (job_step(job)) {
		uint64_t moved = atomic_load(&job->moved);
		progress_add(progress, moved - said);
		said = moved;
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	progress_add(progress, atomic_load(&job->moved) - said);
	return atomic_load(&job->err);
}

int64_t transfer_in(int fd, void *addr, uint64_t len_bytes, struct progress *progress)
{
	struct job job = {.fd = fd, .addr = addr, .len = len_bytes, .end = len_bytes};
	int err = job_run(&job, progress);
	return err ? err : (int64_t)atomic_load(&job.end);
}

int transfer_out(int fd, const void *addr, uint64_t len_bytes, struct progress *progress)
{
	struct job job = {.fd = fd, .addr = (char *)(uintptr_t)addr, .len = len_bytes, .out = true, .end = len_bytes};
	return job_run(&job, progress);
}

int transfer_copy(void *to, const void *from, uint64_t len_bytes, struct progress *progress)
{
	struct job job = {.fd = -1, .addr = to, .from = from, .len = len_bytes, .end = len_bytes};
	return job_run(&job, progress);
}

int64_t transfer_stream_in(int fd, void *addr, uint64_t len_bytes, struct progress *progress)
{
	struct job job = {.fd = fd, .addr = addr, .stream = true};
	return move_all(&job, 0, len_bytes, progress);
}

int transfer_stream_out(int fd, const void *addr, uint64_t len_bytes, struct progress *progress)
{
	struct job job = {.fd = fd, .addr = (char *)(uintptr_t)addr, .out = true, .stream = true};
	int64_t moved = move_all(&job, 0, len_bytes, progress);
	return moved < 0 ? (int)moved : 0;
}
