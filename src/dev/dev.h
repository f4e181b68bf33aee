/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dev.h - gives memory: a size, a descriptor that other processes can map, a granule. One file per kind of device.
 *
 * A spec is KIND:KEY=VALUE,... or KIND:PATH,...; the kinds stand in dev.c's table.
 *   memfd:size=SIZE[,page=4K|2M|1G|auto][,name=NAME]   anonymous shared memory; auto (default): the largest huge page
 *                                          that is not above the size, divides it and has enough reserved; else 4K
 *   memfd:fd=N                             a memfd that was inherited, say from a service manager: its size and page
 *   hugetlb:size=SIZE,page=2M|1G           anonymous memory in huge pages, all promised by the system, or refused
 *   file:PATH[,size=SIZE][,create][,overwrite]   a regular file: on tmpfs or hugetlbfs memory, else the page cache. No
 *                                          comma in PATH; links are followed. create: make it (mode 0600, sparse, of
 *                                          that size) if it is not there. A file that holds data is refused without
 *                                          overwrite: whatever it holds is dropped. One that is empty gets the size;
 *                                          another size than it has only with overwrite.
 *   devdax:/dev/daxX.Y[,size=SIZE][,align=SIZE][,uuid=UUID][,node=N]   a DAX node of the kernel, all of it: its size and alignment
 *                                          from sysfs; what it holds is dropped. The keys are questions: refused if it is
 *                                          another one than they say. No lock: it is never swapped.
 *   pmem:/dev/pmemN[,size=SIZE][,uuid=UUID][,node=N]   persistent memory as a block device, all of it, through the page cache; as
 *                                          devdax
 *   pci:DOMAIN:BUS:DEV.FN/BAR[,node=N]   a BAR of a PCI device that has no driver, mapped from sysfs; as devdax
 *   limited:SPEC                         the device of that spec as it is, read in place (c5.6): no pool can lie on it
 * The others: node=N, memory of that NUMA node only; lock, never swapped out (huge pages never are).
 * SIZE: a number with an optional K, M, G or T (powers of 1024).
 *
 * The lease (docs/lease.md): every connection gets an open file description of its own, which holds a read lock on the
 * connection's byte; the kernel drops it with the last mapping made from it. Byte 0 is the server's (a write lock).
 */
#ifndef PGMAP_DEV_DEV_H
#define PGMAP_DEV_DEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pgmap/dax.h>

enum { DEV_SPEC_MAX = 128, DEV_WHY_MAX = 256 };

/* How it is mapped, and what has to be done for a store to be there after a power cut: enum pgmap_access and
 * enum pgmap_persistence of client.h say the same. */
enum dev_access {
	DEV_ACCESS_MEMORY, /* it is the system's own memory */
	DEV_ACCESS_CACHED, /* through the page cache */
	DEV_ACCESS_DIRECT,
	DEV_ACCESS_SYNC /* directly, with MAP_SYNC: what a fault allocates is in the file system before the store is made */
};
enum dev_persistence {
	DEV_PERSIST_NONE,    /* volatile */
	DEV_PERSIST_UNKNOWN, /* persistent; this build does not know how */
	DEV_PERSIST_PAGE,    /* msync() */
	DEV_PERSIST_CACHE_LINE,
	DEV_PERSIST_BYTE
};

struct dev;
typedef int dev_bad_fn(uint64_t offset_bytes, uint64_t len_bytes, void *arg);

struct dev_kind {
	size_t kind_bytes;
	const char *name;  /* as in the spec */
	const char *usage; /* one line for --help and the man page */
	int (*open)(const char *args, struct dev **out, char why[DEV_WHY_MAX]);
};

struct dev {
	const struct dev_kind *kind;
	const struct dax_device_ops *ops; /* with ctx = the dev */
	int fd;                           /* read and write, close-on-exec */
	uint64_t size_bytes;
	unsigned granule_order;
	const uint64_t *pieces_bytes; /* as in dax_params: the kind's own, or null */
	size_t npieces;
	enum pgmap_type type;   /* what its pgmap is to be (c5); 0: LIMITED, none */
	bool keep;              /* set before take: what it holds stays, and nothing of it is changed */
	bool made;              /* for this: it goes when it is closed, until dev_stays() */
	bool resident;          /* its memory is always there, with whatever bytes: see dax_params.resident */
	enum dev_access access; /* these two are known once what it held was dropped */
	enum dev_persistence persistence;
	char spec[DEV_SPEC_MAX]; /* normalised: what was asked for, with what "auto" chose */
	void (*close)(struct dev *dev);
	/* Called once the guards have passed: is it still what was looked at, and will it do? What it holds stays as it is. Or null. */
	int (*take)(struct dev *dev, char why[DEV_WHY_MAX]);
	/* Then, before anything is handed out: what an earlier owner left goes. Or null. */
	int (*drop)(struct dev *dev, char why[DEV_WHY_MAX]);
	/* -ENXIO: the system has taken it away since it was opened, for good. Null: it cannot. */
	int (*check)(const struct dev *dev);
	/* The ranges that the system knows to have lost their data (c6.5), in whole pages: fn for each; what it answers, unless 0,
	 * ends it and is returned. Null: the kind has no such list. */
	int (*for_each_bad)(const struct dev *dev, dev_bad_fn *fn, void *arg);
	/* A descriptor of the device's own that becomes ready for POLLPRI when that list may have changed since it was last asked
	 * for, or -1. Null: none. */
	int (*bad_fd)(const struct dev *dev);
	int guard_fd; /* the open file description that holds byte 0; dev.c's */
};

