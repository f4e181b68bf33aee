/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fsdax.h - files on a DAX device: names, extents, space. Extents belong to a file whether or not anyone maps them
 * (c6.6); mapping gets or requests the folios of the extents that it touches; pages that a file loses while somebody
 * holds them are reused only after their last put (c6.7 defer, c6.8), or it loses them only once nobody holds them (wait,
 * fail). used + free + waiting = size, always (c6.10).
 *
 * This is the pool inside one program. Processes that share a pool use client.h, which also works embedded.
 *
 * Paths are absolute ("/dir/name") or relative to the root; components are 1 to FSDAX_NAME_MAX bytes, any but '/' and
 * NUL; "." and ".." are refused with -EINVAL. Repeated and trailing slashes count as one and none.
 *
 * Thread safety: every call from any thread, but fsdax_destroy(), fsdax_close() and fsdax_unmap() end their handle, and so do
 * fsdax_holder_end() and fsdax_holder_fence() when they answer 0.
 * Errors: 0 or a negative errno; a call that fails has changed nothing.
 */
#ifndef PGMAP_FSDAX_H
#define PGMAP_FSDAX_H

#include <stddef.h>
#include <stdint.h>

#include <pgmap/dax.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FSDAX_NAME_MAX 255 /* bytes */
#define FSDAX_PATH_MAX 1023

struct fsdax;        /* opaque: a pool of files */
struct fsdax_file;   /* opaque: an open file; it keeps its pages after unlink until closed and unmapped */
struct fsdax_map;    /* opaque: a mapping's references */
struct fsdax_holder; /* opaque: whom references are charged to, on all devices of a pool */

enum fsdax_type { FSDAX_REG = 1, FSDAX_DIR = 2 };

struct fsdax_stat {
	uint64_t ino; /* never reused */
	enum fsdax_type type;
	uint64_t size_bytes; /* a directory: number of entries */
	uint64_t blocks;     /* pages that it owns; a hole has none */
	uint64_t extents;
	uint64_t mappings;  /* fsdax_map() that are not yet unmapped */
	uint32_t nlink;     /* 0: unlinked, still open or mapped */
	unsigned max_order; /* of its extents' folios */
	unsigned order;     /* fsdax_set_order() */
	int64_t mtime_ns;   /* CLOCK_REALTIME of its last change of size, or creation */
	unsigned
		granule_order; /* the biggest granule that some of it lies in, or the pool's: at a multiple of it a mapping or a
				 * punch can begin */
};

struct fsdax_statfs {
	uint64_t pages;   /* size of the pool */
	uint64_t used;    /* owned by files, or being made ready for one */
	uint64_t free;    /* may be handed out: clean + dirty + absent */
	uint64_t waiting; /* lost by their file, still held by somebody, or quarantined; and what is lost (below) */
	uint64_t files;
	uint64_t dirs;                               /* the root included */
	uint64_t free_by_order[PGMAP_MAX_ORDER + 1]; /* free blocks of each order, maximal */
	unsigned granule_order;
	uint64_t clean;  /* of the free ones: with memory that reads as zero */
	uint64_t dirty;  /* with memory that is yet to be wiped */
	uint64_t absent; /* without memory */
	uint64_t keep; /* the watermark: free pages that may keep their memory for good, where it is not always there */
	uint64_t wiped_ahead; /* ever, in the background */
	uint64_t wiped_late;  /* ever, by a call that needed them */
	uint64_t lost; /* of the waiting ones: nobody's, but on a device that is dead, or without their data (c6.5) */
};

/* A mapping's range of the file was taken away (truncate, punch): called under the pool's lock with the fsdax_map's cookie and
 * the spans (indexes as in fsdax_map_span()) that lost pages. It may not call the pool. */
typedef void fsdax_gone_fn(void *cookie, uint64_t first_span, uint64_t nspans);

