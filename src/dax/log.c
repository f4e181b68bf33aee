/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log.c - a device over another that keeps a record of what is written to it, with contents, and when it was flushed: from it
 * a test makes any state that a crash could have left. See stack.h.
 *
 * What is written through an address or a mapping is not seen; DAX_LOG_NO_DIRECT gives nobody one. The lock is held around
 * the write and its record: the order of the log is the order of the device. Room for the record is got before the write,
 * so that nothing is written that is not recorded: what fails on its way through a stack is, as far as it came. Only what a device's
 * own ops did before they failed nobody knows.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dax/stack.h"
#include "port/compiler.h"

struct entry {
	_Atomic uint64_t users;    /* the log is one, and each replay */
	struct dax_log_entry seen; /* data, text: behind it */
	char bytes[];
};

struct write_log {
	struct dax_device dax;
	pthread_mutex_t lock;
	struct entry **entries;
	uint64_t n, room;
	unsigned flags;
};

static const struct dax_ops log_ops;

static struct write_log *log_of(struct dax_device *dax)
{
	return (struct write_log *)dax;
}

static struct write_log *check(struct dax_device *dax)
{
	return dax && dax->ops == &log_ops ? log_of(dax) : NULL;
}

static struct entry *entry_new(enum dax_log_kind kind, const struct io *io, const void *bytes, size_t nbytes)
{
	struct entry *entry = malloc(sizeof(*entry) + nbytes);
	if (!entry)
		return NULL;
	atomic_init(&entry->users, 1);
	entry->seen = (struct dax_log_entry){
		.kind = kind,
		.offset_bytes = io->offset_bytes,
		.len_bytes = io->len_bytes,
		.data = kind == DAX_LOG_WRITE ? entry->bytes : NULL,
		.text = kind == DAX_LOG_MARK ? entry->bytes : NULL,
	};
	if (nbytes)
		memcpy(entry->bytes, bytes, nbytes);
	return entry;
}

static void entry_put(struct entry *entry)
{
	if (atomic_fetch_sub_explicit(&entry->users, 1, memory_order_acq_rel) == 1)
		free(entry);
}

/* Under the lock. */
static int make_room(struct write_log *log)
{
	if (log->n < log->room)
		return 0;
	uint64_t room = log->room ? 2 * log->room : 64;
	struct entry **more = realloc(log->entries, room * sizeof(struct entry *));
	if (!more)
		return -ENOMEM;
	log->entries = more;
	log->room = room;
	return 0;
}

/* Takes the entry. */
static int64_t write_and_record(struct write_log *log, const struct io *io, struct entry *entry)
{
	uint64_t done_bytes = 0;
	struct io asking = *io;
	asking.done_bytes = &done_bytes;
	(void)pthread_mutex_lock(&log->lock);
	int64_t n = make_room(log);
	if (!n)
		n = device_io(log->dax.links[0].lower, &asking);
	done_bytes = n > 0 ? (uint64_t)n : done_bytes;
	entry->seen.len_bytes = done_bytes;
	if (done_bytes)
		log->entries[log->n++] = entry;
	(void)pthread_mutex_unlock(&log->lock);
	if (!done_bytes)
		free(entry);
	return n < 0 ? io_fail(io, done_bytes, n) : n;
}

static int64_t log_io(struct dax_device *dax, const struct io *io)
{
	static const enum dax_log_kind kinds[] = {
		[IO_DISCARD] = DAX_LOG_DISCARD, [IO_ZERO] = DAX_LOG_ZERO,     [IO_FLUSH] = DAX_LOG_FLUSH,
		[IO_WRITE] = DAX_LOG_WRITE,     [IO_RECOVER] = DAX_LOG_WRITE,
	};
	enum dax_log_kind kind = kinds[io->kind];
	if (!kind)
		return device_io(dax->links[0].lower, io);
	struct entry *entry = entry_new(kind, io, io->buf, io->buf ? io->len_bytes : 0);
	if (!entry)
		return -ENOMEM;
	return write_and_record(log_of(dax), io, entry);
}

static int64_t log_direct_access(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct dax_span *span)
{
	if (!(log_of(dax)->flags & DAX_LOG_NO_DIRECT))
		return stack_access_whole(dax, pgoff, npages, span);
	struct dax_span unused; /* dead comes first */
	return stack_access_whole(dax, pgoff, npages, &unused) == -ENXIO ? -ENXIO : -EOPNOTSUPP;
}

static void clear(struct write_log *log)
{
	while (log->n)
		entry_put(log->entries[--log->n]);
}

static int log_end(struct dax_device *dax)
{
	clear(log_of(dax));
	free(log_of(dax)->entries);
	(void)pthread_mutex_destroy(&log_of(dax)->lock);
	return 0;
}

