/* SPDX-License-Identifier: BSD-3-Clause */
/* The thread that is told of memory errors: by the kernel, early, and by the handler of what was touched. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "broken.h"
#include "port/errors.h"

enum { PAGE = 4096 };

static int told_fds[2];
static sigjmp_buf back;

static void tell(const struct guard_fault *fault)
{
	(void)!write(told_fds[1], fault, sizeof(*fault));
}

static void other(const struct guard_fault *fault)
{
	(void)fault;
	abort();
}

static void own_handler(int signal)
{
	(void)signal;
	siglongjmp(back, 1);
}

static int start(void **state)
{
	sigset_t bus;
	(void)state;
	assert_int_equal(pipe2(told_fds, O_CLOEXEC), 0);
	assert_true(signal(SIGBUS, own_handler) != SIG_ERR);
	assert_int_equal(errors_listen(tell), 0);
	assert_int_equal(errors_listen(other), 0); /* it goes on with the first */
	broken_remember();
	(void)sigemptyset(&bus);
	(void)sigaddset(&bus, SIGBUS);
	return pthread_sigmask(SIG_BLOCK, &bus, NULL);
}

static struct guard_fault next_told(void)
{
	struct guard_fault fault;
	assert_int_equal(read(told_fds[0], &fault, sizeof(fault)), sizeof(fault));
	return fault;
}

static void what_the_kernel_says_early_is_told(void **state)
{
	static char memory[PAGE];
	(void)state;
	assert_int_equal(broken_tell_early(memory + 5, 12), 0);
	struct guard_fault fault = next_told();
	assert_int_equal(fault.code, BUS_MCEERR_AO);
	assert_true(fault.from <= memory + 5 && fault.from + PAGE > memory + 5 && fault.len_bytes == PAGE);
	/* A unit of 2 MiB. */
	assert_int_equal(broken_tell_early(memory + 5, 21), 0);
	fault = next_told();
	assert_int_equal(fault.len_bytes, 2 << 20);
	assert_int_equal((uintptr_t)fault.from % (2 << 20), 0);
	assert_true(fault.from <= memory + 5 && fault.from + fault.len_bytes > memory + 5);
}

static void touch(char *memory)
{
	sigset_t bus, old;
	(void)sigemptyset(&bus);
	(void)sigaddset(&bus, SIGBUS);
	assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &bus, &old), 0);
	broken_make(memory, PAGE, 12);
	if (!sigsetjmp(back, 1))
		(void)*(volatile char *)memory;
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
}

static void what_is_touched_is_told(void **state)
{
	char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	(void)state;
	touch(memory);
	struct guard_fault fault = next_told();
	assert_true(fault.code == BUS_MCEERR_AR && fault.from == memory);
	broken_heal();
	assert_int_equal(munmap(memory, PAGE), 0);
}

static void a_signal_that_somebody_sends_is_not_told(void **state)
{
	static char memory[PAGE];
	sigset_t pending;
	(void)state;
	assert_int_equal(kill(getpid(), SIGBUS), 0);
	do /* a second one would be lost in the first */
		assert_int_equal(sigpending(&pending), 0);
	while (sigismember(&pending, SIGBUS));
	assert_int_equal(broken_tell_early(memory, 12), 0);
	assert_int_equal(next_told().code, BUS_MCEERR_AO);
}

/* Its addresses are others. */
static void what_a_child_touches_is_not_told(void **state)
{
	char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		touch(memory);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	what_is_touched_is_told(state); /* elsewhere */
	assert_int_equal(munmap(memory, PAGE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_kernel_says_early_is_told),
		cmocka_unit_test(what_is_touched_is_told),
		cmocka_unit_test(a_signal_that_somebody_sends_is_not_told),
		cmocka_unit_test(what_a_child_touches_is_not_told),
	};
	return cmocka_run_group_tests(tests, start, NULL);
}
