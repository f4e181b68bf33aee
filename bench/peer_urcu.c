/* SPDX-License-Identifier: BSD-3-Clause */
/* peer_urcu.c - urcu_ref: a reference count that checks for overflow, the nearest thing that a C programmer picks. */
#include "subject.h"

#include <urcu/ref.h>

static struct urcu_ref ref;
static uint64_t count;

static void release(struct urcu_ref *gone)
{
	keep(gone);
}

static void batch(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		urcu_ref_get(&ref);
		urcu_ref_put(&ref, release);
	}
}

static void prepare(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	urcu_ref_init(&ref);
	count = subject_calibrate(batch);
}

static double round_ns(void)
{
	uint64_t start = now_ns();
	batch(count);
	return (double)(now_ns() - start) / (double)count;
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {{"get_put", "", prepare, round_ns}, {0}};
	return subject_main(argc, argv, table);
}
