/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client.h - a pool of files that many processes map with no copy: connect, open, map, pin, unmap, close. The same calls
 * work on a pool server's socket and on a pool embedded in this program.
 *
 * A mapping is one contiguous address range made of pieces of the device itself: after pgmap_map() the data path has no
 * server, no copy and no fault handler of ours. References are charged to the connection (c7.1). When the process dies,
 * they are dropped once the kernel maps the device for it nowhere any more, and not before (c7.2).
 *
 * Thread safety: every call from any thread; pgmap_disconnect(), pgmap_close() and pgmap_unmap() end their handle, which
 * no other call may be using. pgmap_pin() and pgmap_unpin() are async-signal-safe and make no message or system call,
 * but for an unpin that somebody waits for.
 * After fork() the child must not use the parent's handles, except to read and write mapped memory (c7.8). A thread may
 * fork beside any call of another: the child has no descriptor of any connection, not even of one that was being made (but of an
 * embedded pool: docs/limits.md), and the fork waits for no server.
 * Errors: 0 or a negative errno; -EPIPE when the server has gone, also where another has come in its place, or the connection
 * was ended; -EPROTO when what answers does not speak the protocol
 * (the connection may have ended then: -EPIPE from there on). A call that fails has changed nothing. errno says nothing, and
 * may be anything after a call; but pgmap_pin(), pgmap_unpin(), pgmap_mapping_address() and pgmap_mapping_bytes() leave it.
 * No call installs a handler of a signal: a SIGBUS is the program's own (c7.10).
 */
#ifndef PGMAP_CLIENT_H
#define PGMAP_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pgmap_client;  /* opaque: a connection */
struct pgmap_file;    /* opaque: an open file */
struct pgmap_mapping; /* opaque: a mapped range of a file */

/*
 * pgmap_connect - a connection to a pool. target: null, the default socket ($PGMAP_SOCKET, else $XDG_RUNTIME_DIR/pgmap/pgmapd.sock, else
 * /run/pgmap/pgmapd.sock); a path or "unix:PATH", that socket (a relative one
 * as of now: chdir() changes nothing, but where it would be too long for a socket from the root on); "embedded:SPEC" (say "embedded:memfd:size=64M"), a pool
 * of its own in this program, which ends with pgmap_disconnect(): -EBUSY, nothing changed, while its files are mapped.
 *   -ENOENT, -ECONNREFUSED  nobody serves there     -EPROTO  another protocol version     -EINVAL  the target or spec
 *   -ENAMETOOLONG  the path is too long for a socket     -EACCES  no right to it     -EPIPE  the server went meanwhile
 *   -EMFILE, -ENFILE  no descriptors are left, here or there     -ENOMEM, -ENOSPC
 *   -EBUSY  another server has the device of SPEC, or clients of a dead one     -EEXIST  it holds data, see docs/devices.md
 *   -EPERM, -EFBIG  more than the limits of this process     -EROFS, -EOPNOTSUPP  its file system will not do, it is read-only
 *   -ENXIO  the device is disabled, or has no such BAR     -EIO  the system does not say what it is
 */
int pgmap_connect(const char *target, struct pgmap_client **out);
/* pgmap_disconnect - end a connection. A socket's: whatever is still mapped stays mapped and charged until all of it is
 * unmapped, or the process ends: nobody tells the server of one mapping of several any more, and the kernel tells it when
 * there is none; so unmapping one frees none of its pages while another is there. An embedded one's: -EBUSY, see above.
 * Null: 0. */
int pgmap_disconnect(struct pgmap_client *client);

