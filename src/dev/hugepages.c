/* SPDX-License-Identifier: BSD-3-Clause */
/* hugepages.c - see hugepages.h. All of it is read from sysfs, and true for the moment only: who must be sure reserves. */
#include "dev/hugepages.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "dev/kind.h"
#include "dev/node.h"

static void folder_of(uint64_t page_bytes, int node, char path[112])
{
	char of_node[48] = "/sys/kernel/mm";
	if (node != NODE_ANY)
		(void)snprintf(of_node, sizeof(of_node), "/sys/devices/system/node/node%d", node);
	(void)snprintf(path, 112, "%s/hugepages/hugepages-%" PRIu64 "kB", of_node, page_bytes >> 10);
}

static uint64_t number(uint64_t page_bytes, int node, const char *what)
{
	char folder[112], path[144];
	uint64_t n = 0;
	folder_of(page_bytes, node, folder);
	(void)snprintf(path, sizeof(path), "%s/%s", folder, what);
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%" SCNu64, &n) != 1)
		n = 0;
	(void)fclose(f);
	return n;
}

uint64_t hugepages_to_have(uint64_t page_bytes, int node)
{
	uint64_t nfree = number(page_bytes, node, "free_hugepages");
	if (node != NODE_ANY)
		return nfree; /* promises are made for all nodes together */
	uint64_t promised = number(page_bytes, node, "resv_hugepages");
	return nfree > promised ? nfree - promised : 0;
}

int hugepages_refuse(uint64_t need, uint64_t page_bytes, int node, const char *more, char why[DEV_WHY_MAX])
{
	char name[24], folder[112];
	folder_of(page_bytes, node, folder);
	if (access(folder, F_OK) != 0)
		return dev_refuse(why, -EINVAL,
				  "there are no huge pages of %s here, or not on this node (%s): see numactl -H",
				  page_name(page_bytes, name), folder);
	return dev_refuse(why, -ENOMEM,
			  "needs %" PRIu64 " huge pages of %s, %" PRIu64 " are free: reserve more in %s/nr_hugepages%s",
			  need, page_name(page_bytes, name), hugepages_to_have(page_bytes, node), folder, more);
}

const char *page_name(uint64_t page_bytes, char buf[24])
{
	if (page_bytes >> 30)
		(void)snprintf(buf, 24, "%" PRIu64 "G", page_bytes >> 30);
	else if (page_bytes >> 20)
		(void)snprintf(buf, 24, "%" PRIu64 "M", page_bytes >> 20);
	else
		(void)snprintf(buf, 24, "%" PRIu64 "K", page_bytes >> 10);
	return buf;
}
