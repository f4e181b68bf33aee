/* SPDX-License-Identifier: BSD-3-Clause */
#include "port/barrier.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "port/abort.h"

bool port_no_membarrier;

static _Atomic unsigned barrier_word;

static void barrier_register(void)
{
	port_no_membarrier = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0;
}

void port_barrier_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, barrier_register);
}

/* A read-modify-write, not a fence instruction: as strong here, and understood by thread sanitizers. */
void port_fence(void)
{
	atomic_fetch_add_explicit(&barrier_word, 0, memory_order_seq_cst);
}

void port_heavy(void)
{
	port_fence();
	if (port_no_membarrier || syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0)
		return;
	/* A child of fork() has lost the registration. */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
	    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0)
		return;
	/* The expedited one may want memory; this one takes its time instead. */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0)
		port_abort("port: membarrier(2) worked before, and now does not: error %d", errno);
}