enum {
	PGMAP_O_CREATE = 1, /* make it if it is not there */
	PGMAP_O_EXCL = 2,   /* with CREATE: -EEXIST if it is */
	PGMAP_O_TRUNC = 4,  /* to size 0 */
	PGMAP_O_RDONLY = 8  /* it cannot be truncated or mapped for writing through this handle */
};
/* pgmap_open, pgmap_close - a handle on a file of the pool, and its end. Open: -ENOENT, -EEXIST, -EISDIR, -ENOTDIR,
 * -ENAMETOOLONG, -EINVAL (RDONLY with CREATE or TRUNC, too), -ENOSPC; -EACCES this user may only read. Paths: see
 * fsdax.h. Close: 0, whatever has become of the server; -EPERM in a forked child, and nothing changes. Null: 0. */
int pgmap_open(struct pgmap_client *client, const char *path, unsigned flags, struct pgmap_file **out);
int pgmap_close(struct pgmap_file *file); /* its mappings stay */

struct pgmap_stat {
	uint64_t ino;
	uint64_t size_bytes;
	uint64_t blocks; /* 4 KiB pages */
	uint64_t extents;
	uint64_t mappings;
	int64_t mtime_ns;
	uint32_t nlink;
	uint32_t is_dir;
	uint32_t max_order; /* of its folios: the biggest that it has */
	uint32_t order;     /* pgmap_set_order() */
	uint32_t
		granule_order; /* at multiples of so many pages (2^granule_order) a mapping or a punch may begin: fsdax.h */
	uint32_t reserved;     /* 0 */
};
/* pgmap_fstat, pgmap_truncate - what an open file is, and what size it shall have. -EINVAL; truncate: -ENOSPC, -EFBIG,
 * -ENOMEM, -EACCES opened for reading, -EAGAIN others kept changing its size while memory was made ready. */
int pgmap_fstat(struct pgmap_file *file, struct pgmap_stat *out);
int pgmap_truncate(struct pgmap_file *file, uint64_t size_bytes); /* as fsdax_truncate(): allocated, zeroed, deferred */

/* What becomes of pages that a file is to lose and somebody holds (c6.7). */
enum {
	PGMAP_DEFER = 0, /* the file loses them now, and they are reused only after their last put */
	PGMAP_WAIT = 1,  /* wait until nobody holds them */
	PGMAP_FAIL = 2   /* -EBUSY at once */
};
/*
 * pgmap_truncate_how, pgmap_punch, pgmap_unlink_how - take pages away from a file in one of these ways: see fsdax.h for what
 * holds a page. When WAIT or FAIL answers 0, all that the file lost is free; what answers anything else has changed nothing.
 * What has waited only takes away: where somebody else has taken more meanwhile, it adds nothing.
 * While one waits, new mappings of the range answer -EAGAIN, and new pins too (c7.9). timeout_ms says something to WAIT
 * only: 0 looks once, below 0 waits for ever. The connection can be used meanwhile; what waits ends with it: -EPIPE. So
 * pgmap_disconnect() of another thread ends a wait for a file; an embedded pool's end, for which nothing may be mapped, waits until it is told.
 * pgmap_punch leaves a hole: the file keeps its size, the hole has no pages, and reads as zero when it is mapped, which
 * gives it new ones. offset_bytes and len_bytes are multiples of the pool's granule; the range may go beyond the end. -EINVAL
 * also where it would cut a bigger granule, on a pool whose devices differ: multiples of pgmap_stat.granule_order never do.
 *   -EBUSY      FAIL: somebody holds some of it; an unlink: or has the file open; pgmap_who() says who maps some
 *   -ETIMEDOUT  WAIT: somebody still does          -ENODEV  WAIT and FAIL: the pool is draining
 *   -ENOENT     unlink: no such file, or the path leads elsewhere since
 *   -EUSERS     64 requests of this connection wait     -EMFILE, -ENFILE  WAIT: no descriptor to wait with
 *   -EACCES     the file was opened for reading, or this user may only read
 *   -EINVAL, -ENOMEM, -EPIPE, and those of pgmap_truncate() and pgmap_unlink()
 * The caller's own mappings count; its open files count for its unlink.
 */
