/* SPDX-License-Identifier: BSD-3-Clause */
/* futex_util.h - threads that are known to wait, whatever time that takes. */
#ifndef PGMAP_TESTS_FUTEX_UTIL_H
#define PGMAP_TESTS_FUTEX_UTIL_H

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* That thread, which is there, waits in futex(2) on a word of this object now. */
static inline bool is_in_futex(pid_t tid, const void *object, size_t bytes)
{
	char path[64], text[256];
	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)tid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	assert_true(n > 0);
	text[n] = '\0';
	long number = -1;
	unsigned long address = 0;
	return sscanf(text, "%ld %lx", &number, &address) == 2 && number == SYS_futex &&
	       address - (unsigned long)(uintptr_t)object < bytes;
}

static inline void await_futex(pid_t tid, const void *word)
{
	while (!is_in_futex(tid, word, sizeof(uint32_t)))
		sched_yield();
}

#endif
