/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * protocol.h - what a client and the server say to each other: the one place where the wire format stands.
 *
 * SOCK_SEQPACKET; every request is a struct proto_req and every reply a struct proto_rep, whole, in the byte order of
 * the machine (both ends run on it). The first 16 bytes of both keep their meaning in every version, so that a client of
 * another version can be told so. The first request is HELLO; a client sends one request and reads its reply before it
 * sends the next; the replies to DRAIN and AWAIT may come after other clients' replies, so these have a connection of their own.
 *
 * Descriptors travel only from the server to a client: with the reply to HELLO a lease that can be read through of each
 * device (by number, where there is one), the pin segment and the eventfd; with that to LEASE one or two of each device, first
 * all that can be read through; one with a reply whose answer does not fit: a sealed memfd that holds arrays of the records below, one after the
 * other.
 *
 * What comes from a client is never trusted: service.c checks lengths, magic, version, type, flags, reserved fields,
 * terminated paths; handles are looked up in that session's tables only; ranges are checked by the file system.
 */
#ifndef PGMAP_SERVER_PROTOCOL_H
#define PGMAP_SERVER_PROTOCOL_H

#include <assert.h>
#include <stdint.h>

#define PROTO_MAGIC   UINT32_C(0x706d6750) /* "Pgmp" */
#define PROTO_VERSION 4

enum {
	PROTO_PATH_MAX = 1024, /* the NUL included */
	PROTO_NAME_MAX = 256,  /* the NUL included */
	PROTO_WHY_MAX = 256,   /* the NUL included */
	PROTO_DEVICES_MAX = 8, /* of one pool */
	PROTO_MAX_FDS = 2 * PROTO_DEVICES_MAX,
	PROTO_HELLO_FDS = 2, /* with the reply to HELLO, besides the lease's */
	PROTO_INLINE_PIECES = 12,
	PROTO_INLINE_RUNS = 8
};

enum proto_type {
	PROTO_HELLO = 1, /* flags: PROTO_HELLO_CONTROL; path: what the program calls itself, or "" */
	PROTO_OPEN,      /* path, flags -> handle */
	PROTO_CLOSE,     /* handle */
	PROTO_FSTAT,     /* handle -> stat */
	PROTO_TRUNCATE,  /* handle, len, flags: PROTO_HOW_..., timeout_ms -> handle (of AWAIT) */
	PROTO_MAP,       /* handle, flags: PROTO_MAP_..., offset, len, prot -> handle, count: the generation, map */
	PROTO_OPEN_MAP,  /* path, flags, len (size), prot -> handle, count: the generation, map */
	PROTO_UNMAP,     /* handle, flags: PROTO_UNMAP_... */
	PROTO_STAT,      /* path -> stat */
	PROTO_UNLINK,    /* path, flags and answer as TRUNCATE */
	PROTO_RENAME,    /* path, path2 */
	PROTO_MKDIR,     /* path */
	PROTO_RMDIR,     /* path */
	PROTO_READDIR,   /* path -> count, memfd of proto_dirent */
	PROTO_INFO,      /* -> info */
	PROTO_WHO,       /* path or "", flags: PROTO_WHO_DEVICE, handle -> count, memfd of proto_who, then strings */
	PROTO_FENCE,     /* handle (holder id) */
	PROTO_DRAIN,     /* timeout_ms; the reply comes when it has ended */
	PROTO_DRAIN_CANCEL,
	PROTO_LEASE, /* flags: PROTO_LEASE_... -> hello's devices, descriptors: for reading (NEXT, READ), writable (WRITE) */
	PROTO_PUNCH, /* handle, offset, len, flags and answer as TRUNCATE */
	PROTO_ORDER, /* path, len (the order) */
	PROTO_AWAIT, /* handle, flags: PROTO_AWAIT_...; the reply comes when the request that got this number has ended, and says how */
	PROTO_DEVICES,    /* -> count, memfd of proto_device */
	PROTO_LOST,       /* path or "" -> count, memfd of proto_lost */
	PROTO_REPAIR,     /* path, offset, len (0: to the end) -> count: pages made good */
	PROTO_VERIFY,     /* handle of a mapping, offset, len: are they lost? -> count: pages that are */
	PROTO_DEVICE_ADD, /* path: a spec; the reply comes when it is there -> handle: its number; or why */
	PROTO_DEVICE_REMOVE, /* handle: its number, path: its spec or "", timeout_ms; the reply comes when it has left, or why */
	PROTO_DEVICE_CANCEL, /* handle, path as REMOVE: it stays -> or why */
	PROTO_NTYPES
};