int pgmap_truncate_how(struct pgmap_file *file, uint64_t size_bytes, int mode, int64_t timeout_ms);
int pgmap_punch(struct pgmap_file *file, uint64_t offset_bytes, uint64_t len_bytes, int mode, int64_t timeout_ms);
int pgmap_unlink_how(struct pgmap_client *client, const char *path, int mode, int64_t timeout_ms);

enum { PGMAP_MAP_READ = 1, PGMAP_MAP_WRITE = 2 };
/*
 * pgmap_map - map [offset, offset + len) of a file at one contiguous address range; len 0: to the end. offset is a multiple
 * of the pool's granule, and of that of the device on which this page of the file lies: a multiple of pgmap_stat.granule_order is both. The range must lie within the file. Who never maps for writing never gets a descriptor of the
 * device that could be written through. -EINVAL, -ERANGE; -EACCES WRITE of a file that was opened for reading, or by a user
 * who may only read; -E2BIG more pieces than this
 * process may map (vm.max_map_count; before any effect); -ENODEV the pool is draining; -EBUSY quarantined; -EAGAIN somebody waits to take
 * the range away, or others kept changing the file while memory was made ready; -ENOSPC it has a hole, and there is no room for its pages; -EUSERS a page is mapped a million times; -ENOMEM.
 * What follows each other on the device is put one behind the other, as far as there is room: for the kernel it is one mapping then.
 * A mapping stays as it is when its file grows; what is new is seen by a new one.
 */
int pgmap_map(struct pgmap_file *file, uint64_t offset_bytes, uint64_t len_bytes, unsigned prot,
	      struct pgmap_mapping **out);
/*
 * pgmap_open_map - open, size when size_bytes is not 0 and the file is shorter, and map all of it, in one message; the
 * mapping keeps the file, and pgmap_unmap() takes one message. With PGMAP_O_TRUNC the file has size_bytes, all of it zero:
 * where there is no room for others, its first pages stay, wiped, as far as nobody maps them.
 * Errors of all three; RDONLY goes with no other flag and no size. It is one step: what the server refuses (-ENOSPC, ...) has changed nothing, no byte of a file that was
 * to be truncated. Only where this process then has no room for the mapping (-ENOMEM, -E2BIG, -EMFILE) the file stays
 * as it was made, sized or emptied.
 */
int pgmap_open_map(struct pgmap_client *client, const char *path, unsigned flags, uint64_t size_bytes, unsigned prot,
		   struct pgmap_mapping **out);
/*
 * pgmap_unmap - the end of a mapping. -EBUSY while it is pinned; -ENOMEM the kernel cannot split an address range any more; -EPERM in a forked
 * child: nothing changes. Once the addresses have gone it succeeds, whatever has become of the server. Null: 0.
 * The pages may be reused when it returns; but if children of fork() have inherited the mapping, when the last of them has
 * unmapped it, exec'ed or ended (c6.8, c7.8). After a fork, an unmap makes the process's other mappings of this connection
 * again, the same pages at the same addresses: what mprotect(), mlock() or madvise() did to them ends.
 */
int pgmap_unmap(struct pgmap_mapping *mapping);
/*
 * pgmap_unmap_unlink - pgmap_unmap(), and the file loses its name, whatever that is now, in the same message. Errors as there,
 * and -EINVAL null: nothing changes. 0: the mapping has ended, and *unlinked (which may be null) says what became of the name: 0,
 * -ENOENT it had none any more; -EACCES this user may only read, -ENOMEM: it is still there; -EPIPE, -EPROTO: nobody says.
 */
int pgmap_unmap_unlink(struct pgmap_mapping *mapping, int *unlinked);