/*
 * A pool on a stack (dax.h) lies on several memories, each with a pgmap and a descriptor of its own: devices 0 and up, in the order
 * of the stack's parts. Alignment is kept: folios are as big as the layout allows, and each lies on one device. When a
 * device dies (dax_kill() of a part), the rest goes on: what is free there is handed out no more, nor is what comes back from
 * there; files keep their pages, and mapping these answers -ENODEV. Pages that are reported as having lost their
 * data (DAX_FAILURE_POISON) are handed out no more either, and mapping them answers -EHWPOISON, until they are overwritten
 * whole (fsdax_repair(); and by an allocation that is short of space, where no file has them), or the device says that they are
 * good. Such pages, where no file has them, count as waiting (and as
 * lost). Where there is no memory to note them by the page, some of their free neighbours count so too.
 */

/* fsdax_create - an empty pool on a device, whose holder it becomes. -EBUSY the device is held; -EINVAL null, or some of the
 * device cannot have folios (LIMITED); -ENXIO it is dead; -ENOMEM. */
int fsdax_create(struct dax_device *dax, fsdax_gone_fn *gone, struct fsdax **out);
/* fsdax_destroy - the end of a pool. -EBUSY while a file is open or mapped, a page is held, or a holder of the pool is there
 * (fsdax_holder_create()). All files go; the device is let go. Null: 0. */
int fsdax_destroy(struct fsdax *fs);

enum {
	FSDAX_CREATE = 1, /* make it if it is not there */
	FSDAX_EXCL = 2,   /* with CREATE: -EEXIST if it is */
	FSDAX_TRUNC = 4   /* to size 0 */
};
/* fsdax_open, fsdax_close - a handle on a file, and its end. -ENOENT, -EEXIST, -EISDIR, -ENOTDIR, -ENAMETOOLONG, -EINVAL, -ENOMEM. */
int fsdax_open(struct fsdax *fs, const char *path, unsigned flags, struct fsdax_file **out);
void fsdax_close(struct fsdax_file *file);

/* fsdax_truncate - pages for all of the new size are allocated and have memory behind them when it returns (c7.11);
 * they read as zero (c6.9). Pages lost are free at once if nobody holds them, else after their last put (c6.7 defer).
 * A kept last page is zeroed beyond the new size, a kept last granule too. On memory of several granules a file gets of the
 * biggest what is as big and aligned, and the rest from smaller ones; where these have no room, its end is a granule that goes
 * beyond its size: blocks of fsdax_stat says so. It cannot grow over the middle of a bigger granule than has room. -ENOSPC, -EFBIG (more than the file has, and beyond the pool's size), -ENOMEM, -ENXIO all of the device is
 * dead, and more pages are wanted; -EOPNOTSUPP some bytes of a page or a granule are to be zeroed where this process has neither
 * an address of the device nor a descriptor. */
int fsdax_truncate(struct fsdax_file *file, uint64_t size_bytes);

/* What becomes of pages that a file is to lose and somebody holds (c6.7). */
enum fsdax_mode {
	FSDAX_DEFER = 0, /* the file loses them now, and they are reused only after their last put */
	FSDAX_WAIT = 1,  /* wait until nobody holds them, then they are lost and free; -ETIMEDOUT at the deadline */
	FSDAX_FAIL = 2   /* -EBUSY at once */
};
/*
 * fsdax_truncate_how, fsdax_punch, fsdax_unlink_how - take pages away from a file in one of these ways. A page is held by
 * every mapping of its folio (of a part of it, too), every other reference and pin, and a quarantine; to unlink waits also
 * for who has the file open, as its pages would stay. When WAIT or FAIL answers 0, all that the file lost is free. What
 * answers anything else has changed nothing.
 * While one waits, a new mapping of the range, or of the rest of a folio in it, answers -EAGAIN, and those who map it are
 * told (fsdax_on_taking). Nobody who defers is kept from it. Several may wait for one range. deadline_ns: of
 * CLOCK_MONOTONIC, 0 looks once, PGMAP_NO_DEADLINE waits for ever; it says something to WAIT only.
 * A punch leaves a hole: offset and len are multiples of the granule (len not 0; it may go beyond the end), the size stays. On
 * memory of several granules: of the pool's, and -EINVAL if it cuts a bigger one (fsdax_stat.granule_order); what goes to the
 * file's end takes the last one along.
 * The hole has no pages; a mapping of it gets new ones, that read as zero.
 *   -EBUSY      FAIL: somebody holds some of it
 *   -ETIMEDOUT  WAIT: somebody still did at the deadline
 *   -ENODEV     WAIT and FAIL: the device is going (dax_kill() says so to those who wait at once, pgmap_kill() at the last
 *               put of what they wait for, or the deadline)
 *   -ENOENT     unlink: no such file, or the path leads elsewhere since
 *   -EINVAL, -ENOMEM, and those of fsdax_truncate() and fsdax_unlink()
 * The caller's own mappings count: who waits for them waits for ever. Unlike most calls these may wait; any thread.
 */
