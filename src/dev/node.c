/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * node.c - see node.h. By system call: the three that are needed are no reason for a library.
 *
 * The thread's policy, and not the mapping's (mbind): it holds for every allocation that is made on a thread's behalf,
 * fallocate() on any file system included; hugetlbfs knows no policy of a mapping when it allocates by fallocate(). The
 * pages stay where they were allocated: tmpfs and hugetlbfs keep them, and what is swapped out comes back by the policy of
 * whoever touches it (which "lock" prevents).
 */
#include "dev/node.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "port/abort.h"

enum { WORD_BITS = 8 * sizeof(unsigned long) };

static int set_policy(const struct node_policy *policy)
{
	return syscall(SYS_set_mempolicy, policy->mode, policy->mask, 8 * sizeof(policy->mask)) == 0 ? 0 : -errno;
}

int node_enter(int node, struct node_policy *before)
{
	if (node == NODE_ANY)
		return 0;
	if (node < 0 || node > NODE_MAX)
		return -EINVAL;
	struct node_policy bind = {.mode = MPOL_BIND};
	bind.mask[(unsigned)node / WORD_BITS] = 1UL << ((unsigned)node % WORD_BITS);
	memset(before, 0, sizeof(*before));
	if (syscall(SYS_get_mempolicy, &before->mode, before->mask, 8 * sizeof(before->mask), NULL, 0UL) != 0)
		return -errno;
	return set_policy(&bind);
}

void node_leave(int node, const struct node_policy *before)
{
	if (node == NODE_ANY)
		return;
	int err = set_policy(before);
	if (err)
		port_abort("node: the thread's memory policy cannot be put back: mode=%d error=%d", before->mode, -err);
}