/*
 * pgmap_remap - [its offset, its offset + len) of the same file at the same first address, with the pages that the file has
 * there now; len 0: to the file's end. What a truncate or punch had taken is as the file has it since (pins no longer say
 * -ESTALE); what has been added to the file is behind what was there before. There is no moment at which an access to what
 * lies in both ranges fails. Like pgmap_unmap() it wants the mapping to itself. Errors as pgmap_map() has them, and -EBUSY while
 * it is pinned; -ENOMEM also when something else lies at the addresses behind; -EPERM in a forked child; -EINVAL null:
 * the mapping is as it was.
 */
int pgmap_remap(struct pgmap_mapping *mapping, uint64_t len_bytes);

/* pgmap_mapping_address, pgmap_mapping_bytes - where a mapping lies, and how long it is: for as long as it is there. */
void *pgmap_mapping_address(const struct pgmap_mapping *mapping);
uint64_t pgmap_mapping_bytes(const struct pgmap_mapping *mapping);

/* What may move the data while it is pinned (c3.16): see folio.h. */
enum { PGMAP_PIN_LOCAL = 0, PGMAP_PIN_REMOTE = 1 };
/*
 * pgmap_pin - pin every folio under [offset, offset + len) of the mapping, all or none. A mapping that is pinned cannot
 * be unmapped; LOCAL pins end with the process, REMOTE ones leave the pages quarantined if it dies (c7.5).
 *   -EINVAL  empty or outside of the mapping, unknown kind     -EUSERS  a folio has as many pins as it can
 *   -EHWPOISON  some of it has lost its data (c6.5)
 *   -EAGAIN, -ENODEV, -ESTALE  the range is being taken away (c7.9)     -EPERM  some of the mapping is memory of a PCI device (c5.5); or a forked child
 * pgmap_unpin takes back exactly such a pin: -EINVAL as above, or a folio in it has no pin of that kind (nothing changes).
 */
int pgmap_pin(struct pgmap_mapping *mapping, uint64_t offset_bytes, uint64_t len_bytes, int kind);
int pgmap_unpin(struct pgmap_mapping *mapping, uint64_t offset_bytes, uint64_t len_bytes, int kind);

/* Names in the pool: what they lead to, and their changes, as the fsdax_ calls of the same names. -ENOENT, -ENOTDIR,
 * -ENAMETOOLONG, -EINVAL; unlink: -EISDIR; mkdir: -EEXIST; rmdir: -ENOTEMPTY, -EBUSY the root; rename: -EISDIR,
 * -ENOTEMPTY, -EBUSY the root, -EINVAL into its own child. All but stat and readdir: -EACCES this user may only read. */
int pgmap_stat(struct pgmap_client *client, const char *path, struct pgmap_stat *out);
int pgmap_unlink(struct pgmap_client *client, const char *path);
int pgmap_rename(struct pgmap_client *client, const char *from, const char *to);
int pgmap_mkdir(struct pgmap_client *client, const char *path);
int pgmap_rmdir(struct pgmap_client *client, const char *path);
/* pgmap_set_order - the biggest folio that what this file gets from now on has (order 9: 2 MiB); a directory's: that of what is
 * made in it from now on. See fsdax_set_order(). -EINVAL more than PGMAP_MAX_ORDER, or less than the pool's pages have; and as above. */
int pgmap_set_order(struct pgmap_client *client, const char *path, unsigned order);
/* pgmap_readdir - what a directory of the pool holds: fn once an entry, in byte order; a non-zero answer ends the walk and is returned. fn may make other calls. */
int pgmap_readdir(struct pgmap_client *client, const char *path,
		  int (*fn)(void *arg, const char *name, const struct pgmap_stat *st), void *arg);

