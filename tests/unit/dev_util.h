/* SPDX-License-Identifier: BSD-3-Clause */
/* dev_util.h - what the tests of the kinds of device share: opening that must work, or be refused with certain words. */
#ifndef PGMAP_TESTS_DEV_UTIL_H
#define PGMAP_TESTS_DEV_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dev/dev.h"

enum { MIB = 1 << 20 };

static inline struct dev *open_dev(const char *spec)
{
	struct dev *dev = NULL;
	char why[DEV_WHY_MAX] = "";
	int err = dev_open(spec, &dev, why);
	if (err)
		fail_msg("%s: %d: %s", spec, err, why);
	return dev;
}

/* Refused with this error, in one whole line that has these words; otherwise it says so. Also for children. */
static inline bool is_refused(const char *spec, int want, const char *words)
{
	struct dev *dev = NULL;
	char why[DEV_WHY_MAX] = "";
	int err = dev_open(spec, &dev, why);
	if (err == want && !dev && strstr(why, words) && !strchr(why, '\n') && strlen(why) < DEV_WHY_MAX - 1)
		return true;
	(void)fprintf(stderr, "'%s': %d: \"%s\"; wanted %d and \"%s\"\n", spec ? spec : "", err, why, want, words);
	return false;
}

static inline void assert_refused(const char *spec, int want, const char *words)
{
	assert_true(is_refused(spec, want, words));
}

static inline uint64_t allocated_bytes(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* Of a device; to be unmapped by munmap() of its size. */
static inline char *map_all(const struct dev *dev)
{
	char *at = mmap(NULL, dev->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, dev->fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

static inline long read_number(const char *path)
{
	long n = -1;
	FILE *f = fopen(path, "re");
	if (f) {
		if (fscanf(f, "%ld", &n) != 1)
			n = -1;
		(void)fclose(f);
	}
	return n;
}

/* In a child of its own, so that what it gives up or runs into stays there: 0 means that all went well. cmocka's asserts
 * are not for body. */
static inline int in_child(int (*body)(void))
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(body());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