int fsdax_truncate_how(struct fsdax_file *file, uint64_t size_bytes, enum fsdax_mode mode, uint64_t deadline_ns);
int fsdax_punch(struct fsdax_file *file, uint64_t offset_bytes, uint64_t len_bytes, enum fsdax_mode mode,
		uint64_t deadline_ns);
int fsdax_unlink_how(struct fsdax *fs, const char *path, enum fsdax_mode mode, uint64_t deadline_ns);

/* fsdax_on_taking - who shall be told when somebody begins to wait for a span of a mapping (taken 1: no new pins there, c7.9),
 * and when nobody does any more (0). Called as fsdax_gone_fn is, once for each change. Null: nobody, as at first. */
typedef void fsdax_taking_fn(void *cookie, uint64_t span, int taken);
void fsdax_on_taking(struct fsdax *fs, fsdax_taking_fn *taking);

/* Pages of a file that are held, and one of those who hold them. */
struct fsdax_busy {
	uint64_t ino;
	uint64_t offset_bytes, len_bytes; /* in the file: whole pages, of one folio */
	const char *holder;               /* its name; null: references that are charged to nobody */
	enum pgmap_held_state state;
	uint64_t refs; /* of this holder on the folio, pins included; a quarantine has none */
	uint64_t pins_local, pins_remote;
	uint64_t waiting; /* calls that wait to take some of it away */
};
/* fsdax_for_each_busy - what of a file (null: of every file, unlinked ones too) keeps a truncate, punch or unlink from being
 * done at once, in the order of the device: fn once for each holder of each folio, under the pool's lock and the core's; it
 * may call neither. Non-zero ends and is returned. -ENOENT, -EISDIR, -ENOTDIR, -ENAMETOOLONG, -EINVAL, -ENOMEM. */
int fsdax_for_each_busy(struct fsdax *fs, const char *path, int (*fn)(void *arg, const struct fsdax_busy *busy),
			void *arg);

/* Pages of a file that are lost: their device is dead, or they have lost their data (c6.5). */
struct fsdax_lost {
	uint64_t ino;
	uint64_t offset_bytes,
		len_bytes; /* in the file: whole pages, of as many as follow one another; may go beyond its size */
	enum dax_failure what;
	uint64_t page;    /* of the pool's device: the first of them, which follow one another there too */
	const char *path; /* as fsdax_file_path(); valid during the call */
};
/* fsdax_for_each_lost - what of a file (null: of every file, unlinked ones too) is lost now, by file and offset: fn under
 * the pool's lock; it may not call the pool. Non-zero ends and is returned. -ENOENT, -EISDIR, -ENOTDIR, -ENAMETOOLONG, -EINVAL. */
int fsdax_for_each_lost(struct fsdax *fs, const char *path, int (*fn)(void *arg, const struct fsdax_lost *lost),
			void *arg);
/* fsdax_repair - those pages of a range that have lost their data become zeros, and are good again: then the range can be mapped
 * and written. offset and len are multiples of a page, len not 0. Others stay as they are. -ENODEV some are on a dead
 * device; -EOPNOTSUPP the device cannot; or what it says: those before have been repaired. -EINVAL, -ENOMEM; -EBUSY REMOTE pins of a
 * holder that has ended are on some, and it is not fenced (c7.5), quarantined or not: nothing has changed. Who else pins some, the
 * caller knows. */
