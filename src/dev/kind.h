/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kind.h - what the kinds of device share, inside this floor only: their table's entries, reading a spec's arguments,
 * and the clause that explains a refusal. No state, so callable from any thread.
 */
#ifndef PGMAP_DEV_KIND_H
#define PGMAP_DEV_KIND_H

#include <limits.h>
#include <stdbool.h>

#include "dev/dev.h"

extern const struct dev_kind dev_memfd, dev_hugetlb, dev_file, dev_devdax, dev_pmem, dev_pci, dev_limited;

/* One argument that a kind knows: KEY=VALUE, or a bare word. set gets "" for the value of a bare one. */
struct dev_key {
	const char *name;
	bool bare;
	int (*set)(void *request, const char *value, char why[DEV_WHY_MAX]);
};

enum { DEV_ARG_MAX = 96 }; /* a value, with its 0 */

/* dev_parse_args - each argument of args, in order, given to its key's set; keys, 32 at most, ends with a null name. -EINVAL, none
 * of them, or one twice; or what set answers, with why. */
int dev_parse_args(const char *args, const struct dev_key *keys, void *request, char why[DEV_WHY_MAX]);

/* dev_parse_path - the same of PATH[,ARGUMENT]...: the path, which has no comma, goes to `path`. -EINVAL, -ENAMETOOLONG too. */
int dev_parse_path(const char *args, char path[PATH_MAX], const struct dev_key *keys, void *request,
		   char why[DEV_WHY_MAX]);

/* dev_refuse - write why, answer err: return dev_refuse(why, -EINVAL, "no size"). why may be null. */
int dev_refuse(char why[DEV_WHY_MAX], int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* dev_open_kind - what spec names, opened by its kind: neither guarded nor taken yet. */
int dev_open_kind(const char *spec, struct dev **out, char why[DEV_WHY_MAX]);

/* lease.c: byte 0 for this server, and nobody's lease left but own ones (or null: none). -EBUSY with the reason, touching nothing. */
int dev_guard(struct dev *dev, const struct dev_own *own, char why[DEV_WHY_MAX]);
void dev_unguard(struct dev *dev);

/* lease.c, in a kind's take: a lease that is held by a mapping alone, and one that is held by nothing, can be told apart
 * here. -EOPNOTSUPP: not where this file lies; or why it cannot be locked or mapped. */
int dev_try_lease(struct dev *dev, char why[DEV_WHY_MAX]);

#endif
