/* SPDX-License-Identifier: BSD-3-Clause */
/* A stack begins with who asked for it, and is said in lines that addr2line can read. */
#include "port/stack.h"

#include <dlfcn.h>
#include <pthread.h>

#include "core_util.h"

#define NOINLINE __attribute__((noinline))

/* Stands for a function of the library, which its own caller wants to know about. */
static NOINLINE void library(struct port_stack *stack)
{
	port_stack_take(stack);
	__asm__ volatile("" ::: "memory");
}

static NOINLINE void user(struct port_stack *stack)
{
	library(stack);
	__asm__ volatile("" ::: "memory");
}

static NOINLINE void deep(struct port_stack *stack, unsigned depth)
{
	if (depth)
		deep(stack, depth - 1);
	else
		library(stack);
	__asm__ volatile("" ::: "memory");
}

static void the_first_frame_is_in_the_callers_caller(void **state)
{
	(void)state;
	struct port_stack stack = {0};
	port_stack_init();
	user(&stack);
	assert_true(stack.nframes >= 2);
	assert_int_equal(stack.thread, gettid());
	const uintptr_t at = (uintptr_t)stack.frames[0], from = (uintptr_t)user;
	assert_true(at > from && at - from < 64); /* the return into user() */
}

static void a_deep_stack_is_cut_at_its_far_end(void **state)
{
	(void)state;
	struct port_stack stack = {0};
	deep(&stack, 40);
	assert_int_equal(stack.nframes, PORT_STACK_FRAMES);
	for (unsigned i = 1; i < PORT_STACK_FRAMES; i++)
		assert_ptr_equal(stack.frames[i], stack.frames[1]); /* all return into the same call of deep() */
}

static void say(void *arg)
{
	port_stack_say(arg);
}

static void frames_are_said_as_module_and_offset(void **state)
{
	(void)state;
	struct port_stack stack = {.nframes = 2, .frames = {(char *)(uintptr_t)user + 1, (void *)16}};
	char said[1024], want[256];
	Dl_info info;
	assert_int_not_equal(dladdr(stack.frames[0], &info), 0);
	assert_int_equal(in_child(say, &stack, said, sizeof(said)), 0);
	const char *slash = strrchr(info.dli_fname, '/');
	(void)snprintf(want, sizeof(want), "    %s+%#tx", slash ? slash + 1 : info.dli_fname,
		       (char *)stack.frames[0] - (char *)info.dli_fbase);
	assert_memory_equal(said, want, strlen(want));
	assert_non_null(strstr(said, "\n    0x10\n")); /* in no module */
}

static void *number(void *arg)
{
	*(int *)arg = port_thread();
	return NULL;
}

static void each_thread_has_its_number(void **state)
{
	(void)state;
	pthread_t thread;
	int other = 0;
	assert_int_equal(pthread_create(&thread, NULL, number, &other), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_not_equal(other, port_thread());
	assert_int_equal(port_process(), getpid());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_frame_is_in_the_callers_caller),
		cmocka_unit_test(a_deep_stack_is_cut_at_its_far_end),
		cmocka_unit_test(frames_are_said_as_module_and_offset),
		cmocka_unit_test(each_thread_has_its_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
