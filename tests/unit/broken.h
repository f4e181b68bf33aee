/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * broken.h - memory that is broken, for tests on machines where nobody can break any: a touch of it is a SIGBUS of the machine's own
 * kind (BUS_MCEERR_AR), with the size that it says. Pages become inaccessible, and the handler of that signal, which knows
 * them, has the other one raised in the thread that touched. And what the kernel says early of memory that nobody touched.
 *
 * One range at a time; one thread at a time touches it.
 */
#ifndef PGMAP_TESTS_BROKEN_H
#define PGMAP_TESTS_BROKEN_H

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct broken {
	char *at;
	size_t len;
	short lsb;
	int code;
} broken;

/* The test library has handlers of its own in each test. broken_remember - in the group's setup: what the library under test has set.
 * broken_arm - in a test: that again. */
static struct sigaction broken_handler;

static inline void broken_remember(void)
{
	(void)sigaction(SIGBUS, NULL, &broken_handler);
}

static inline void broken_arm(void)
{
	(void)sigaction(SIGBUS, &broken_handler, NULL);
}

static inline void broken_raise(const char *addr)
{
	siginfo_t info;
	memset(&info, 0, sizeof(info));
	info.si_signo = SIGBUS;
	info.si_code = broken.code;
	info.si_addr = (char *)(uintptr_t)addr;
	info.si_addr_lsb = broken.lsb;
	(void)syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGBUS, &info);
}

static inline void broken_touched(int signal, siginfo_t *info, void *context)
{
	const char *addr = info->si_addr;
	(void)context;
	if (addr >= broken.at && addr < broken.at + broken.len)
		broken_raise(addr);
	else
		(void)sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
}

/* These whole pages are broken, and the machine says so by units of 2^lsb bytes. */
static inline void broken_make(char *at, size_t len, short lsb)
{
	struct sigaction action = {.sa_sigaction = broken_touched, .sa_flags = SA_SIGINFO | SA_NODEFER};
	(void)sigemptyset(&action.sa_mask);
	broken_arm();
	broken = (struct broken){at, len, lsb, BUS_MCEERR_AR};
	(void)sigaction(SIGSEGV, &action, NULL);
	(void)mprotect(at, len, PROT_NONE);
}

static inline void broken_heal(void)
{
	if (broken.len)
		(void)mprotect(broken.at, broken.len, PROT_READ | PROT_WRITE);
	broken.len = 0;
}

/* As the kernel tells who asked for it, by the thread that calls, whose process has SIGBUS blocked in all threads. */
static inline int broken_tell_early(const char *addr, short lsb)
{
	siginfo_t info;
	memset(&info, 0, sizeof(info));
	info.si_signo = SIGBUS;
	info.si_code = BUS_MCEERR_AO;
	info.si_addr = (char *)(uintptr_t)addr;
	info.si_addr_lsb = lsb;
	return (int)syscall(SYS_rt_sigqueueinfo, getpid(), SIGBUS, &info);
}

#endif
