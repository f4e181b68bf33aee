/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lease.c - who still maps the device, told by the kernel (docs/lease.md).
 *
 * A lease is an open file description, or two, one that can be written through and one that cannot: the device opened
 * anew, with a read lock (F_OFD_SETLK) on the lease's own byte. Every descriptor and every mapping made from it, in whatever
 * process, by fork or by sending it on, keeps that description open, and an OFD lock goes only with its description. So
 * the write lock on the byte can be had exactly when no process has a descriptor or a mapping of the lease any more: no
 * clock, no trust, no pid.
 *
 * Byte 0 is the server's, write-locked through guard_fd for as long as the device is open: a second server finds it
 * taken. A server that finds byte 0 free but a lock on any other byte has a dead predecessor with clients that still
 * map the device, and must not touch it.
 *
 * All bytes that no lease has had yet are write-locked through guard_fd too: a client can lock what it likes through its
 * own descriptor, and would otherwise take a byte before its holder comes, which could then never have its lease. A lock
 * that a client takes on a byte in use can only be a read lock: it makes that holder seem alive for as long as this
 * client is.
 *
 * Bytes are given in rising order and never again, so the guard has two ranges, byte 0 and all that are to come, however
 * many leases there have been: the byte of one that has ended is nobody's. Of a device that comes to a pool which serves
 * already, all are guarded at first, and each lease takes its own when its client asks for a descriptor: so its ranges are at
 * most as many more as there were clients then.
 *
 * A device that has left a pool may come to it again while clients have descriptors of it still from before, which are nobody's
 * mappings. They hold locks on bytes of leases of this very server, which knows them (struct dev_own); a lock on any other
 * byte is somebody else's, as ever.
 *
 * Who waits for a byte does so through a descriptor of its own (dev_lease_waiter), and so on the guard's description: this
 * stays when the device is closed meanwhile, so the guard's locks are let go of one and all before that.
 *
 * The probes go through guard_fd as well: they conflict with others' descriptions only.
 *
 * Thread safety: any thread. dev_lease_wait() blocks; it is for a helper thread, and ends with -EINTR on a signal.
 */
#include "dev/dev.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dev/kind.h"

static const uint64_t TRIAL_BYTE = UINT64_C(1) << 62; /* of the lease; no holder's number comes near */

/* The device again, as an open file description of its own. */
static int reopen(int fd, bool write)
{
	char path[40];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	return again >= 0 ? again : -errno;
}

/* Instead of a device that is gone: whoever maps it all the same gets SIGBUS, as of the device. */
static int open_nothing(bool write)
{
	int fd = memfd_create("pgmap-gone", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0 && write))
		return fd < 0 ? -errno : fd;
	int again = reopen(fd, write);
	(void)close(fd);
	return again;
}

/*
 * The device again, or nothing. First opened, then asked: if its driver is bound still, it was bound when it was opened. The
 * other way round it may have gone in between; and to map a DAX node that was opened after that ends the kernel
 * (Linux 6.1 follows a null pointer), which a client would do.
 */
static int open_again(const struct dev *dev, bool write, bool *gone)
{
	int fd = reopen(dev->fd, write);
	*gone = dev_check(dev) != 0;
	if (!*gone)
		return fd;
	if (fd >= 0)
		(void)close(fd);
	return open_nothing(write);
}

static struct flock lock_of(short type, uint64_t start, uint64_t len)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)start, .l_len = (off_t)len, /* 0: to infinity */
	};
	return lock;
}

static int set_lock(int fd, short type, uint64_t start, uint64_t len)
{
	struct flock lock = lock_of(type, start, len);
	return fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : -errno;
}

/* 1: nobody else has a lock in this range. */
static int probe(int fd, uint64_t start, uint64_t len)
{
	struct flock lock = lock_of(F_WRLCK, start, len);
	if (fcntl(fd, F_OFD_GETLK, &lock) != 0)
		return -errno;
	return lock.l_type == F_UNLCK;
}

static int guard_range(int guard, uint64_t from, uint64_t len, char why[DEV_WHY_MAX])
{
	int nobody = probe(guard, from, len);
	if (nobody < 0)
		return dev_refuse(why, nobody, "its locks cannot be read");
	if (!nobody)
		return dev_refuse(why, -EBUSY,
				  "processes of a dead server still map it (end them, or give another device)");
	return set_lock(guard, F_WRLCK, from, len) == 0
		       ? 0
		       : dev_refuse(why, -EBUSY,
				    "somebody else locks its bytes (end that program, or give another device)");
}

/* One that a client of ours may hold still; it becomes guarded again if none does. A lock that a lease is not would keep it
 * from ever having this byte. */
static int guard_own(int guard, uint64_t byte, char why[DEV_WHY_MAX])
{
	int err = set_lock(guard, F_RDLCK, byte, 1);
	if (err)
		return dev_refuse(why, -EBUSY,
				  "somebody else locks its bytes (end that program, or give another device)");
	if (set_lock(guard, F_WRLCK, byte, 1) != 0)
		(void)set_lock(guard, F_UNLCK, byte, 1);
	return 0;
}

