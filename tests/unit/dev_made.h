/* SPDX-License-Identifier: BSD-3-Clause */
/* dev_made.h - a system that is made up, for the kinds that read sysfs: a folder of our own, with the folder of one device in
 * it, whose files and links a test writes as it likes. */
#ifndef PGMAP_TESTS_DEV_MADE_H
#define PGMAP_TESTS_DEV_MADE_H

#include "dev_util.h"

#include <limits.h>

static char root[64], device[192];

/* A folder below root, with all above it. */
static inline void make(const char *path)
{
	char command[320];
	(void)snprintf(command, sizeof(command), "mkdir -p '%s/%s'", root, path);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): of our own making */
}

/* The system with its one device, whose folder is `path` below it. */
static inline void make_system(const char *path)
{
	const char *tmp = getenv("TMPDIR");
	(void)snprintf(root, sizeof(root), "%.40s/pgmap-dev-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(root));
	make("dev");
	make(path);
	(void)snprintf(device, sizeof(device), "%s/%s", root, path);
}

static inline int remove_system(void **state)
{
	char command[128];
	(void)state;
	(void)snprintf(command, sizeof(command), "rm -r '%s'", root);
	return system(command); /* NOLINT(cert-env33-c): as above */
}

static inline void write_at(const char *name, const char *text)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/%s", device, name);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* One process more there, which has this mapping alone. */
static inline void write_process(long pid, const char *command, const char *mapping)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "proc/%ld", pid);
	make(path);
	for (int i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/proc/%ld/%s", root, pid, i ? "maps" : "comm");
		FILE *f = fopen(path, "we");
		assert_non_null(f);
		assert_true(fprintf(f, "%s\n", i ? mapping : command) > 0);
		assert_int_equal(fclose(f), 0);
	}
}

static inline void remove_process(long pid)
{
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -r '%s/proc/%ld'", root, pid);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): as above */
}

/* "": the link goes. */
static inline void link_at(const char *name, const char *target)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/%s", device, name);
	(void)unlink(path);
	if (*target)
		assert_int_equal(symlink(target, path), 0);
}

static inline void remove_at(const char *name)
{
	link_at(name, "");
}

typedef int open_under_fn(const char *root, const char *args, struct dev **out, char why[DEV_WHY_MAX]);

/* With this error, in one line that has these words. */
static inline void refused_by(open_under_fn *open_under, const char *args, int want, const char *words)
{
	struct dev *dev = NULL;
	char why[DEV_WHY_MAX] = "";
	int err = open_under(root, args, &dev, why);
	if (err != want || dev || !strstr(why, words) || strchr(why, '\n') || strlen(why) >= DEV_WHY_MAX - 1)
		fail_msg("'%s': %d: \"%s\"; wanted %d and \"%s\"", args, err, why, want, words);
}

static inline struct dev *opened_by(open_under_fn *open_under, const char *args)
{
	struct dev *dev = NULL;
	char why[DEV_WHY_MAX] = "";
	int err = open_under(root, args, &dev, why);
	if (err)
		fail_msg("%s: %d: %s", args, err, why);
	return dev;
}

#endif