int fsdax_repair(struct fsdax_file *file, uint64_t offset_bytes, uint64_t len_bytes);
/* fsdax_verify - those pages of a range are read (dax_verify()), holes left out: how many of them are lost. Offset and len as above.
 * -ENODEV some are on a dead device, and what dax_verify() says. */
int64_t fsdax_verify(struct fsdax_file *file, uint64_t offset_bytes, uint64_t len_bytes);
/* fsdax_on_lost - who shall be told of pages that have lost their data: so many, from this one of the pool's device on. In the context of
 * whoever found out, which may be a call of the pool, or the library's own thread (dax_catch_errors()): it may neither call the
 * pool nor wait. Null: nobody, as at first. -EINVAL null pool. Not while calls are under way. */
typedef void fsdax_lost_fn(void *arg, uint64_t page, uint64_t npages);
int fsdax_on_lost(struct fsdax *fs, fsdax_lost_fn *fn, void *arg);

/* fsdax_stat_file - what an open file is. 0 always. */
int fsdax_stat_file(struct fsdax_file *file, struct fsdax_stat *out);
/* fsdax_file_path - the path of an open file now, or, once unlinked, its last one followed by " (deleted)". Cut to buf_bytes, 0 always. */
int fsdax_file_path(struct fsdax_file *file, char *buf, size_t buf_bytes);

/* fsdax_set_order - the biggest folio that what this file gets from now on has; a directory's: that of the files and directories
 * that are made in it from now on. Small folios can be taken away one by one; big ones need fewer words, pieces and calls.
 * Without it the biggest that there is (PGMAP_MAX_ORDER). Memory whose granule is bigger is not for such a file: -ENOSPC where no
 * other is left. What a file has stays as it is. -EINVAL more than the biggest, or less
 * than the pool's granule; -ENOENT, -ENOTDIR, -ENAMETOOLONG. */
int fsdax_set_order(struct fsdax *fs, const char *path, unsigned order);

/* fsdax_stat, fsdax_unlink, fsdax_mkdir, fsdax_rmdir - what a name leads to, and its changes. -ENOENT, -ENOTDIR,
 * -ENAMETOOLONG, -EINVAL; mkdir: -EEXIST, -ENOMEM. What an unlinked file's users hold stays theirs (c6.7). */
int fsdax_stat(struct fsdax *fs, const char *path, struct fsdax_stat *out);
int fsdax_unlink(struct fsdax *fs, const char *path); /* -EISDIR for a directory */
int fsdax_unlink_file(struct fsdax_file *file);       /* by whatever name it has now; -ENOENT none */
int fsdax_mkdir(struct fsdax *fs, const char *path);
int fsdax_rmdir(struct fsdax *fs, const char *path); /* -ENOTEMPTY, -EBUSY the root */
/* fsdax_rename - another name; replaces a file atomically. Errors as above; -EINVAL into its own child; a directory replaces only an empty directory. That
 * of a directory can make the paths below it longer than FSDAX_PATH_MAX: such a file is reached by a handle, or through a shorter name of a
 * directory above it, and what names it may be cut. */
int fsdax_rename(struct fsdax *fs, const char *from, const char *to);
/* fsdax_readdir - what a directory holds: fn once an entry, in byte order of the names, under the pool's lock; non-zero ends and is returned. */
int fsdax_readdir(struct fsdax *fs, const char *path,
		  int (*fn)(void *arg, const char *name, const struct fsdax_stat *st), void *arg);
/* fsdax_statfs - the pool's accounts. */
void fsdax_statfs(struct fsdax *fs, struct fsdax_statfs *out);

/*
 * fsdax_set_wiping - what becomes of pages that are free. cpu_percent 0, as a pool begins: memory is given back (or, up to
 * keep_bytes of it, wiped when it is needed) by the call that frees the pages. 1 to 100: they keep it at first, and a
 * thread of the pool, bound to so much of one CPU, keeps as much ready as keep_bytes says and as was taken in the last second
 * (128 MiB of it, and an eighth of the pool, at most), and gives back what lay unused above that for a second. The thread has all signals but SIGBUS blocked, and ends with fsdax_destroy(), which must be called by the
 * process that called this. Of memory that is always there (dax_params.resident) nothing is given back, nor does it count in keep_bytes; the
 * thread wipes all of it. May be called again. -EINVAL, -EAGAIN no thread can be had (then as with 0).
 */
