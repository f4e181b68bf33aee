/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kind.h - what the kinds of device share, inside this floor only: their table's entries, reading a spec's arguments,
 * and the clause that explains a refusal. No state, so callable from any thread.
 */
#ifndef PGMAP_DEV_KIND_H
#define PGMAP_DEV_KIND_H

#include "dev/dev.h"

extern const struct dev_kind dev_memfd;

enum { DEV_ARG_MAX = 96 };

struct dev_arg {
	char key[16];
	char value[DEV_ARG_MAX];
};

/* dev_next_arg - the next KEY=VALUE of *args, which moves behind it. 1, 0 at the end, -EINVAL (why says which). */
int dev_next_arg(const char **args, struct dev_arg *arg, char why[DEV_WHY_MAX]);

/* dev_refuse - write why, answer err: return dev_refuse(why, -EINVAL, "no size"). why may be null. */
int dev_refuse(char why[DEV_WHY_MAX], int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* lease.c: byte 0 for this server, and nobody's lease left. -EBUSY with the reason, touching nothing. */
int dev_guard(struct dev *dev, char why[DEV_WHY_MAX]);

#endif
