/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pci.c - memory of a PCI device: one of its BARs, mapped from sysfs.
 *
 * /sys/bus/pci/devices/DOMAIN:BUS:DEV.FN has it all: the BARs and their flags in "resource", each as a file that can be mapped
 * (resourceN, and resourceN_wc where reads have no side effects: then stores may be combined, and this one is taken), and
 * "enable", which has the device answer to its addresses. It is enabled once it is ours, and if we did that, disabled when
 * it is closed. A BAR is mapped in pages of 4 KiB, whole ones only, and never through a cache.
 *
 * A device that has a driver is that driver's, which may do with its BAR what it likes: -EBUSY.
 *
 * The lease: the locks lie on the inode of the file in sysfs, and every mapping keeps the open file (seen on Linux 6.1,
 * tests/vm/machines/kinds.sh; dev_try_lease looks each time). The choice between the two files is made by the flags alone, so that two
 * servers meet at the same one. But when the device is removed and found again its files are others, and so they are in another
 * network namespace, while a mapping of its addresses stays one. So it is looked for that, too: such a mapping begins, in its
 * file, at the BAR's address.
 *
 * The type is P2PDMA (c5.5): no long-term pins. That a peer can reach it by DMA is not shown, nor arranged: the kernel has a
 * driver's interface for that, and sysfs has none.
 */
#include "dev/pci.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dev/mapped.h"
#include "dev/resident.h"

enum { FLAG_IO = 0x100, FLAG_MEMORY = 0x200, FLAG_PREFETCH = 0x2000, BARS = 6, LINE_MAX_BYTES = 96 };
static const uint64_t FLAG_UNSET = 0x20000000;

struct pci {
	struct resident resident;
	unsigned bar;
	uint64_t start_bytes;   /* the BAR's address */
	bool combines, enabled; /* enabled: it counts us */
};

/* DOMAIN:BUS:DEV.FN/BAR, in hexadecimal digits but for the BAR, as lspci -D writes it. */
static int parse_address(const char *text, char folder[16], unsigned *bar)
{
	unsigned domain, bus, device, function;
	char again[32];
	if (sscanf(text, "%4x:%2x:%2x.%1x/%1u", &domain, &bus, &device, &function, bar) != 5 || device > 0x1f ||
	    function > 7)
		return -EINVAL;
	(void)snprintf(folder, 16, "%04x:%02x:%02x.%x", domain, bus, device, function);
	(void)snprintf(again, sizeof(again), "%s/%u", folder, *bar);
	return strcasecmp(again, text) == 0 ? 0 : -EINVAL; /* nothing behind it, nothing left out */
}

static int check_driver(const struct resident *resident, char why[DEV_WHY_MAX])
{
	struct resident_name name;
	const char *driver = resident_link(resident, "driver", &name);
	if (!*driver)
		return 0;
	return dev_refuse(why, -EBUSY,
			  "is in use by the driver %.64s (its file unbind in /sys/bus/pci/drivers/%.64s ends that)",
			  driver, driver);
}

/* Line number `bar` of "resource": first and last address, and flags. */
static int read_resource(const struct pci *pci, uint64_t *start, uint64_t *end, uint64_t *flags)
{
	char path[PATH_MAX + 16], line[LINE_MAX_BYTES];
	unsigned at = 0;
	(void)snprintf(path, sizeof(path), "%s/resource", pci->resident.sysfs);
	FILE *f = fopen(path, "re");
	if (!f)
		return -errno;
	bool there = true;
	while (there && at <= pci->bar) {
		there = fgets(line, sizeof(line), f) != NULL;
		at++;
	}
	(void)fclose(f);
	return there && sscanf(line, "%" SCNx64 " %" SCNx64 " %" SCNx64, start, end, flags) == 3 ? 0 : -EIO;
}

static int check_bar(struct pci *pci, char why[DEV_WHY_MAX])
{
	uint64_t start = 0, end = 0, flags = 0;
	int err = read_resource(pci, &start, &end, &flags);
	if (err)
		return dev_refuse(why, err, "its BARs cannot be read from %.128s/resource", pci->resident.sysfs);
	if (!flags || end < start)
		return dev_refuse(why, -ENXIO, "the device has no BAR %u", pci->bar);
	if (flags & FLAG_IO || !(flags & FLAG_MEMORY))
		return dev_refuse(why, -EINVAL, "BAR %u is of I/O ports, not of memory", pci->bar);
	if (flags & FLAG_UNSET)
		return dev_refuse(why, -ENXIO, "BAR %u has no address: the system had no room for it", pci->bar);
	uint64_t size_bytes = end - start + 1;
	if (size_bytes % PGMAP_PAGE_SIZE || start % PGMAP_PAGE_SIZE)
		return dev_refuse(why, -EINVAL,
				  "BAR %u, %" PRIu64 " bytes at 0x%" PRIx64 ", is not of whole pages of 4K", pci->bar,
				  size_bytes, start);
	pci->start_bytes = start;
	pci->resident.dev.size_bytes = size_bytes;
	pci->combines = flags & FLAG_PREFETCH;
	return 0;
}