int fsdax_set_wiping(struct fsdax *fs, uint64_t keep_bytes, unsigned cpu_percent);

/*
 * fsdax_holder_create, fsdax_holder_end, fsdax_holder_fence, fsdax_holder_of, fsdax_holder_name, fsdax_holder_charge - a pool's
 * holder: whom references are charged to, whichever of its devices they are on (c4.1). It is one pgmap_holder of each.
 * create: name is copied (63 bytes at most are kept). -EINVAL null argument, -ENOMEM.
 * end: pgmap_holder_end() of each: how many pages it leaves to be quarantined, on all devices (also when
 *   called again); when that is 0 the handle is gone. Else it serves for fence, name and charge only. -EBUSY another thread is
 *   just ending it. A call that maps for it at that moment is done first, or answers -ESHUTDOWN. Its mappings are to be forgotten with
 *   fsdax_unmap_ended(), and none may be unmapped meanwhile. A pool can be destroyed only when all of its
 *   holders are gone.
 * fence: pgmap_holder_fence() of each: the handle is gone. -EBUSY it has not been ended.
 * of: its part on this pgmap, for pins (folio_pin()), until it is ended; null: none there. Not to be ended by itself.
 * name, charge: as of a pgmap_holder; charge is the sum, before an end that runs or after it.
 */
int fsdax_holder_create(struct fsdax *fs, const char *name, struct fsdax_holder **out);
int64_t fsdax_holder_end(struct fsdax_holder *holder);
int fsdax_holder_fence(struct fsdax_holder *holder);
struct pgmap_holder *fsdax_holder_of(const struct fsdax_holder *holder, const struct pgmap *pgmap);
const char *fsdax_holder_name(const struct fsdax_holder *holder);
void fsdax_holder_charge(const struct fsdax_holder *holder, struct pgmap_charge *out);

/*
 * fsdax_map - references, charged to holder (null: to nobody), on every folio of the extents under [offset, offset +
 * len). offset is a multiple of the granule, and not inside of a bigger one where memories differ (fsdax_stat.granule_order); len is not 0 and may end inside a page; the range ends at the file's size
 * rounded up to a page, at most. A hole in it gets pages: -ENOSPC. -EINVAL, -ERANGE beyond the end, -EBUSY quarantined
 * pages, -EAGAIN somebody waits to take it away, -ENODEV dying, or some of it is on a device that is dead, -EHWPOISON
 * some of it has lost its data, -ENOMEM, -EUSERS a folio has a million references already. The file may be closed while mapped.
 * A pgmap_holder is of one pgmap: -EINVAL where the pool has several. It may not be ended while a call maps for it.
 * fsdax_map_for - the same, charged to a holder of the pool (null: to nobody). -EINVAL it is of another pool, -ESHUTDOWN it
 * has been ended. What fails has changed nothing: a hole is one still.
 * ready (or null) is called with cookie, under the pool's lock, when only memory or a metadata log can fail any more; if it
 * does not answer 0, the call fails with that. It may query the mapping, and not call the pool.
 */
typedef int fsdax_ready_fn(void *cookie, struct fsdax_map *map);
int fsdax_map(struct fsdax_file *file, uint64_t offset_bytes, uint64_t len_bytes, struct pgmap_holder *holder,
	      void *cookie, struct fsdax_map **out);
int fsdax_map_for(struct fsdax_file *file, uint64_t offset_bytes, uint64_t len_bytes, struct fsdax_holder *holder,
		  void *cookie, fsdax_ready_fn *ready, struct fsdax_map **out);
