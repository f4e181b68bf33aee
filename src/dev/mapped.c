/* SPDX-License-Identifier: BSD-3-Clause */
/* mapped.c - see mapped.h. */
#include "dev/mapped.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dev/kind.h"

static bool parse(char *text, struct mapped_line *line)
{
	uint64_t from, to, ino;
	unsigned major, minor;
	int path = 0;
	if (sscanf(text, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %x:%x %" SCNu64 " %n", &from, &to,
		   &line->offset_bytes, &major, &minor, &ino, &path) != 6 ||
	    !path || !ino)
		return false;
	text[strcspn(text, "\n")] = 0;
	line->len_bytes = to - from;
	line->dev = makedev(major, minor);
	line->ino = ino;
	line->path = text + path;
	return true;
}

static bool maps_some(const char *folder, bool (*is)(const struct mapped_line *line, const void *arg), const void *arg)
{
	char path[PATH_MAX], *text = NULL;
	size_t room = 0;
	struct mapped_line line;
	(void)snprintf(path, sizeof(path), "%s/maps", folder);
	FILE *f = fopen(path, "re");
	bool found = false;
	if (!f)
		return false;
	while (!found && getline(&text, &room, f) > 0)
		found = parse(text, &line) && is(&line, arg);
	free(text);
	(void)fclose(f);
	return found;
}

static void read_command(const char *folder, char command[64])
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/comm", folder);
	FILE *f = fopen(path, "re");
	if (!f || !fgets(command, 64, f))
		(void)snprintf(command, 64, "?");
	command[strcspn(command, "\n")] = 0;
	if (f)
		(void)fclose(f);
}

int mapped_check(const char *root, bool (*is)(const struct mapped_line *line, const void *arg), const void *arg,
		 char why[DEV_WHY_MAX])
{
	char path[PATH_MAX - 32], folder[PATH_MAX - 8], command[64];
	const struct dirent *entry;
	int err = 0;
	(void)snprintf(path, sizeof(path), "%s/proc", root);
	DIR *dir = opendir(path);
	while (dir && !err && (entry = readdir(dir)) != NULL) {
		long pid = strtol(entry->d_name, NULL, 10);
		(void)snprintf(folder, sizeof(folder), "%s/%ld", path, pid);
		if (pid <= 0 || pid == getpid() || !maps_some(folder, is, arg))
			continue;
		read_command(folder, command);
		err = dev_refuse(why, -EBUSY,
				 "pid %ld (%s) maps it, which no server knows of (end it, or give another device)", pid,
				 command);
	}
	if (dir)
		(void)closedir(dir);
	return err;
}