static const struct dax_ops log_ops = {
	.direct_access = log_direct_access,
	.io = log_io,
	.end = log_end,
	.locate = stack_locate_whole,
	.raise = stack_raise,
};

PGMAP_PUBLIC int dax_create_log(struct dax_device *lower, unsigned flags, const char *name, struct dax_device **out)
{
	struct dax_device *dax;
	if (!lower || !out || (flags & ~(unsigned)DAX_LOG_NO_DIRECT))
		return -EINVAL;
	int err = stack_make(sizeof(struct write_log), &log_ops, lower, name ? name : "log", &dax);
	if (err)
		return err;
	log_of(dax)->flags = flags;
	(void)pthread_mutex_init(&log_of(dax)->lock, NULL);
	*out = dax;
	return 0;
}

PGMAP_PUBLIC int dax_log_mark(struct dax_device *dax, const char *text)
{
	struct write_log *log = check(dax);
	if (!log || !text)
		return -EINVAL;
	const struct io nothing = {0};
	struct entry *entry = entry_new(DAX_LOG_MARK, &nothing, text, strlen(text) + 1);
	if (!entry)
		return -ENOMEM;
	(void)pthread_mutex_lock(&log->lock);
	int err = make_room(log);
	if (!err)
		log->entries[log->n++] = entry;
	(void)pthread_mutex_unlock(&log->lock);
	if (err)
		free(entry);
	return err;
}

PGMAP_PUBLIC int dax_log_for_each(struct dax_device *dax, int (*fn)(const struct dax_log_entry *entry, void *arg),
				  void *arg)
{
	struct write_log *log = check(dax);
	int err = 0;
	if (!log || !fn)
		return -EINVAL;
	(void)pthread_mutex_lock(&log->lock);
	for (uint64_t i = 0; i < log->n && !err; i++)
		err = fn(&log->entries[i]->seen, arg);
	(void)pthread_mutex_unlock(&log->lock);
	return err;
}

PGMAP_PUBLIC int dax_log_clear(struct dax_device *dax)
{
	struct write_log *log = check(dax);
	if (!log)
		return -EINVAL;
	(void)pthread_mutex_lock(&log->lock);
	clear(log);
	(void)pthread_mutex_unlock(&log->lock);
	return 0;
}

static int zero_bytes_of(struct dax_device *target, const struct dax_log_entry *entry)
{
	return dax_zero_range(target, entry->offset_bytes >> PGMAP_PAGE_SHIFT, entry->len_bytes >> PGMAP_PAGE_SHIFT);
}

static int replay_one(const struct dax_log_entry *entry, struct dax_device *target)
{
	int64_t n;
	switch (entry->kind) {
	case DAX_LOG_WRITE:
		n = dax_copy_to(target, entry->offset_bytes, entry->data, entry->len_bytes);
		return n < 0 ? (int)n : n < (int64_t)entry->len_bytes ? -EIO : 0;
	case DAX_LOG_ZERO:
	case DAX_LOG_DISCARD:
		return zero_bytes_of(target, entry);
	default:
		return 0;
	}
}

/* The first so many, each of them used once more. */
static int take_entries(struct write_log *log, uint64_t *n, struct entry ***out)
{
	(void)pthread_mutex_lock(&log->lock);
	*n = *n < log->n ? *n : log->n;
	*out = calloc(*n + 1, sizeof(struct entry *));
	for (uint64_t i = 0; *out && i < *n; i++) {
		(*out)[i] = log->entries[i];
		atomic_fetch_add_explicit(&(*out)[i]->users, 1, memory_order_relaxed);
	}
	(void)pthread_mutex_unlock(&log->lock);
	return *out ? 0 : -ENOMEM;
}

/* Not under the lock: the target may be a log, too, which is being done again on this one. */
static int replay(struct write_log *log, uint64_t n, struct dax_device *target)
{
	struct entry **entries;
	int err = take_entries(log, &n, &entries);
	if (err)
		return err;
	for (uint64_t i = 0; i < n; i++) {
		if (!err)
			err = replay_one(&entries[i]->seen, target);
		entry_put(entries[i]);
	}
	free(entries);
	return err;
}

PGMAP_PUBLIC int dax_log_replay(struct dax_device *dax, uint64_t entries, struct dax_device *target)
{
	struct write_log *log = check(dax);
	if (!log || !target)
		return -EINVAL;
	(void)pthread_mutex_lock(&device_tree);
	bool logged = stack_stands_on(target, dax);
	(void)pthread_mutex_unlock(&device_tree);
	return logged ? -EINVAL : replay(log, entries, target);
}