/*
 * fsdax_resize_map - size_bytes (not 0, and not less than it has but with FSDAX_TRUNC) as fsdax_truncate() gives it, and fsdax_map() of all of it, in one step: what fails
 * has changed nothing, neither size nor bytes nor anybody's mapping. With FSDAX_TRUNC in flags the file is cut to size 0
 * before: all of it reads as zero, and who maps the old pages has lost them. Its first pages stay, wiped, as far as nobody
 * holds them and the device is mapped here; so only what follows them needs other space, while the old pages are there.
 * ready: as of fsdax_map_for(). Errors of both calls.
 * fsdax_resize_map_for - the same, charged as by fsdax_map_for().
 */
int fsdax_resize_map(struct fsdax_file *file, uint64_t size_bytes, unsigned flags, struct pgmap_holder *holder,
		     void *cookie, fsdax_ready_fn *ready, struct fsdax_map **out);
int fsdax_resize_map_for(struct fsdax_file *file, uint64_t size_bytes, unsigned flags, struct fsdax_holder *holder,
			 void *cookie, fsdax_ready_fn *ready, struct fsdax_map **out);
/* fsdax_unmap, fsdax_unmap_ended - drop a mapping's references. Ended: the holder was ended (pgmap_holder_end() dropped them): only forget. */
void fsdax_unmap(struct fsdax_map *map);
void fsdax_unmap_ended(struct fsdax_map *map);

/* Contiguous pieces to map, ascending in the file, neighbours merged; and the folios under them, one a span, in the same order. A
 * folio whose middle the file has lost (c6.7 defer) is a span before what is there now, and another behind it. */
struct fsdax_piece {
	uint64_t file_offset_bytes;
	uint64_t device_offset_bytes; /* in the descriptor */
	uint64_t len_bytes;
	unsigned device; /* of the pool's */
	int fd;          /* its descriptor, in this process; not the caller's to close; or -1 */
	unsigned
		granule_order; /* of the device: all offsets and the length are multiples of it, and the address has to be */
};
struct fsdax_span {
	uint64_t file_pgoff; /* the folio's first page in the file; may lie before the mapping's start */
	uint64_t pgoff;      /* in its pgmap */
	unsigned order;
	struct folio *folio;
	unsigned device; /* of the pool's */
};
uint64_t fsdax_map_npieces(const struct fsdax_map *map);
void fsdax_map_piece(const struct fsdax_map *map, uint64_t i, struct fsdax_piece *out);
uint64_t fsdax_map_nspans(const struct fsdax_map *map);
void fsdax_map_span(const struct fsdax_map *map, uint64_t i, struct fsdax_span *out);
/* fsdax_ndevices, fsdax_device - the memories that the pool lies on, as they are numbered in pieces and spans. Numbers are below
 * fsdax_ndevices(), and stay; that of a device that was removed is free until the next that is added has it. -EINVAL null
 * argument, no such device. Any thread. */
struct fsdax_device {
	struct pgmap *pgmap;
	const char *name;         /* dax_name(), valid as long as the device */
	int fd;                   /* to map it from, in this process; not the caller's to close; or -1 */
	int alive;                /* dax_alive() */
	uint64_t fd_offset_bytes; /* of its first page */
	uint64_t npages;          /* of the whole device: a stack may use a part of it */
	uint64_t pool_npages;     /* that the pool has there; 0 of one that takes turns with others (a stripe) */
	uint64_t used;            /* used pages there, as in struct fsdax_statfs */
	int leaving;              /* fsdax_leave_begin() */
};
unsigned fsdax_ndevices(const struct fsdax *fs);
int fsdax_device(const struct fsdax *fs, unsigned i, struct fsdax_device *out);