/* What becomes of pages that somebody holds (clause 6.7); neither: deferred. WAIT: the reply comes at once, with a handle
 * when something has to be waited for: until then, or timeout_ms (below 0: for ever), or the end of this connection. */
enum { PROTO_HOW_WAIT = 1, PROTO_HOW_FAIL = 2 };

/* CANCEL: it shall not be, if it has not ended: -ECANCELED. */
enum { PROTO_AWAIT_CANCEL = 1 };

/* A connection that holds nothing: no holder, no lease, no segment; it may ask about the pool and drain it. A client that makes one
 * for something that waits compares who answers with who answered its first HELLO: another server may be at the same address. */
enum { PROTO_HELLO_CONTROL = 1 };

enum { PROTO_PROT_READ = 1, PROTO_PROT_WRITE = 2 };

/* NEXT: a new lease, for whatever is mapped from now on; the descriptors of the last stay good for nothing but to be closed.
 * READ: other descriptors of the one in use, also of devices that came after it. */
enum { PROTO_LEASE_NEXT = 1, PROTO_LEASE_WRITE = 2, PROTO_LEASE_READ = 4 };

/* AGAIN: the handle is a mapping's, whose file is meant. */
enum { PROTO_MAP_AGAIN = 1 };

/* INHERITED: children of fork() may have this mapping still, with a lease before the one in use; UNRENEWED, too: or with
 * that one, as no other could be had. UNLINK: the name of its file goes as well; the reply's count is what that came to, as
 * a positive errno, since the mapping ends in any case. */
enum { PROTO_UNMAP_INHERITED = 1, PROTO_UNMAP_UNRENEWED = 2, PROTO_UNMAP_UNLINK = 4 };

/* What a client must know of a device: its memory may not be pinned; it is mapped with MAP_SYNC; there is none of this number
 * (any more), and no descriptor of it. */
enum { PROTO_DEVICE_NO_PINS = 1, PROTO_DEVICE_SYNC = 2, PROTO_DEVICE_NONE = 4 };

/* Only what lies on the device whose number is the handle; pages: that are held there. */
enum { PROTO_WHO_DEVICE = 1 };

struct proto_req {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t seq;
	uint32_t flags;
	uint64_t handle;
	uint64_t offset_bytes;
	uint64_t len_bytes;
	int64_t timeout_ms;
	uint32_t prot;
	uint32_t reserved[3]; /* 0 */
	char path[PROTO_PATH_MAX];
	char path2[PROTO_PATH_MAX];
};
static_assert(sizeof(struct proto_req) == 64 + 2 * PROTO_PATH_MAX, "no hidden padding");

/* As struct pgmap_stat and struct pgmap_info of client.h, which assert it. */
struct proto_stat {
	uint64_t ino, size_bytes, blocks, extents, mappings;
	int64_t mtime_ns;
	uint32_t nlink, is_dir, max_order, order, granule_order;
	uint32_t reserved; /* 0 */
};
static_assert(sizeof(struct proto_stat) == 72, "no hidden padding");

struct proto_info {
	uint64_t pages, used, free, waiting;
	uint64_t files, dirs;
	uint64_t free_by_order[19];
	uint64_t live_pages;
	uint64_t quarantined_pages;
	uint32_t connections;
	uint32_t holders;
	uint32_t granule_order;
	uint32_t state;
	int32_t server_pid;
	uint32_t protocol;
	char device[128];
	uint64_t clean, dirty, absent;
	uint64_t keep;
	uint64_t wiped_ahead, wiped_late;
	uint32_t access, persistence;
	uint64_t lost;
};
static_assert(sizeof(struct proto_info) == 34 * sizeof(uint64_t) + 8 * sizeof(uint32_t) + 128, "no hidden padding");

/* A contiguous piece of a device, to be mapped at (file_offset - the mapping's offset). */
struct proto_piece {
	uint64_t file_offset_bytes;
	uint64_t device_offset_bytes;
	uint64_t len_bytes;
	uint32_t device;        /* which of the pool's: as many as HELLO says */
	uint32_t granule_order; /* of that device: offsets, length and address are multiples of it */
};

/* Folio spans of one order, one after the other in the file: span i of the run begins at file_pgoff + (i << order), and
 * its pin word is number first_span + i of the mapping's words. A page belongs to the last run that begins at or before
 * it; the first run may begin before the mapping. */
struct proto_run {
	uint64_t file_pgoff;
	uint64_t first_span;
	uint32_t order;
	uint32_t reserved;
};
static_assert(sizeof(struct proto_piece) == 32 && sizeof(struct proto_run) == 24, "no hidden padding");