/* How the pool's device is mapped by whoever maps a file. */
enum pgmap_access {
	PGMAP_ACCESS_MEMORY = 0, /* it is the system's own memory */
	PGMAP_ACCESS_CACHED =
		1, /* through the page cache: not the device's memory, but a copy that the kernel writes back */
	PGMAP_ACCESS_DIRECT = 2,
	PGMAP_ACCESS_SYNC = 3 /* directly, with MAP_SYNC: the file system below needs no fsync() */
};
/* What has to be flushed for a store to be there after a power cut. */
enum pgmap_persistence {
	PGMAP_PERSIST_NONE = 0,    /* nothing helps: volatile memory */
	PGMAP_PERSIST_UNKNOWN = 1, /* persistent, but built without libpmem2, which would know */
	PGMAP_PERSIST_PAGE = 2,    /* pages, by msync() */
	PGMAP_PERSIST_CACHE_LINE = 3,
	PGMAP_PERSIST_BYTE = 4 /* nothing has to: the platform writes its caches back */
};

struct pgmap_info {
	uint64_t pages, used, free, waiting; /* pages of 4 KiB; used + free + waiting = pages (c6.10) */
	uint64_t files, dirs;
	uint64_t free_by_order[19];
	uint64_t live_pages; /* pages held through folios */
	uint64_t quarantined_pages;
	uint32_t connections;
	uint32_t holders; /* connections, and dead ones that still map or left a quarantine */
	uint32_t granule_order;
	uint32_t state; /* enum pgmap_state */
	int32_t server_pid;
	uint32_t protocol;
	char device[128]; /* the spec, with what "auto" chose */
	/* Of the free pages: with memory that reads as zero, with memory to be wiped, without; what the pool keeps for good
	 * (the watermark); and what was wiped ever, ahead of its next owner and by the call that needed it. */
	uint64_t clean, dirty, absent;
	uint64_t keep;
	uint64_t wiped_ahead, wiped_late;
	uint32_t access;      /* enum pgmap_access */
	uint32_t persistence; /* enum pgmap_persistence: of the device; a pool is volatile on all of them yet */
	uint64_t
		lost; /* pages whose data is lost, or whose device is gone: files' used ones, and waiting ones (c6.5) */
};
/* pgmap_info - the pool's device, space, holders and state. -EINVAL null argument. */
int pgmap_info(struct pgmap_client *client, struct pgmap_info *out);

enum pgmap_device_state {
	PGMAP_DEVICE_LIVE = 1,
	PGMAP_DEVICE_LEAVING = 2, /* it is being taken out of the pool: nothing new is put there */
	PGMAP_DEVICE_GONE = 3     /* the system has taken it away: its driver was unbound, or it was pulled */
};
/* One of the devices that a pool lies on. */
struct pgmap_device {
	uint32_t number; /* from 0; that of one that was removed is used again */
	uint32_t state;  /* enum pgmap_device_state */
	uint32_t granule_order;
	uint32_t access;      /* enum pgmap_access */
	uint32_t persistence; /* enum pgmap_persistence */
	uint32_t reserved;    /* 0 */
	uint64_t pages;
	uint64_t used; /* pages that are files', or wait to be reused: with these it cannot be removed, or not yet */
	uint64_t held; /* pages held through folios */
	uint64_t bad;  /* pages that are known to have lost their data, whoever found out */
	char spec[128];
};
/* pgmap_for_each_device - the devices of the pool: fn once for each, by number; then those that have left it, and are being
 * closed, as PGMAP_DEVICE_LEAVING: what is not listed is nothing of the pool's any more. A non-zero answer ends the walk and is returned. fn may make
 * other calls. -EINVAL null argument, -ENOMEM, -EMFILE. */
int pgmap_for_each_device(struct pgmap_client *client, int (*fn)(void *arg, const struct pgmap_device *device),
			  void *arg);