/*
 * Devices that come and go. The pool has to lie on a linear stack (dax_create_linear(), of one part or more): its parts are what
 * can be added and removed. The size of the pool changes with them; used + free + waiting is the size at every moment (c6.10).
 * All these calls: any thread; no file, map or holder is touched, and nobody else waits longer than for any other call.
 * fsdax_add_device - dax becomes the stack's last part (dax_linear_add()), all of it; its pages are free, and every holder of the
 * pool (struct fsdax_holder) is one there, too. *index (or null): its number. What fails has changed nothing.
 *   -EOPNOTSUPP  the pool lies on no linear stack
 *   -EINVAL      null argument; dax lies on several memories, is a stripe (of one part, too), or on one that cannot have folios (LIMITED); it is in the
 *                pool already, at any depth; its pages are not whole granules of the pool, whose granule stays what it
 *                was at first (a device with a bigger one keeps its own)
 *   -EBUSY       somebody holds it    -ENXIO it is dead, or all of the pool is    -ENOMEM    -E2BIG as dax_linear_add() says
 */
int fsdax_add_device(struct fsdax *fs, struct dax_device *dax, unsigned *index);

/* Pages that keep a device from leaving. */
struct fsdax_owned {
	uint64_t bytes;                /* that files with a name own there, or calls that run get ready for some */
	uint64_t files;                /* that own some of these */
	char path[FSDAX_PATH_MAX + 1]; /* of one of them, as fsdax_file_path() says it; "" if there is none */
};
/*
 * A device leaves in three calls. fsdax_leave_begin(): nothing new begins there. Then whoever asks waits until nobody holds a page
 * there any more (pins, quarantines, what files have lost while it was mapped): pgmap_drain() wakes at once, or fsdax_leave_held()
 * says how many there are. Then fsdax_leave_end(); or fsdax_leave_cancel(), and all is as before. Nothing is moved from one device to
 * another, and nobody is asked to give anything up: files that own pages there have to be unlinked first. Those that are, and that
 * somebody has open or maps, are waited for like all that is held.
 * fsdax_leave_begin - the free pages of this device are handed out no more (they count as waiting), and its pgmap is DYING
 * (pgmap_kill()): no new references, those that are held stay. A device that is dead can leave as any other.
 *   -EINVAL      null argument, no such device
 *   -EALREADY    it is leaving
 *   -EBUSY       owned->bytes is not 0: files own pages there. It is 0: no other device is left that is alive and not leaving.
 *                What waits for memory in another thread gets it elsewhere, or is counted here: there is no third case.
 *   -EOPNOTSUPP  the pool lies on no linear stack, or the device is not all that the stack's part lies on, or that part is a stripe
 *   -ENOMEM
 * *owned (or null) is set by each of these answers, and by 0 (then to nothing), but not where fs is null.
 * fsdax_leave_held - pages of a device that is leaving that are not the pool's again: held, releasing or quarantined, or of
 * a block that is partly so, or just being given back to the system. -EINVAL null argument, it is not leaving.
 * fsdax_leave_for_each_held - pgmap_for_each_held() of its pgmap, which is there as long as this runs: fn under the pool's lock and
 * the core's; it may call neither. Not zero ends and is returned. -EINVAL as above.
 * fsdax_leave_cancel - its pages are free again, and its pgmap is LIVE. -EINVAL as above; -ENODEV its pgmap is DEAD, as somebody has
 * drained it (pgmap_drain()): it can only go.
 * fsdax_leave_end - the pool is smaller by it, has forgotten it, and dax_linear_remove() has let it go: *part (or null) is what
 * the stack stood on there, which the caller can destroy. -EINVAL as above; -EBUSY a page there is not the pool's again yet, another stack stands on
 * the pool's, or no other device is left that is alive and not leaving (the others have died since); -ENOMEM: nothing has changed. Holders that end, and accesses to the pool that run, are waited for.
 */
int fsdax_leave_begin(struct fsdax *fs, unsigned index, struct fsdax_owned *owned);
int fsdax_leave_held(struct fsdax *fs, unsigned index, uint64_t *pages);
int fsdax_leave_for_each_held(struct fsdax *fs, unsigned index, int (*fn)(const struct pgmap_held *held, void *arg),
			      void *arg);
int fsdax_leave_cancel(struct fsdax *fs, unsigned index);
int fsdax_leave_end(struct fsdax *fs, unsigned index, struct dax_device **part);

struct fsdax_file *fsdax_map_file(const struct fsdax_map *map); /* valid while mapped, for stat and path */

#ifdef __cplusplus
}
#endif
#endif
