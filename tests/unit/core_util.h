/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core_util.h - what the tests of the core and of the port share: pgmaps and folios that must come about, children that
 * must abort or run short of memory, and threads that are known to wait.
 */
#ifndef PGMAP_TESTS_CORE_UTIL_H
#define PGMAP_TESTS_CORE_UTIL_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <pgmap/folio.h>

#include "futex_util.h"

#define PUD_PAGES (UINT64_C(1) << PGMAP_ORDER_PUD)
#define PMD_PAGES (UINT64_C(1) << PGMAP_ORDER_PMD)

static inline struct pgmap *make_pgmap(enum pgmap_type type, uint64_t npages, const struct pgmap_ops *ops, void *owner)
{
	struct pgmap_range range = {.start_bytes = 0, .len_bytes = npages * PGMAP_PAGE_SIZE};
	struct pgmap_params params = {.params_bytes = sizeof(params),
				      .type = type,
				      .ranges = &range,
				      .nranges = 1,
				      .ops = ops,
				      .owner = owner,
				      .name = "under-test"};
	struct pgmap *pgmap = NULL;
	assert_int_equal(pgmap_create(&params, &pgmap), 0);
	assert_non_null(pgmap);
	return pgmap;
}

static inline struct pgmap *make_generic(uint64_t npages)
{
	return make_pgmap(PGMAP_GENERIC, npages, NULL, NULL);
}

/* All of it, with nothing held. */
static inline void end_pgmap(struct pgmap *pgmap)
{
	assert_int_equal(pgmap_live_pages(pgmap), 0);
	assert_int_equal(pgmap_kill(pgmap), 0);
	assert_int_equal(pgmap_drain(pgmap, 0), 0);
	assert_int_equal(pgmap_destroy(pgmap), 0);
}

static inline struct folio *request(struct pgmap *pgmap, uint64_t pgoff, unsigned order)
{
	struct folio *folio = NULL;
	int r = pgmap_request_folio(pgmap, pgoff, order, &folio);
	if (r)
		fail_msg("request of pgoff %#" PRIx64 " order %u: %d", pgoff, order, r);
	return folio;
}

/* The error of a request that must fail, and touch nothing. */
static inline int refused(struct pgmap *pgmap, uint64_t pgoff, unsigned order)
{
	struct folio *const untouched = (struct folio *)(uintptr_t)0x5a5a;
	struct folio *folio = untouched;
	uint64_t live = pgmap_live_pages(pgmap);
	int r = pgmap_request_folio(pgmap, pgoff, order, &folio);
	assert_ptr_equal(folio, untouched);
	assert_int_equal(pgmap_live_pages(pgmap), live);
	return r;
}

static inline struct folio *find(struct pgmap *pgmap, uint64_t pgoff)
{
	struct folio *folio = NULL;
	assert_int_equal(pgmap_find_folio(pgmap, pgoff, &folio), 0);
	return folio;
}

static inline struct pgmap_holder *make_holder(struct pgmap *pgmap, const char *name)
{
	struct pgmap_holder *holder = NULL;
	assert_int_equal(pgmap_holder_create(pgmap, name, &holder), 0);
	return holder;
}

/* The end of a child that does not exit(): what it did counts in a coverage build too. */
#ifdef PGMAP_COVERAGE
void __gcov_dump(void);
static void coverage_of_abort(int signal_number)
{
	__gcov_dump();
	(void)signal(signal_number, SIG_DFL);
	(void)raise(signal_number);
}
#define CHILD_BEGIN()    ((void)signal(SIGABRT, coverage_of_abort))
#define CHILD_EXIT(code) (__gcov_dump(), _exit(code))
#else
#define CHILD_BEGIN()    ((void)0)
#define CHILD_EXIT(code) _exit(code)
#endif

/* Runs fn in a child; its wait status, and what it said on stderr. */
static inline int in_child(void (*fn)(void *arg), void *arg, char *said, size_t said_bytes)
{
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	(void)fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit none = {0, 0};
		(void)setrlimit(RLIMIT_CORE, &none);
		(void)dup2(fds[1], STDERR_FILENO);
		CHILD_BEGIN();
		fn(arg);
		CHILD_EXIT(0);
	}
	close(fds[1]);
	size_t have = 0;
	ssize_t n;
	while (have + 1 < said_bytes && (n = read(fds[0], said + have, said_bytes - 1 - have)) > 0)
		have += (size_t)n;
	said[have] = '\0';
	close(fds[0]);
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* fn ends its program with SIGABRT, and one line on stderr that has all of these words (up to a null). */
static inline void expect_abort(void (*fn)(void *arg), void *arg, const char *const words[])
{
	char said[2048];
	int status = in_child(fn, arg, said, sizeof(said));
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		fail_msg("no abort: wait status %#x, said: %s", (unsigned)status, said);
	const char *end = strchr(said, '\n');
	if (!end || end[1] != '\0')
		fail_msg("not one line: %s", said);
	for (size_t i = 0; words[i]; i++)
		if (!strstr(said, words[i]))
			fail_msg("\"%s\" is not in: %s", words[i], said);
}

#define ABORTS(fn, arg, ...) expect_abort(fn, arg, (const char *const[]){__VA_ARGS__, NULL})

/* In a child, where cmocka's assertions lead nowhere: the line is the exit status of a failure. */
#define CHILD_CHECK(condition)                                                                                         \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			dprintf(STDERR_FILENO, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                         \
			CHILD_EXIT(1);                                                                                 \
		}                                                                                                      \
	} while (0)

static inline void expect_child_passes(void (*fn)(void *arg), void *arg)
{
	char said[2048];
	int status = in_child(fn, arg, said, sizeof(said));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("child: wait status %#x, said: %s", (unsigned)status, said);
}

/* A number of /proc/self/status, in bytes. */
static inline uint64_t status_bytes(const char *key)
{
	char line[256];
	uint64_t kib = 0;
	FILE *f = fopen("/proc/self/status", "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
			kib = strtoull(line + strlen(key) + 1, NULL, 10);
	if (f)
		(void)fclose(f);
	return kib * 1024;
}

/* Lets this process have so many bytes more of the resource that status calls `key`. */
static inline void limit_to(__rlimit_resource_t resource, const char *key, uint64_t more)
{
	struct rlimit limit;
	CHILD_CHECK(getrlimit(resource, &limit) == 0);
	limit.rlim_cur = more == UINT64_MAX ? limit.rlim_max : (rlim_t)(status_bytes(key) + more);
	CHILD_CHECK(setrlimit(resource, &limit) == 0);
}

static inline uint64_t minor_faults(void)
{
	struct rusage usage;
	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return (uint64_t)usage.ru_minflt;
}

#endif