/* All bytes from 1 on: no more locks are asked for than there are bytes of our own. */
static int guard_bytes(int guard, const struct dev_own *own, char why[DEV_WHY_MAX])
{
	uint64_t from = 1;
	int err = 0;
	for (size_t i = 0; own && i < own->n && !err; i++) {
		if (own->bytes[i] > from)
			err = guard_range(guard, from, own->bytes[i] - from, why);
		if (!err)
			err = guard_own(guard, own->bytes[i], why);
		from = own->bytes[i] + 1;
	}
	return err ? err : guard_range(guard, from, 0, why);
}

int dev_guard(struct dev *dev, const struct dev_own *own, char why[DEV_WHY_MAX])
{
	int guard = reopen(dev->fd, true);
	if (guard < 0)
		return dev_refuse(why, guard, "cannot be opened again through /proc/self/fd: %s", strerror(-guard));
	int err = set_lock(guard, F_WRLCK, 0, 1);
	if (err) {
		err = err == -EAGAIN || err == -EACCES ? -EBUSY : err;
		(void)dev_refuse(why, err,
				 err == -EBUSY ? "another server has it (stop that one, or give another device)"
					       : "cannot be locked");
	} else {
		err = guard_bytes(guard, own, why);
	}
	if (err)
		(void)close(guard);
	else
		dev->guard_fd = guard;
	return err;
}

/* A lease that is held by a mapping alone, and one that is held by nothing: the kernel must tell the two apart. */
int dev_try_lease(struct dev *dev, char why[DEV_WHY_MAX])
{
	size_t page_bytes = PGMAP_PAGE_SIZE << dev->granule_order;
	int lease = dev_open_lease(dev, TRIAL_BYTE, true);
	if (lease < 0)
		return dev_refuse(why, lease, "no lease can be held on it: %s", strerror(-lease));
	void *at = mmap(NULL, page_bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, lease, 0);
	int err = at == MAP_FAILED ? -errno : 0;
	(void)close(lease);
	if (err)
		return dev_refuse(why, err, "cannot be mapped by several: %s", strerror(-err));
	int mapped = dev_lease_probe(dev, TRIAL_BYTE);
	(void)munmap(at, page_bytes);
	int gone = dev_lease_probe(dev, TRIAL_BYTE);
	if (mapped == 0 && gone == 1)
		return 0;
	return dev_refuse(why, -EOPNOTSUPP, "its file system does not keep a lock for as long as a mapping");
}

static int byte_ok(uint64_t byte)
{
	return byte >= 1 && byte <= UINT64_C(1) << 62;
}

/* From the guard's write lock to the lease's read lock with no moment between in which a client could take it. */
static int take_over(const struct dev *dev, int fd, uint64_t byte)
{
	int err = set_lock(dev->guard_fd, F_RDLCK, byte, 1);
	if (!err)
		err = set_lock(fd, F_RDLCK, byte, 1);
	if (!err)
		err = set_lock(dev->guard_fd, F_UNLCK, byte, 1);
	if (err && set_lock(dev->guard_fd, F_WRLCK, byte, 1) != 0)
		(void)set_lock(dev->guard_fd, F_UNLCK, byte, 1); /* others have it, too: a lease */
	return err;
}

int dev_open_lease(struct dev *dev, uint64_t byte, bool write)
{
	if (!byte_ok(byte))
		return -EINVAL;
	bool gone;
	int fd = open_again(dev, write, &gone);
	if (fd < 0 || gone)
		return fd;
	int err = take_over(dev, fd, byte);
	if (err)
		(void)close(fd);
	return err ? err : fd;
}

int dev_join_lease(struct dev *dev, uint64_t byte, bool write)
{
	if (!byte_ok(byte))
		return -EINVAL;
	bool gone;
	int fd = open_again(dev, write, &gone);
	int err = fd < 0 ? fd : gone ? 0 : set_lock(fd, F_RDLCK, byte, 1);
	/* A device that came later than the lease: its guard has all bytes. */
	if (err == -EAGAIN || err == -EACCES)
		err = take_over(dev, fd, byte);
	if (err && fd >= 0)
		(void)close(fd);
	return err ? err : fd;
}

int dev_lease_probe(struct dev *dev, uint64_t byte)
{
	return byte_ok(byte) ? probe(dev->guard_fd, byte, 1) : -EINVAL;
}

int dev_lease_waiter(const struct dev *dev)
{
	int fd = fcntl(dev->guard_fd, F_DUPFD_CLOEXEC, 0);
	return fd >= 0 ? fd : -errno;
}

int dev_waiter_wait(int waiter_fd, uint64_t byte)
{
	if (!byte_ok(byte))
		return -EINVAL;
	struct flock lock = lock_of(F_WRLCK, byte, 1);
	if (fcntl(waiter_fd, F_OFD_SETLKW, &lock) != 0)
		return -errno;
	/* Kept, it would be one more lock that every later one is compared with. Where it cannot be let go, it is kept. */
	(void)set_lock(waiter_fd, F_UNLCK, byte, 1);
	return 0;
}

int dev_lease_wait(const struct dev *dev, uint64_t byte)
{
	return dev_waiter_wait(dev->guard_fd, byte);
}

void dev_unguard(struct dev *dev)
{
	if (dev->guard_fd < 0)
		return;
	(void)set_lock(dev->guard_fd, F_UNLCK, 0, 0); /* a waiter may keep the description */
	(void)close(dev->guard_fd);
	dev->guard_fd = -1;
}
