/* SPDX-License-Identifier: BSD-3-Clause */
/* temp.c - see temp.h. */
#include "temp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#include "cli.h"

enum { NAMES_TRIED = 16 };

static int temp_name(char *buf, size_t room, const char *dst, const char *prefix)
{
	uint64_t number;
	int dir_len = (int)(cli_basename(dst) - dst);
	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return -errno;
	int n = snprintf(buf, room, "%.*s.%s-%016" PRIx64, dir_len, dst, prefix, number);
	return n < 0 || (size_t)n >= room ? -ENAMETOOLONG : 0;
}

int temp_make(char *buf, size_t room, const char *dst, const char *prefix, temp_fn *make, void *arg, bool *made)
{
	int err = -EEXIST;
	*made = false;
	for (unsigned i = 0; err == -EEXIST && i < NAMES_TRIED; i++) {
		err = temp_name(buf, room, dst, prefix);
		if (err)
			return err;
		err = make(arg, buf);
	}
	*made = err != -EEXIST;
	return err;
}
