/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * temp.h - a file that gets its name when it is whole: until then it has a temporary name in the same directory.
 *
 * Temporary names are random, as process ids are not: processes of several pid namespaces can reach one pool, or one
 * folder. Each is made exclusively, so one that is taken is somebody else's: it is left alone, and another one tried.
 * Thread safety: any thread.
 */
#ifndef PGMAP_TOOLS_TEMP_H
#define PGMAP_TOOLS_TEMP_H

#include <stdbool.h>
#include <stddef.h>

/* Makes a file of this name, which must not be there: -EEXIST, it is; 0 or another error, which leaves whether it is there open. */
typedef int temp_fn(void *arg, const char *temp);

/*
 * temp_make - make under a random name beside dst, ".prefix-" and 16 digits, in buf. What make answered in the end;
 * -EEXIST after several names that are all taken; -ENAMETOOLONG; -errno of the random numbers. *made: the file of that
 * name is this call's own, or would be, and the caller's to remove.
 */
int temp_make(char *buf, size_t room, const char *dst, const char *prefix, temp_fn *make, void *arg, bool *made);

#endif
