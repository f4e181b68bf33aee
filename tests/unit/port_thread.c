/* SPDX-License-Identifier: BSD-3-Clause */
/* A thread of ours gets no signal of the program's, and those that it deserves. */
#include "port/thread.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core_util.h"
#include "port/guard.h"

static const int others[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGALRM, SIGCHLD, SIGPIPE};
static const int own[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGSYS};

struct seen {
	sigset_t mask;
	sem_t done;
	pthread_t thread;
};

static void *look(void *arg)
{
	struct seen *seen = arg;
	(void)pthread_sigmask(SIG_SETMASK, NULL, &seen->mask);
	seen->thread = pthread_self();
	(void)sem_post(&seen->done);
	return seen;
}

static void check_mask(const sigset_t *mask)
{
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_int_equal(sigismember(mask, others[i]), 1);
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		assert_int_equal(sigismember(mask, own[i]), 0);
}

static void signals_of_the_program_are_not_for_it(void **state)
{
	(void)state;
	struct seen seen;
	sigset_t before, after;
	pthread_t thread;
	void *result;
	assert_int_equal(sem_init(&seen.done, 0, 0), 0);
	(void)pthread_sigmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(port_thread_start(&thread, 0, look, &seen), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, &seen);
	check_mask(&seen.mask);
	assert_int_equal(sem_wait(&seen.done), 0);
	assert_int_equal(port_thread_start(NULL, 64 << 10, look, &seen), 0); /* nobody joins it */
	assert_int_equal(sem_wait(&seen.done), 0);
	check_mask(&seen.mask);
	(void)pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int i = 1; i < SIGRTMAX; i++)
		assert_int_equal(sigismember(&before, i), sigismember(&after, i));
	assert_int_equal(sem_destroy(&seen.done), 0);
}

struct touch {
	const char *at;
	size_t got;
};

static void *touch(void *arg)
{
	struct touch *touch = arg;
	char byte;
	struct guard_fault fault;
	touch->got = guard_read(&byte, touch->at, 1, &fault);
	return NULL;
}

/* Blocked, SIGBUS would have ended the process. */
static void what_it_touches_can_be_guarded(void **state)
{
	(void)state;
	pthread_t thread;
	int fd = memfd_create("empty", MFD_CLOEXEC);
	assert_true(fd >= 0);
	void *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(guard_install(), 0);
	struct touch lost = {at, 7};
	assert_int_equal(port_thread_start(&thread, 0, touch, &lost), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(lost.got, 0);
	assert_int_equal(munmap(at, 4096) | close(fd), 0);
}

static void without_memory_there_is_none(void **state)
{
	(void)state;
	pthread_t thread;
	struct seen seen;
	assert_int_equal(port_thread_start(&thread, (size_t)1 << 50, look, &seen), -EAGAIN);
	assert_int_equal(port_thread_start(NULL, (size_t)1 << 50, look, &seen), -EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signals_of_the_program_are_not_for_it),
		cmocka_unit_test(what_it_touches_can_be_guarded),
		cmocka_unit_test(without_memory_there_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
