/* SPDX-License-Identifier: BSD-3-Clause */
/* Touching a device's memory under guard: what cannot be had is an answer; what is not guarded is the program's own affair. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "broken.h"
#include "port/guard.h"

enum { PAGE = 4096, PAGES = 8 };

static char *memory;
static char buf[PAGES * PAGE];
static sigjmp_buf back;
static volatile sig_atomic_t own_calls;

static void own_handler(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	(void)context;
	own_calls++;
	siglongjmp(back, 1);
}

static int install(void **state)
{
	struct sigaction own = {.sa_sigaction = own_handler, .sa_flags = SA_SIGINFO | SA_NODEFER};
	(void)state;
	(void)sigemptyset(&own.sa_mask);
	assert_int_equal(sigaction(SIGBUS, &own, NULL), 0);
	assert_int_equal(guard_install(), 0);
	assert_int_equal(guard_install(), 0);
	broken_remember();
	return 0;
}

static int open_memory(void **state)
{
	(void)state;
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	memset(memory, 'm', PAGES * PAGE);
	memset(buf, 'b', sizeof(buf));
	own_calls = 0;
	return 0;
}

static int close_memory(void **state)
{
	(void)state;
	broken_heal();
	return munmap(memory, PAGES * PAGE);
}

static void assert_all(const char *at, char is, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(at[i], is);
}

static void what_is_whole_is_copied(void **state)
{
	struct guard_fault fault;
	(void)state;
	assert_int_equal(guard_read(buf, memory + 3, 2 * PAGE, &fault), 2 * PAGE);
	assert_int_equal(fault.code, 0);
	assert_all(buf, 'm', 2 * PAGE);
	assert_int_equal(buf[2 * PAGE], 'b');
	memset(buf, 'n', sizeof(buf));
	assert_int_equal(guard_write(memory + 1, buf, 5, &fault), 5);
	assert_int_equal(memcmp(memory, "mnnnnnm", 7), 0);
	assert_int_equal(guard_zero(memory + PAGE, 2, &fault), 2);
	assert_int_equal(memcmp(memory + PAGE, "\0\0m", 3), 0);
	assert_int_equal(guard_probe(memory, PAGES * PAGE, &fault), PAGES * PAGE);
	assert_int_equal(fault.code, 0);
	assert_int_equal(guard_read(buf, memory, 0, &fault), 0);
	assert_int_equal(fault.code, 0);
}

static void assert_fault(const struct guard_fault *fault, const char *from, size_t len)
{
	assert_true(guard_is_memory_error(fault));
	assert_int_equal(fault->code, BUS_MCEERR_AR);
	assert_ptr_equal(fault->from, from);
	assert_int_equal(fault->len_bytes, len);
	assert_int_equal(own_calls, 0);
}

static void c6_5_a_broken_page_ends_a_copy_before_it(void **state)
{
	struct guard_fault fault;
	(void)state;
	broken_make(memory + 2 * PAGE, 2 * PAGE, 12);
	assert_int_equal(guard_read(buf, memory + 5, 4 * PAGE, &fault), 2 * PAGE - 5);
	assert_fault(&fault, memory + 2 * PAGE, PAGE);
	assert_all(buf, 'm', 2 * PAGE - 5);
	assert_int_equal(guard_write(memory + PAGE, buf, 3 * PAGE, &fault), PAGE);
	assert_fault(&fault, memory + 2 * PAGE, PAGE);
	assert_int_equal(guard_zero(memory, 3 * PAGE, &fault), 2 * PAGE);
	assert_all(memory, 0, 2 * PAGE);
	assert_int_equal(guard_probe(memory + 3 * PAGE, PAGE, &fault), 0);
	assert_fault(&fault, memory + 3 * PAGE, PAGE);
	assert_int_equal(guard_read(buf, memory + 4 * PAGE, PAGE, &fault), PAGE);
	assert_int_equal(fault.code, 0);
}

static void c6_5_all_that_the_machine_names_is_lost(void **state)
{
	struct guard_fault fault;
	char *four = memory + ((uintptr_t)memory % (4 * PAGE) ? 4 * PAGE - (uintptr_t)memory % (4 * PAGE) : 0);
	(void)state;
	broken_make(four + 3 * PAGE, PAGE, 14); /* the last page of four that go together */
	assert_int_equal(guard_read(buf, four + PAGE, 3 * PAGE, &fault), 0);
	assert_fault(&fault, four, (size_t)4 * PAGE);
}

