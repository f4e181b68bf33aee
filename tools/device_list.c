/* SPDX-License-Identifier: BSD-3-Clause */
/* device_list.c - see device_list.h. */
#include "device_list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int add_row(void *arg, const struct pgmap_device *device)
{
	struct device_list *list = arg;
	struct pgmap_device *rows = cli_grow(list->rows, list->n, &list->room, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	list->rows = rows;
	list->rows[list->n++] = *device;
	return 0;
}

int device_list_read(struct pgmap_client *client, struct device_list *list)
{
	*list = (struct device_list){0};
	return pgmap_for_each_device(client, add_row, list);
}

void device_list_free(struct device_list *list)
{
	free(list->rows);
	*list = (struct device_list){0};
}

static bool is_number(const char *name, const struct pgmap_device *row)
{
	char number[16];
	snprintf(number, sizeof(number), "%" PRIu32, row->number);
	return strcmp(name, number) == 0;
}

const struct pgmap_device *device_list_find(const struct cli *cli, const struct device_list *list, const char *name)
{
	const struct pgmap_device *found = NULL;
	size_t n = 0;
	for (size_t i = 0; i < list->n; i++) {
		const struct pgmap_device *row = &list->rows[i];
		if (is_number(name, row))
			return row;
	}
	bool number = name[strspn(name, "0123456789")] == '\0'; /* of no device, or nothing at all */
	for (size_t i = 0; i < list->n && !number; i++) {
		const struct pgmap_device *row = &list->rows[i];
		if (strstr(row->spec, name)) {
			found = row;
			n++;
		}
	}
	if (n == 1)
		return found;
	cli_fail(cli,
		 n ? "%s: several devices are called so (give a number: pgmap device list)"
		   : "%s: the pool has no such device (look with: pgmap device list)",
		 name);
	return NULL;
}
