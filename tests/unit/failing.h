/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * failing.h - the nth allocation from now on fails: for programs that meson.build links so that malloc and its kin are
 * these (all of the library under test, not the C library's own). One thread at a time.
 */
#ifndef PGMAP_TESTS_FAILING_H
#define PGMAP_TESTS_FAILING_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static unsigned long failing_nth; /* 1: the next; 0: none */
static bool failing_on;           /* and all that come after it */
static bool failing_did;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *at, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *at, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);

static bool failing_now(void)
{
	if (failing_nth == 0 || (failing_nth > 1 && --failing_nth))
		return false;
	failing_nth = failing_on ? 1 : 0;
	failing_did = true;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t bytes)
{
	return failing_now() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	return failing_now() ? NULL : __real_calloc(n, bytes);
}

void *__wrap_realloc(void *at, size_t bytes)
{
	return failing_now() ? NULL : __real_realloc(at, bytes);
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
	return failing_now() ? NULL : __real_aligned_alloc(align, bytes);
}

/* From here to failing_end(): the nth fails, and the later ones too if that is asked for. */
static void failing_begin(unsigned long nth, bool and_on)
{
	failing_did = false;
	failing_on = and_on;
	failing_nth = nth;
}

/* Whether one failed. */
static bool failing_end(void)
{
	failing_nth = 0;
	return failing_did;
}

#endif