enum pgmap_lost_what {
	PGMAP_LOST_DEVICE = 1, /* their device is gone */
	PGMAP_LOST_DATA = 2    /* the machine says that they have lost their data (c6.5) */
};
/* Pages of a file that are lost: whoever touches them gets SIGBUS, and mapping them anew answers -EHWPOISON, or -ENODEV. */
struct pgmap_lost {
	uint64_t offset_bytes,
		len_bytes; /* in the file: whole pages, as many as follow one another; may go beyond its size */
	uint32_t what;     /* enum pgmap_lost_what */
	uint32_t holders;  /* who maps some of them: how many, */
	char path[1024];   /* " (deleted)" appended once unlinked */
	char held_by[256]; /* and their names, for people; cut */
};
/* pgmap_for_each_lost - what of a file, or (null) of the pool's files is lost now: fn once for each range; a non-zero answer ends the
 * walk and is returned. fn may make other calls. -EINVAL, -ENOENT, -EISDIR, -ENOTDIR, -ENAMETOOLONG, -ENOMEM, -EMFILE. */
int pgmap_for_each_lost(struct pgmap_client *client, const char *path,
			int (*fn)(void *arg, const struct pgmap_lost *lost), void *arg);
/*
 * pgmap_repair - those pages of a range of a file that have lost their data become zeros, and are good again: they can be mapped,
 * written and pinned. len 0: to the end. How many. Others stay as they are. A device gives other memory in their place, or writes
 * over them; which is verified by reading. Who maps them sees it; who has met SIGBUS there, once it has called pgmap_remap(): until
 * then the kernel remembers that for its mapping.
 *   -EOPNOTSUPP  the device cannot: remove the file, the pool keeps out of use what was lost, or the system's own tools clear it
 *   -EIO         it said that it had, and they are bad still     -EBUSY  somebody has pins on a mapping of the range, or died with them
 *   -EINVAL      offset and len are multiples of 4 KiB           -ENODEV  some are on a device that is gone
 *   -ERANGE      it begins beyond the end                        -ENOMEM
 *   -ENOENT, -EISDIR, -ENOTDIR, -ENAMETOOLONG; -EACCES this user may only read
 * pgmap_notify_failure - this process has met SIGBUS there: the server reads these bytes of the mapping (4 MiB at most), and answers how many
 * pages of 4 KiB have lost their data. That is its own finding: what a client says is no more than a reason to look. Not from a
 * signal handler. -EINVAL empty or outside of the mapping, -E2BIG; -EIO they cannot be read, and it is no memory error. A pool
 * in this process reads them only if dax_catch_errors() catches what that can meet; else it counts what is known to be lost.
 */
int64_t pgmap_repair(struct pgmap_client *client, const char *path, uint64_t offset_bytes, uint64_t len_bytes);
int64_t pgmap_notify_failure(struct pgmap_mapping *mapping, uint64_t offset_bytes, uint64_t len_bytes);

/*
 * pgmap_device_add, pgmap_device_remove, pgmap_device_cancel - devices come to a pool and leave it while it is used. Only to one
 * that is not striped, and by the server's user and root. why (or null): a clause for people, why it failed; "" where there is none.
 * pgmap_device_add - the device of this spec becomes a part of the pool, all of it; *number (or null) is its own. What it held is
 * dropped. What is refused has changed nothing but what opening a device changes. Returns when it is there: that can take a
 * while, and keeps nobody else.
 *   -EEXIST      it is in this pool already                -E2BIG  the pool has as many devices as can be,
 *                or 4096 have been added to it, those included that have left since: serve it anew
 *   -EOPNOTSUPP  the pool is striped; no pool can lie on such a device, or its file system will not do
 *   -EINVAL      the spec, or its size does not suit the pool              -ENODEV  the pool is draining
 *   -EBUSY       another server has it, or processes that are no clients of this one map it     -EPERM, -EACCES no right to do that
 *   -ENAMETOOLONG  the spec has more than 127 bytes        -ENXIO  all that the pool has is gone
 *   and what pgmap_connect() says of a spec
 * pgmap_device_remove - it leaves: nothing new is put there, and no new pins (c7.9); wait until nobody holds a page there, then it is
 * the pool's no more. Nobody is asked to give anything up, and no data is moved: files must own nothing there. spec: what the device of
 * this number is called, as pgmap_for_each_device() says; null: whatever it is called. timeout_ms: 0 looks once, below 0 waits
 * for ever. May be called again, by others too, while it leaves: all of them wait for it. Who is gone while he waits does not
 * call it off. The caller's own mappings count.
 *   -ETIMEDOUT   pages are still held, and it is still leaving: wait again, or call it off
 *   -ECANCELED   it was called off: by somebody, or because all other devices have gone
 *   -ENOTEMPTY   files own pages there     -EBUSY  it is the last that the pool has, and that is alive     -ENOENT  no such device
 *   -EOPNOTSUPP  the pool is striped     -ENODEV  the pool is draining     -ENOMEM, -EPERM, -EACCES
 * pgmap_device_cancel - it stays. -EINVAL it is not leaving; -ENODEV it is too late; -ENOENT, -EPERM, -EACCES.
 */
