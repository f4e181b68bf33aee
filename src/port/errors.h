/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * errors.h - memory errors, told to this process: a thread that the kernel tells early of any that it finds in memory which is
 * mapped here (prctl PR_MCE_KILL), though nobody here has touched it; and of those that were touched here and not guarded (guard.h).
 *
 * The kernel's word comes to this thread alone, so a program's own handler and mask see none of it.
 */
#ifndef PGMAP_PORT_ERRORS_H
#define PGMAP_PORT_ERRORS_H

#include "port/guard.h"

/* Called by the thread, which has nothing locked, and all signals blocked. */
typedef void errors_fn(const struct guard_fault *fault);

/* errors_listen - guard_install(), and that thread, which lasts as long as the process; once a process: again, 0, and it goes on
 * with the first fn. -EAGAIN no thread can be had; or what the system says. Any thread. A child of fork() has neither. */
int errors_listen(errors_fn *fn);

#endif
