/* SPDX-License-Identifier: BSD-3-Clause */
/* A thread's memory policy for the length of an allocation: in force in between, and afterwards what it was. */
#include "dev/node.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

enum { MASK_BITS = 1024 };
static unsigned long mask[MASK_BITS / 64];

/* The policy of this thread, as the kernel has it; its nodes in mask. */
static int policy(void)
{
	int mode = -1;
	assert_int_equal(syscall(SYS_get_mempolicy, &mode, mask, (unsigned long)MASK_BITS, NULL, 0UL), 0);
	return mode;
}

static void set_policy(int mode)
{
	mask[0] = mode == MPOL_DEFAULT ? 0 : 1;
	assert_int_equal(syscall(SYS_set_mempolicy, mode, mask, (unsigned long)MASK_BITS), 0);
}

static void the_node_is_bound_and_what_was_comes_back(void **state)
{
	(void)state;
	static const int modes[] = {MPOL_DEFAULT, MPOL_INTERLEAVE, MPOL_PREFERRED, MPOL_BIND | MPOL_F_STATIC_NODES};
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		struct node_policy before;
		set_policy(modes[i]);
		assert_int_equal(node_enter(0, &before), 0);
		assert_int_equal(policy(), MPOL_BIND);
		assert_int_equal(mask[0], 1);
		node_leave(0, &before);
		assert_int_equal(policy(), modes[i]);
		assert_int_equal(mask[0], modes[i] == MPOL_DEFAULT ? 0 : 1);
	}
	set_policy(MPOL_DEFAULT);
}

static void any_node_changes_nothing(void **state)
{
	(void)state;
	struct node_policy before;
	set_policy(MPOL_INTERLEAVE);
	assert_int_equal(node_enter(NODE_ANY, &before), 0);
	assert_int_equal(policy(), MPOL_INTERLEAVE);
	node_leave(NODE_ANY, &before);
	assert_int_equal(policy(), MPOL_INTERLEAVE);
	set_policy(MPOL_DEFAULT);
}

static void a_node_that_is_not_there_is_refused_and_changes_nothing(void **state)
{
	(void)state;
	static const int nodes[] = {-2, 63, 64, 1000, NODE_MAX, NODE_MAX + 1};
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		struct node_policy before;
		assert_int_equal(node_enter(nodes[i], &before), -EINVAL);
		assert_int_equal(policy(), MPOL_DEFAULT);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_node_is_bound_and_what_was_comes_back),
		cmocka_unit_test(any_node_changes_nothing),
		cmocka_unit_test(a_node_that_is_not_there_is_refused_and_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
