/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guard.c - see guard.h.
 *
 * Why it is right. The signal of a load or store is raised in the thread that made it, between two of its instructions; the
 * handler looks at that thread's `current` only, which says what is being touched, and jumps out where the address lies in it.
 * The mask of signals is the same in the handler as outside (SA_NODEFER, an empty sa_mask), so the jump need not restore it,
 * and none of it is a system call. What was copied by then is not asked: memcpy() goes in any order. So it is done again, up to
 * where the fault's pages begin, until it goes through.
 *
 * The handler calls write(), sigaction(), raise() and siglongjmp() only. `before` is written once, before the handler is set.
 */
#include "port/guard.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { PAGE_SHIFT = 12, LINE_BYTES = 64 };

struct guarded {
	sigjmp_buf back;
	uintptr_t from, end; /* of the device's bytes */
	struct guard_fault *fault;
};

static _Thread_local struct guarded *volatile current __attribute__((tls_model("initial-exec")));
static pthread_mutex_t installing = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool installed;
static struct sigaction before;
static _Atomic int tell_fd = -1;
static _Atomic pid_t tell_pid;

struct guard_fault guard_fault_at(int code, void *addr, unsigned lsb)
{
	bool sized = (code == BUS_MCEERR_AR || code == BUS_MCEERR_AO) && lsb > PAGE_SHIFT && lsb < 48;
	size_t len = (size_t)1 << (sized ? lsb : PAGE_SHIFT);
	return (struct guard_fault){code, (char *)addr - (uintptr_t)addr % len, len};
}

bool guard_is_memory_error(const struct guard_fault *fault)
{
	return fault->code == BUS_MCEERR_AR || fault->code == BUS_MCEERR_AO;
}

/* To who listens: the descriptor does not wait, and what is less than a pipe's unit is written whole. */
static void tell(const struct guard_fault *fault)
{
	int fd = atomic_load_explicit(&tell_fd, memory_order_acquire);
	if (fd >= 0 && guard_is_memory_error(fault) &&
	    atomic_load_explicit(&tell_pid, memory_order_relaxed) == getpid())
		(void)!write(fd, fault, sizeof(*fault));
}

/* As if ours were not there. A load or store is made again and meets the system's way; a signal that was sent does not come again. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
	const struct sigaction system = {.sa_handler = SIG_DFL};
	bool sent = info->si_code <= 0 || info->si_code == BUS_MCEERR_AO;
	if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(signal, info, context);
	} else if (before.sa_handler == SIG_IGN && sent) {
		return;
	} else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
		before.sa_handler(signal);
	} else {
		(void)sigaction(signal, &system, NULL);
		if (sent)
			(void)raise(signal);
	}
}

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	struct guarded *guarded = current;
	int saved = errno;
	struct guard_fault fault = guard_fault_at(info->si_code, info->si_addr, (unsigned)info->si_addr_lsb);
	uintptr_t from = (uintptr_t)fault.from, end = from + fault.len_bytes;
	if (guarded && info->si_code > 0 && info->si_code != BUS_MCEERR_AO && from < guarded->end &&
	    guarded->from < end) {
		*guarded->fault = fault;
		current = NULL;
		siglongjmp(guarded->back, 1);
	}
	tell(&fault);
	current = NULL; /* who jumps out of it does not come back to what was guarded */
	pass_on(signal, info, context);
	current = guarded;
	errno = saved;
}

int guard_install(void)
{
	struct sigaction ours = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
	int err = 0;
	(void)sigemptyset(&ours.sa_mask);
	(void)pthread_mutex_lock(&installing);
	if (!atomic_load_explicit(&installed, memory_order_relaxed)) {
		if (sigaction(SIGBUS, NULL, &before) != 0 || sigaction(SIGBUS, &ours, NULL) != 0)
			err = -errno;
		else
			atomic_store_explicit(&installed, true, memory_order_release);
	}
	(void)pthread_mutex_unlock(&installing);
	return err;
}

bool guard_installed(void)
{
	return atomic_load_explicit(&installed, memory_order_acquire);
}

void guard_tell(int fd)
{
	atomic_store_explicit(&tell_pid, getpid(), memory_order_relaxed);
	atomic_store_explicit(&tell_fd, fd, memory_order_release);
}

/* What is done with bytes of the device. */
struct job {
	enum { READ, WRITE, ZERO, PROBE } what;
	char *device;
	char *other;
};

#ifdef __SANITIZE_THREAD__
/* Its memcpy() cannot be jumped out of, and its handlers run with all signals blocked. */
enum { SAVE_MASK = 1 };
static void copy(char *to, const char *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		*(volatile char *)(to + i) = from ? *(const volatile char *)(from + i) : 0;
}
#else
enum { SAVE_MASK = 0 };
static void copy(char *to, const char *from, size_t len)
{
	if (from)
		memcpy(to, from, len);
	else
		memset(to, 0, len);
}
#endif

static void do_job(const struct job *job, size_t len)
{
	switch (job->what) {
	case READ:
		copy(job->other, job->device, len);
		break;
	case WRITE:
		copy(job->device, job->other, len);
		break;
	case ZERO:
		copy(job->device, NULL, len);
		break;
	case PROBE:
		for (size_t at = 0; at < len; at += LINE_BYTES)
			(void)*(volatile char *)(job->device + at);
		break;
	}
}

/* False: *fault came in between. */
static __attribute__((noinline)) bool try(const struct job *job, size_t len, struct guard_fault *fault)
{
	struct guarded guarded;
	guarded.from = (uintptr_t)job->device;
	guarded.end = guarded.from + len;
	guarded.fault = fault;
	if (sigsetjmp(guarded.back, SAVE_MASK))
		return false;
	current = &guarded;
	atomic_signal_fence(memory_order_seq_cst);
	do_job(job, len);
	atomic_signal_fence(memory_order_seq_cst);
	current = NULL;
	return true;
}

static size_t run(const struct job *job, size_t len, struct guard_fault *fault)
{
	fault->code = 0;
	if (!guard_installed()) {
		do_job(job, len);
		return len;
	}
	while (len && !try(job, len, fault))
		len = fault->from > job->device ? (size_t)(fault->from - job->device) : 0;
	return len;
}

size_t guard_read(void *to, const void *device, size_t len_bytes, struct guard_fault *fault)
{
	return run(&(struct job){READ, (char *)(uintptr_t)device, to}, len_bytes, fault);
}

size_t guard_write(void *device, const void *from, size_t len_bytes, struct guard_fault *fault)
{
	return run(&(struct job){WRITE, device, (char *)(uintptr_t)from}, len_bytes, fault);
}

size_t guard_zero(void *device, size_t len_bytes, struct guard_fault *fault)
{
	return run(&(struct job){ZERO, device, NULL}, len_bytes, fault);
}

size_t guard_probe(const void *device, size_t len_bytes, struct guard_fault *fault)
{
	return run(&(struct job){PROBE, (char *)(uintptr_t)device, NULL}, len_bytes, fault);
}