static void a_file_that_was_cut_is_no_memory_error(void **state)
{
	struct guard_fault fault;
	int fd = memfd_create("cut", MFD_CLOEXEC);
	(void)state;
	broken_arm();
	assert_int_equal(ftruncate(fd, (off_t)2 * PAGE), 0);
	char *at = mmap(NULL, (size_t)2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(guard_write(at, buf, 2 * PAGE, &fault), 2 * PAGE);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(guard_read(buf, at + 1, 2 * PAGE - 1, &fault), PAGE - 1);
	assert_int_equal(fault.code, BUS_ADRERR);
	assert_false(guard_is_memory_error(&fault));
	assert_ptr_equal(fault.from, at + PAGE);
	assert_int_equal(guard_zero(at + PAGE, PAGE, &fault), 0);
	assert_int_equal(own_calls, 0);
	assert_int_equal(munmap(at, (size_t)2 * PAGE), 0);
	assert_int_equal(close(fd), 0);
}

static void c7_10_what_is_not_guarded_is_the_programs(void **state)
{
	struct guard_fault fault, told = {0};
	int fds[2];
	(void)state;
	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	guard_tell(fds[1]);
	broken_make(memory, PAGE, 12);
	assert_int_equal(guard_read(buf, memory, PAGE, &fault), 0); /* guarded: nobody is told */
	assert_true(read(fds[0], &told, sizeof(told)) < 0 && errno == EAGAIN);
	if (!sigsetjmp(back, 1))
		(void)*(volatile char *)(memory + 7);
	assert_int_equal(own_calls, 1);
	assert_int_equal(read(fds[0], &told, sizeof(told)), sizeof(told));
	assert_true(told.code == BUS_MCEERR_AR && told.from == memory && told.len_bytes == PAGE);
	broken.code = BUS_ADRERR; /* no memory error: of no interest */
	if (!sigsetjmp(back, 1))
		(void)*(volatile char *)memory;
	assert_int_equal(own_calls, 2);
	assert_true(read(fds[0], &told, sizeof(told)) < 0 && errno == EAGAIN);
	guard_tell(-1);
	assert_int_equal(close(fds[0]) | close(fds[1]), 0);
}

/* A page that somebody else has found to be bad ends no copy that comes by: that is for who asked to be told. */
static void c7_10_what_is_told_early_is_the_programs(void **state)
{
	struct guard_fault fault;
	(void)state;
	broken_make(memory + PAGE, PAGE, 12);
	broken.code = BUS_MCEERR_AO;
	if (!sigsetjmp(back, 1)) {
		(void)guard_read(buf, memory, (size_t)2 * PAGE, &fault);
		fail_msg("the copy has ended");
	}
	assert_int_equal(own_calls, 1);
}

/* From far down the stack, where nobody writes over what it leaves behind. */
static __attribute__((noinline)) void read_from_below(char *to)
{
	struct guard_fault fault;
	volatile char room[64 << 10];
	room[0] = room[sizeof(room) - 1] = 0;
	(void)guard_read(to, memory, PAGE, &fault);
	room[0] = 1;
}

/* The other side of a copy is the program's own memory. */
static void c7_10_who_jumps_out_of_a_copy_is_not_brought_back(void **state)
{
	struct guard_fault fault;
	volatile int touches = 0;
	int fd = memfd_create("empty", MFD_CLOEXEC);
	(void)state;
	broken_arm();
	char *nothing = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(nothing, MAP_FAILED);
	if (!sigsetjmp(back, 1))
		read_from_below(nothing);
	assert_int_equal(own_calls, 1);
	broken_make(memory, PAGE, 12);
	if (!sigsetjmp(back, 1)) {
		touches++; /* whoever is brought back comes by here again */
		(void)*(volatile char *)memory;
	}
	assert_int_equal(touches, 1);
	assert_int_equal(own_calls, 2);
	assert_int_equal(guard_read(buf, memory, PAGE, &fault), 0);
	assert_int_equal(munmap(nothing, PAGE) | close(fd), 0);
}

/* How a child ends that touches broken memory, or (sent) is sent the signal. */
static int end_of_child(int sent)
{
	pid_t pid = fork();
	if (pid == 0) {
		broken_make(memory, PAGE, 12);
		if (!sent)
			(void)*(volatile char *)memory;
		else
			(void)kill(getpid(), SIGBUS);
		_exit(7);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool ended_by_it(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS;
}

/* In a process whose first handler this is. */
static int without_a_handler(sighandler_t first)
{
	if (signal(SIGBUS, first) == SIG_ERR || guard_install() != 0)
		return 1;
	memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	broken_remember();
	int touched = end_of_child(0), sent = end_of_child(1);
	bool went_on = WIFEXITED(sent) && WEXITSTATUS(sent) == 7;
	return ended_by_it(touched) && (first == SIG_IGN ? went_on : ended_by_it(sent)) ? 0 : 2;
}

static void assert_ends_well(const char *how)
{
	pid_t pid = fork();
	if (pid == 0) {
		char *argv[] = {(char *)"port_guard", (char *)(uintptr_t)how, NULL};
		(void)execv("/proc/self/exe", argv);
		_exit(9);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Also where it is ignored: a touch cannot be, but a signal that is sent is. */
static void what_has_no_handler_ends_the_systems_way(void **state)
{
	(void)state;
	assert_ends_well("default");
	assert_ends_well("ignored");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_whole_is_copied, open_memory, close_memory),
		cmocka_unit_test_setup_teardown(c6_5_a_broken_page_ends_a_copy_before_it, open_memory, close_memory),
		cmocka_unit_test_setup_teardown(c6_5_all_that_the_machine_names_is_lost, open_memory, close_memory),
		cmocka_unit_test_setup_teardown(a_file_that_was_cut_is_no_memory_error, open_memory, close_memory),
		cmocka_unit_test_setup_teardown(c7_10_what_is_not_guarded_is_the_programs, open_memory, close_memory),
		cmocka_unit_test_setup_teardown(c7_10_what_is_told_early_is_the_programs, open_memory, close_memory),
		cmocka_unit_test_setup_teardown(c7_10_who_jumps_out_of_a_copy_is_not_brought_back, open_memory,
						close_memory),
		cmocka_unit_test(what_has_no_handler_ends_the_systems_way),
	};
	if (argc > 1)
		return without_a_handler(strcmp(argv[1], "ignored") == 0 ? SIG_IGN : SIG_DFL);
	return cmocka_run_group_tests(tests, install, NULL);
}