enum { PGMAP_WHY_MAX = 256 };
int pgmap_device_add(struct pgmap_client *client, const char *spec, uint32_t *number, char why[PGMAP_WHY_MAX]);
int pgmap_device_remove(struct pgmap_client *client, uint32_t number, const char *spec, int64_t timeout_ms,
			char why[PGMAP_WHY_MAX]);
int pgmap_device_cancel(struct pgmap_client *client, uint32_t number, const char *spec, char why[PGMAP_WHY_MAX]);

enum pgmap_who_state {
	PGMAP_WHO_CONNECTED = 1,
	PGMAP_WHO_MAPPING = 2,     /* disconnected, still mapping (c7.3) */
	PGMAP_WHO_QUARANTINED = 3, /* dead, with REMOTE pins (c7.5) */
	PGMAP_WHO_INHERITED = 4    /* unmapped, but for children that forked before (c7.8) */
};
/* One mapping of one holder; a quarantined holder: one row for each folio that it left, no path if its file has gone. */
struct pgmap_who {
	uint64_t holder_id;
	int32_t pid; /* 0 where the system does not tell */
	uint32_t uid;
	uint32_t state;
	char command[64];
	char path[1024];                  /* " (deleted)" appended once unlinked */
	uint64_t offset_bytes, len_bytes; /* in the file */
	uint64_t pages;
	uint64_t refs; /* folio references */
	uint64_t pins_local, pins_remote;
	int64_t since_ns; /* CLOCK_REALTIME */
};
/* pgmap_who - who holds which pages, of one file or (null) of the pool; fn as for readdir. Includes this connection. */
int pgmap_who(struct pgmap_client *client, const char *path, int (*fn)(void *arg, const struct pgmap_who *who),
	      void *arg);

/* pgmap_who_device - the same of one device, by its number: pages are those that lie there. -ENODEV there is none. */
int pgmap_who_device(struct pgmap_client *client, uint32_t number, int (*fn)(void *arg, const struct pgmap_who *who),
		     void *arg);

/* pgmap_fence - the operator's word that nothing moves data any more for this quarantined holder (c7.5).
 * -ENOENT no such holder, -EBUSY it is not dead, -EPERM neither the server's user nor root. */
int pgmap_fence(struct pgmap_client *client, uint64_t holder_id);

/*
 * pgmap_drain_pool - take the pool out of use: no new mappings; wait until nothing is held, then the server ends (an embedded pool only becomes
 * DEAD). The caller's own mappings count. -ETIMEDOUT: they are still held, and the pool is still draining: wait again,
 * or cancel. -ECANCELED somebody cancelled it. -EPERM neither the server's user nor root. timeout_ms < 0: for ever. May be called again while it drains.
 * pgmap_drain_cancel - call a drain off: -ENODEV too late, -EPERM as above, 0 otherwise.
 */
int pgmap_drain_pool(struct pgmap_client *client, int64_t timeout_ms);
int pgmap_drain_cancel(struct pgmap_client *client);

#ifdef __cplusplus
}
#endif
#endif