static int look_at(struct pci *pci, int node, char why[DEV_WHY_MAX])
{
	static const char *const node_files[] = {"numa_node", NULL};
	if (access(pci->resident.sysfs, F_OK) != 0)
		return dev_refuse(why, -errno, "there is no such PCI device (lspci -D lists them)");
	if (pci->bar >= BARS)
		return dev_refuse(why, -EINVAL, "BARs are 0 to 5");
	int err = check_driver(&pci->resident, why);
	if (!err)
		err = check_bar(pci, why);
	return err ? err : resident_check_node(&pci->resident, node, node_files, why);
}

static int open_file(struct pci *pci, char why[DEV_WHY_MAX])
{
	char path[PATH_MAX + 32];
	(void)snprintf(path, sizeof(path), "%s/resource%u%s", pci->resident.sysfs, pci->bar,
		       pci->combines ? "_wc" : "");
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return dev_refuse(why, -errno, "BAR %u cannot be opened for reading and writing (%.160s): %s", pci->bar,
				  path, strerror(errno));
	pci->resident.dev.fd = fd;
	return 0;
}

static int write_enable(const struct pci *pci, const char *word)
{
	char path[PATH_MAX + 16];
	(void)snprintf(path, sizeof(path), "%s/enable", pci->resident.sysfs);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = fd < 0 || write(fd, word, 1) != 1 ? -errno : 0;
	if (fd >= 0)
		(void)close(fd);
	return err;
}

/* The kernel counts how often. */
static int enable(struct pci *pci, char why[DEV_WHY_MAX])
{
	int err = write_enable(pci, "1");
	pci->enabled = err == 0;
	return err ? dev_refuse(why, err, "cannot be enabled: %s", strerror(-err)) : 0;
}

static bool maps_bar(const struct mapped_line *line, const void *arg)
{
	const struct pci *pci = arg;
	return strstr(line->path, "/resource") &&
	       line->offset_bytes < pci->start_bytes + pci->resident.dev.size_bytes &&
	       pci->start_bytes < line->offset_bytes + line->len_bytes;
}

/* Byte 0 is ours; a driver may have come before that, or the device may be another now. */
static int pci_take(struct dev *dev, char why[DEV_WHY_MAX])
{
	struct pci *pci = (struct pci *)dev;
	uint64_t size_bytes = dev->size_bytes;
	int err = check_driver(&pci->resident, why);
	if (!err)
		err = check_bar(pci, why);
	if (!err && dev_check(dev) != 0)
		err = dev_refuse(why, -EBUSY, "was removed and found again while it was taken over");
	if (!err && dev->size_bytes != size_bytes)
		err = dev_refuse(why, -EBUSY, "somebody changed its size while it was taken over");
	if (!err)
		err = mapped_check(pci->resident.root, maps_bar, pci, why);
	if (!err)
		err = enable(pci, why);
	return err ? err : dev_try_lease(dev, why);
}

/* With a driver its memory is that driver's. */
static int pci_check(const struct dev *dev)
{
	struct resident_name name;
	int err = resident_check(dev);
	return err || !*resident_link(&((const struct pci *)dev)->resident, "driver", &name) ? err : -ENXIO;
}

static void pci_close(struct dev *dev)
{
	struct pci *pci = (struct pci *)dev;
	if (pci->enabled)
		(void)write_enable(pci, "0");
	resident_close(dev);
}

static const struct dev_key keys[] = {
	RESIDENT_NODE,
	{NULL, false, NULL},
};

int pci_open_under(const char *root, const char *args, struct dev **out, char why[DEV_WHY_MAX])
{
	struct resident_request req;
	char folder[16];
	unsigned bar;
	int err = resident_parse(args, keys, &req, why);
	if (!err && parse_address(req.path, folder, &bar) != 0)
		err = dev_refuse(why, -EINVAL, "is not DOMAIN:BUS:DEV.FN/BAR, as in 0000:00:04.0/2 (lspci -D)");
	if (err)
		return err;
	struct pci *pci = (struct pci *)resident_create(sizeof(*pci), &dev_pci);
	if (!pci)
		return dev_refuse(why, -ENOMEM, "no memory");
	(void)snprintf(pci->resident.sysfs, sizeof(pci->resident.sysfs), "%s/sys/bus/pci/devices/%s", root, folder);
	pci->bar = bar;
	pci->resident.root = root;
	pci->resident.dev.type = PGMAP_P2PDMA;
	pci->resident.dev.close = pci_close;
	pci->resident.dev.take = pci_take;
	err = look_at(pci, req.node, why);
	if (!err) {
		resident_watch(&pci->resident, "uevent");
		pci->resident.dev.check = pci_check;
		err = open_file(pci, why);
	}
	if (err) {
		pci_close(&pci->resident.dev);
		return err;
	}
	resident_write_spec(&pci->resident, &req);
	*out = &pci->resident.dev;
	return 0;
}

static int pci_open(const char *args, struct dev **out, char why[DEV_WHY_MAX])
{
	return pci_open_under("", args, out, why);
}

const struct dev_kind dev_pci = {
	.kind_bytes = sizeof(struct dev_kind),
	.name = "pci",
	.usage =
		"pci:DOMAIN:BUS:DEV.FN/BAR[,node=N]   a BAR of a PCI device without a driver, whose bytes a pool drops",
	.open = pci_open,
};
