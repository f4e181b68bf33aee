/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * node.h - memory from one NUMA node: the calling thread's policy, changed for the length of an allocation.
 *
 * Any thread; the two calls belong to one thread, and nothing between them may leave it. node -1: nothing is changed.
 */
#ifndef PGMAP_DEV_NODE_H
#define PGMAP_DEV_NODE_H

enum { NODE_ANY = -1, NODE_MAX = 1022 };

struct node_policy {
	int mode;
	unsigned long mask[(NODE_MAX + 2) / (8 * sizeof(unsigned long))];
};

/* node_enter - from here on this thread's allocations come from this node or fail; before: what was. 0 or -errno: -EINVAL
 * no such node, or this process may not have its memory; -EPERM, -ENOSYS.
 * node_leave - back to what was. */
int node_enter(int node, struct node_policy *before);
void node_leave(int node, const struct node_policy *before);

#endif