/*
 * dev_open - -EINVAL unknown kind, key or value, size 0 or not a multiple of the page, no regular file; -ENOMEM no huge
 * pages reserved; -ENOMEM or -EPERM more to lock than the process may; -EBUSY another server has it, or clients of a dead
 * one still map it (then nothing was touched); -ENOENT, -EEXIST the file is not there, holds data; -EOPNOTSUPP its file
 * system will not do; and what opening it says. why gets the clause that follows "which: " in the error line.
 */
int dev_open(const char *spec, struct dev **out, char why[DEV_WHY_MAX]);
/* dev_open_again - the same, where clients of this very server may have descriptors of it still, from when it had the device
 * before: their leases' bytes, in rising order. */
struct dev_own {
	const uint64_t *bytes;
	size_t n;
};
int dev_open_again(const char *spec, const struct dev_own *own, struct dev **out, char why[DEV_WHY_MAX]);
/* The same in three steps, for who needs several, or finds out by looking whether it is of use. dev_look - all that can be refused without a change
 * is: nobody else can have it, and it holds what it held. dev_drop - what it held goes. It fails where only trying can tell: the file system of a
 * file that holds data cannot allocate, zero or punch (-EOPNOTSUPP), a system call fails. dev_stays - what was made for it (create)
 * stays when it is closed; until then that goes with it. */
int dev_look(const char *spec, const struct dev_own *own, struct dev **out, char why[DEV_WHY_MAX]);
int dev_drop(struct dev *dev, char why[DEV_WHY_MAX]);
void dev_stays(struct dev *dev);
void dev_close(struct dev *dev);
/* dev_is - whether this spec names that device, by its path or another one, or in the same words. */
bool dev_is(const struct dev *dev, const char *spec);

/* The kinds that this build knows, for --help: null past the last. */
const struct dev_kind *dev_kind_at(size_t i);

/* dev_check - 0, or -ENXIO: the system has taken the device away (a driver was unbound, a module was pulled), for good. What is
 * mapped of it is SIGBUS, and it must not be opened or mapped again. */
int dev_check(const struct dev *dev);

/* dev_for_each_bad - see dev.for_each_bad; -EIO its list cannot be understood, or the kernel has cut it, -EACCES where on the device they
 * are cannot be read, or what reading it says. By one thread at a time. */
int dev_for_each_bad(const struct dev *dev, dev_bad_fn *fn, void *arg);
/* dev_bad_fd - see dev.bad_fd: not to be read or closed. It may stay ready when the device has gone (EPOLLET), and where the list is no
 * file of the kernel's it cannot be waited for (-EPERM). */
int dev_bad_fd(const struct dev *dev);

/* dev_open_lease - the device opened anew, for reading or (write) for both, with the read lock on byte `byte` (1 to 2^62)
 * held; of a device that is gone a file without memory, which no lease waits for. dev_join_lease - the same again for a byte that
 * a lease holds already, on this device or (it came later) on others: it falls with the last of them.
 * dev_lease_probe - 1 nobody maps or holds the lease of this byte any more, 0 somebody does, or -errno. Never waits.
 * dev_lease_wait - waits (F_OFD_SETLKW) until nobody does; 0, -EINTR or another errno. For a helper thread.
 * dev_lease_waiter, dev_waiter_wait - the same in two steps: a descriptor (to be closed) to wait with, also when the device is
 * closed meanwhile. */
int dev_open_lease(struct dev *dev, uint64_t byte, bool write);
int dev_join_lease(struct dev *dev, uint64_t byte, bool write);
int dev_lease_probe(struct dev *dev, uint64_t byte);
int dev_lease_wait(const struct dev *dev, uint64_t byte);
int dev_lease_waiter(const struct dev *dev);
int dev_waiter_wait(int waiter_fd, uint64_t byte);

/* "4K", "2M", "1G" to order; sizes with suffixes. -EINVAL. Used by specs and tools. */
int dev_parse_size(const char *text, uint64_t *bytes);

#endif