/*
 * The reply to HELLO, and, but for the first three, to LEASE. Devices come and go while clients are connected, and numbers are
 * used again; each change raises the generation. The reply to MAP and OPEN_MAP says, in its count, at which generation the mapping
 * was made. A client that knows an older one asks for the present devices (LEASE) before it maps anything: whatever generation
 * that answer is of, it is right for this mapping, as a mapping keeps the devices that it lies on in the pool, under their
 * numbers. And one that knows a newer one need not ask, for the same reason.
 */
struct proto_hello {
	uint64_t holder_id;  /* also the byte of the lease */
	uint64_t words;      /* in the pin segment */
	uint64_t service_id; /* random: a server that comes after this one has another */
	uint32_t granule_order;
	int32_t server_pid;
	uint64_t generation;
	uint32_t ndevices; /* numbers in use, and unused ones before the last of them */
	uint32_t reserved;
	uint8_t devices[PROTO_DEVICES_MAX]; /* PROTO_DEVICE_... of each */
};
static_assert(sizeof(struct proto_hello) == 56, "no hidden padding");

/* Pieces and runs lie inline when both fit, else in a memfd: all pieces, then all runs. */
struct proto_map {
	uint64_t offset_bytes;
	uint64_t len_bytes;
	uint64_t first_word;
	uint64_t nspans;
	uint64_t npieces;
	uint64_t nruns;
	struct proto_piece pieces[PROTO_INLINE_PIECES];
	struct proto_run runs[PROTO_INLINE_RUNS];
};

struct proto_rep {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t seq;
	int32_t error; /* 0 or a negative errno */
	uint64_t handle;
	uint64_t count; /* records in the memfd; MAP, OPEN_MAP: the generation of the devices */
	union {
		struct proto_hello hello;
		struct proto_map map;
		struct proto_stat stat;
		struct proto_info info;
		char why[PROTO_WHY_MAX]; /* of a DEVICE_... that failed: a clause for people, or "" */
	} u;
};
static_assert(sizeof(struct proto_rep) == 32 + 48 + 32UL * PROTO_INLINE_PIECES + 24UL * PROTO_INLINE_RUNS,
	      "no hidden padding");

/* What every version keeps: magic, version, type, seq, and in a reply the error. */
enum { PROTO_HEADER_BYTES = 16 };

struct proto_dirent {
	struct proto_stat stat;
	char name[PROTO_NAME_MAX];
};

/* Pages of a file that are lost; and who maps some of them: how many, and as text, cut. As struct pgmap_lost of client.h. */
enum proto_lost_what { PROTO_LOST_DEVICE = 1, PROTO_LOST_DATA = 2 };
enum { PROTO_VERIFY_MAX_BYTES = 4 << 20, PROTO_HELD_BY_MAX = 256 };
struct proto_lost {
	uint64_t offset_bytes, len_bytes;
	uint32_t what;
	uint32_t holders;
	char path[PROTO_PATH_MAX];
	char held_by[PROTO_HELD_BY_MAX];
};
static_assert(sizeof(struct proto_lost) == 24 + PROTO_PATH_MAX + PROTO_HELD_BY_MAX, "no hidden padding");

enum proto_who_state {
	PROTO_WHO_CONNECTED = 1,
	PROTO_WHO_MAPPING = 2,
	PROTO_WHO_QUARANTINED = 3,
	PROTO_WHO_INHERITED = 4 /* of a row: unmapped by the holder, not by its children */
};

/* Strings are offsets into what follows the last record of the memfd; each ends with a NUL. */
struct proto_who {
	uint64_t holder_id;
	int32_t pid;
	uint32_t uid;
	uint32_t state;
	uint32_t reserved;
	uint64_t command;
	uint64_t path;
	uint64_t offset_bytes, len_bytes;
	uint64_t pages;
	uint64_t refs;
	uint64_t pins_local, pins_remote;
	int64_t since_ns;
};

enum proto_device_state {
	PROTO_DEVICE_LIVE = 1,
	PROTO_DEVICE_LEAVING = 2, /* it is being taken out of the pool: nothing new is put there */
	PROTO_DEVICE_GONE = 3     /* the system has taken it away */
};

/* As struct pgmap_device of client.h, which asserts it. */
struct proto_device {
	uint32_t number;
	uint32_t state;
	uint32_t granule_order;
	uint32_t access, persistence;
	uint32_t reserved;
	uint64_t pages, used, held, bad;
	char spec[128];
};
static_assert(sizeof(struct proto_device) == 6 * sizeof(uint32_t) + 4 * sizeof(uint64_t) + 128, "no hidden padding");
static_assert(sizeof(struct proto_who) == 12 * sizeof(uint64_t), "no hidden padding");
static_assert(sizeof(struct proto_dirent) == sizeof(struct proto_stat) + PROTO_NAME_MAX, "no hidden padding");

#endif
