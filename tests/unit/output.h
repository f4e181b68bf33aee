/* SPDX-License-Identifier: BSD-3-Clause */
/* output.h - for tests of what is said: what a function writes to stdout or stderr, as a string. One thread. */
#ifndef PGMAP_TESTS_OUTPUT_H
#define PGMAP_TESTS_OUTPUT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct output {
	FILE *stream;
	int saved, memfd;
};

static inline struct output output_begin(FILE *stream)
{
	struct output output = {stream, dup(fileno(stream)), memfd_create("output", MFD_CLOEXEC)};
	assert_true(output.saved >= 0 && output.memfd >= 0);
	assert_int_equal(fflush(stream), 0);
	assert_int_equal(dup2(output.memfd, fileno(stream)), fileno(stream));
	return output;
}

/* What came since, in buf, cut to it; the stream is what it was. */
static inline const char *output_end(struct output *output, char *buf, size_t buf_bytes)
{
	(void)fflush(output->stream);
	assert_int_equal(dup2(output->saved, fileno(output->stream)), fileno(output->stream));
	ssize_t n = pread(output->memfd, buf, buf_bytes - 1, 0);
	assert_true(n >= 0);
	buf[n] = 0;
	assert_int_equal(close(output->saved), 0);
	assert_int_equal(close(output->memfd), 0);
	return buf;
}

#endif
