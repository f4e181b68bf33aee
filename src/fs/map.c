/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * map.c - a mapping's references: one on every folio under a range of a file, charged to its holder; the pieces of the
 * device to map; and what a truncate means to both.
 *
 * Spans are numbered when the mapping is made, and never renumbered. When a folio is split under a span, the span is
 * marked: its holder has one reference on each part (c3.18), which are found again by offset. Everything but span.split
 * and the queries below is guarded by the namespace lock; what the queries read does not change while mapped.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "fs/granule.h"
#include "fs/taking.h"
#include "port/abort.h"
#include "port/compiler.h"

/* Far below the count at which the core ends the program (c3.14): so that no client can bring a server there. */
enum { FOLIO_REFS_MAX = PGMAP_MAX_REFS / 16 };

/* One more reference on the held folio that covers this page. */
static int share(const struct spot *spot, struct folio **out)
{
	int err = pgmap_get_folio(spot->pgmap, spot->pgoff, out);
	if (err || folio_refs(*out) <= FOLIO_REFS_MAX)
		return err;
	folio_put(*out);
	return -EUSERS;
}

/* A folio that begins inside of an extent is another extent's: a page has two owners, and must not be handed out (c6.8). */
void map_check_alone(struct fsdax *fs, const struct block *extent)
{
	struct folio *folio;
	struct spot spot = places_spot(&fs->space.places, extent->off);
	for (uint64_t i = 1; i < UINT64_C(1) << extent->order; i++)
		if (pgmap_find_folio(spot.pgmap, spot.pgoff + i, &folio) == 0 && folio_pgoff(folio) == spot.pgoff + i)
			port_abort("fsdax: page %" PRIu64 ", in an extent of order %u at %" PRIu64
				   ", is held as another extent's, order %u",
				   extent->off + i, extent->order, extent->off, folio_order(folio));
}

/* One reference on the folio of this extent, or on the bigger one that still covers it. */
static int activate(struct fsdax *fs, const struct spot *spot, const struct block *extent, struct folio **out)
{
	for (;;) {
		int err = pgmap_request_folio(spot->pgmap, spot->pgoff, extent->order, out);
		if (err == -EBUSY)
			err = share(spot, out);
		if (err != -ENOENT)
			return err;
		if (pgmap_release_quarantined(spot->pgmap, spot->pgoff) == -EBUSY)
			return -EBUSY;
		map_check_alone(fs, extent);
		(void)sched_yield(); /* its last put runs: it will be idle */
	}
}

static int activate_charged(struct fsdax *fs, const struct spot *spot, const struct block *extent,
			    struct charged charged, struct folio **out)
{
	struct folio *folio;
	struct pgmap_holder *holder = holder_on(charged, spot->device);
	int err = activate(fs, spot, extent, &folio);
	if (err)
		return err;
	err = holder ? folio_charge(folio, holder) : 0;
	if (err)
		folio_put(folio);
	else
		*out = folio;
	return err;
}

static bool covers(const struct map_span *span, uint64_t off)
{
	return off >= span->off && off - span->off < UINT64_C(1) << span->order;
}

static int add_span(struct fsdax *fs, struct fsdax_map *map, const struct block *extent)
{
	struct map_span *span = &map->spans[map->nspans];
	if (map->nspans && covers(span - 1, extent->off))
		return 0;
	struct spot spot = places_spot(&fs->space.places, extent->off);
	int err = activate_charged(fs, &spot, extent, map->holder, &span->folio);
	if (err)
		return err;
	span->off = places_folio_off(extent->off, &spot, span->folio);
	span->order = (uint8_t)folio_order(span->folio);
	span->taken = 0;
	span->first_page = extent->key;
	span->file_pgoff = extent->key - (extent->off - span->off);
	atomic_init(&span->split, 0);
	map->nspans++;
	/* A folio can be bigger than the blocks that taking_refuses() has looked at. */
	return taking_has(map->file->inode, span->off, span->order, span->file_pgoff) ? -EAGAIN : 0;
}

static void add_piece(const struct fsdax *fs, struct fsdax_map *map, const struct block *extent)
{
	uint64_t from = extent->key > map->first_page ? extent->key : map->first_page;
	uint64_t end = block_end(extent) < map->end_page ? block_end(extent) : map->end_page;
	const struct places *places = &fs->space.places;
	struct spot spot = places_spot(places, extent->off + (from - extent->key));
	const struct places_device *device = &places_now(places)->devices[spot.device];
	const struct dax_span *span = &device->span;
	struct fsdax_piece piece = {
		.file_offset_bytes = from << PGMAP_PAGE_SHIFT,
		.device_offset_bytes = span->fd_offset_bytes + ((spot.pgoff - span->pgmap_pgoff) << PGMAP_PAGE_SHIFT),
		.len_bytes = (end - from) << PGMAP_PAGE_SHIFT,
		.device = spot.device,
		.fd = span->fd,
		.granule_order = dax_granule_order(device->memory),
	};
	struct fsdax_piece *last = map->npieces ? &map->pieces[map->npieces - 1] : NULL;
	if (last && last->device == piece.device &&
	    last->device_offset_bytes + last->len_bytes == piece.device_offset_bytes)
		last->len_bytes += piece.len_bytes;
	else /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): map_alloc() has set it */
		map->pieces[map->npieces++] = piece;
}

/* Each part of a span that was split has a reference of this mapping's holder. */
static void put_parts(const struct map_span *span, const struct spot *spot, struct pgmap_holder *holder)
{
	uint64_t end = spot->pgoff + (UINT64_C(1) << span->order);
	for (uint64_t pgoff = spot->pgoff; pgoff < end;) {
		struct folio *part;
		int err = pgmap_find_folio(spot->pgmap, pgoff, &part);
		if (err)
			port_abort("fsdax: page %" PRIu64 " of span %" PRIu64 " order %u is not held: %d", pgoff,
				   spot->pgoff, span->order, err);
		pgoff += folio_pages(part);
		folio_put_holder(part, holder);
	}
}

static void put_spans(struct fsdax *fs, struct fsdax_map *map)
{
	for (uint64_t i = 0; i < map->nspans; i++) {
		const struct map_span *span = &map->spans[i];
		struct spot spot = places_spot(&fs->space.places, span->off);
		struct pgmap_holder *holder = holder_on(map->holder, spot.device);
		if (atomic_load_explicit(&span->split, memory_order_acquire))
			put_parts(span, &spot, holder);
		else
			folio_put_holder(span->folio, holder);
	}
}

static struct fsdax_map *map_alloc(uint64_t nextents)
{
	struct fsdax_map *map;
	size_t bytes;
	if (__builtin_mul_overflow(nextents, sizeof(struct map_span) + sizeof(struct fsdax_piece), &bytes) ||
	    __builtin_add_overflow(bytes, sizeof(*map), &bytes))
		return NULL;
	map = malloc(bytes);
	if (!map)
		return NULL;
	struct map_span *spans = (struct map_span *)(map + 1);
	*map = (struct fsdax_map){.spans = spans, .pieces = (struct fsdax_piece *)(spans + nextents)};
	return map;
}

static int fill(struct fsdax *fs, struct fsdax_map *map, struct extents *extents)
{
	int err = 0;
	struct block *extent = block_covering(&extents->tree, map->first_page);
	for (; extent && extent->key < map->end_page && !err; extent = block_next(extent)) {
		err = add_span(fs, map, extent);
		if (!err)
			add_piece(fs, map, extent);
	}
	if (err)
		put_spans(fs, map);
	return err;
}

/* The range in file pages, whole granules of the pool's; or why there is none. */
static int check_range(const struct fsdax *fs, struct inode *inode, uint64_t offset, uint64_t len, uint64_t *first,
		       uint64_t *end)
{
	uint64_t granule_bytes = PGMAP_PAGE_SIZE << fs->space.granule_order, end_bytes;
	if (!len || offset % granule_bytes)
		return -EINVAL;
	uint64_t most = (inode->size_bytes + PGMAP_PAGE_SIZE - 1) / PGMAP_PAGE_SIZE * PGMAP_PAGE_SIZE;
	if (__builtin_add_overflow(offset, len, &end_bytes) || end_bytes > most)
		return -ERANGE;
	*first = offset >> PGMAP_PAGE_SHIFT;
	*end = (end_bytes + granule_bytes - 1) / granule_bytes << fs->space.granule_order;
	*end = granule_end(&fs->space.places, &inode->extents, *end);
	return granule_is_cut(&fs->space.places, &inode->extents, *first) ? -EINVAL : 0;
}

/* Hole or not: a file's pages are those of its size, and of the granule that it ends with. */
static bool has_hole(struct fsdax *fs, struct inode *inode, uint64_t first, uint64_t end)
{
	uint64_t hole_end, pages = space_pages_for(&fs->space, inode->size_bytes);
	return inode->extents.pages != granule_file_end(&fs->space.places, &inode->extents, pages) &&
	       extents_hole(&inode->extents, &first, end, &hole_end);
}

static uint64_t count_extents(struct extents *extents, uint64_t first, uint64_t end)
{
	uint64_t n = 0;
	struct block *extent = block_covering(&extents->tree, first);
	for (; extent && extent->key < end; extent = block_next(extent))
		n++;
	return n;
}

void map_unmake(struct fsdax_map *map)
{
	put_spans(map->file->fs, map);
	free(map);
}

int map_make(struct fsdax_file *file, struct extents *extents, uint64_t first_page, uint64_t end_page,
	     struct charged holder, void *cookie, fsdax_ready_fn *ready, struct fsdax_map **out)
{
	if (!dax_alive(file->fs->dax))
		return -ENODEV;
	end_page = granule_end(&file->fs->space.places, extents, end_page);
	if (taking_refuses(file->inode, extents, first_page, end_page))
		return -EAGAIN;
	struct fsdax_map *map = map_alloc(count_extents(extents, first_page, end_page));
	if (!map)
		return -ENOMEM;
	map->file = file;
	map->holder = holder;
	map->cookie = cookie;
	map->first_page = first_page;
	map->end_page = end_page;
	int err = fill(file->fs, map, extents);
	if (err) {
		free(map);
		return err;
	}
	err = ready ? ready(cookie, map) : 0;
	if (err)
		map_unmake(map);
	else
		*out = map;
	return err;
}

void map_add(struct fsdax_map *map)
{
	struct inode *inode = map->file->inode;
	map->file->refs++;
	inode->nmaps++;
	LIST_INSERT_HEAD(&inode->maps, map, link);
}

static int map_locked(struct fsdax_file *file, uint64_t offset, uint64_t len, struct charged holder, void *cookie,
		      fsdax_ready_fn *ready, struct fsdax_map **out)
{
	uint64_t first = 0, end = 0;
	int err = holder_check(file->fs, holder);
	if (!err)
		err = check_range(file->fs, file->inode, offset, len, &first, &end);
	if (!err && !dax_alive(file->fs->dax))
		err = -ENODEV;
	if (!err)
		err = damage_isolate(file->fs, &file->inode->extents, first, end);
	if (!err && has_hole(file->fs, file->inode, first, end))
		return file_fill_map(file, first, end, holder, cookie, ready, out);
	if (!err)
		err = map_make(file, &file->inode->extents, first, end, holder, cookie, ready, out);
	if (!err)
		map_add(*out);
	return err;
}

static int map_range(struct fsdax_file *file, uint64_t offset, uint64_t len, struct charged holder, void *cookie,
		     fsdax_ready_fn *ready, struct fsdax_map **out)
{
	if (!file || !out)
		return -EINVAL;
	(void)pthread_mutex_lock(&file->fs->lock);
	int err = map_locked(file, offset, len, holder, cookie, ready, out);
	(void)pthread_mutex_unlock(&file->fs->lock);
	return err;
}

PGMAP_PUBLIC int fsdax_map(struct fsdax_file *file, uint64_t offset_bytes, uint64_t len_bytes,
			   struct pgmap_holder *holder, void *cookie, struct fsdax_map **out)
{
	return map_range(file, offset_bytes, len_bytes, (struct charged){.one = holder}, cookie, NULL, out);
}

PGMAP_PUBLIC int fsdax_map_for(struct fsdax_file *file, uint64_t offset_bytes, uint64_t len_bytes,
			       struct fsdax_holder *holder, void *cookie, fsdax_ready_fn *ready, struct fsdax_map **out)
{
	return map_range(file, offset_bytes, len_bytes, (struct charged){.all = holder}, cookie, ready, out);
}

static void unmap(struct fsdax_map *map, bool ended)
{
	struct fsdax *fs = map->file->fs;
	(void)pthread_mutex_lock(&fs->lock);
	LIST_REMOVE(map, link);
	map->file->inode->nmaps--;
	if (!ended)
		put_spans(fs, map);
	file_put(map->file);
	(void)pthread_mutex_unlock(&fs->lock);
	free(map);
}

PGMAP_PUBLIC void fsdax_unmap(struct fsdax_map *map)
{
	if (map)
		unmap(map, false);
}

PGMAP_PUBLIC void fsdax_unmap_ended(struct fsdax_map *map)
{
	if (map)
		unmap(map, true);
}

/* The span that had this page of the file, one of the mapping's, when it was mapped. */
static uint64_t span_at(const struct fsdax_map *map, uint64_t file_page)
{
	uint64_t low = 0, high = map->nspans;
	while (high - low > 1) {
		uint64_t mid = low + (high - low) / 2;
		if (map->spans[mid].first_page <= file_page)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* Spans that are told together. */
struct told {
	uint64_t first, n;
};

static void flush(struct fsdax *fs, const struct fsdax_map *map, struct told *told)
{
	if (told->n && fs->gone)
		fs->gone(map->cookie, told->first, told->n);
	told->n = 0;
}

/* The file may have got other pages there since, so its page alone does not say whether a block is under the span. */
static void tell_lost(struct fsdax *fs, const struct fsdax_map *map, const struct block_list *lost)
{
	const struct block *block;
	struct told told = {0};
	STAILQ_FOREACH (block, lost, list) {
		uint64_t page = block->key > map->first_page ? block->key : map->first_page;
		if (page >= map->end_page || page >= block_end(block))
			continue;
		uint64_t i = span_at(map, page);
		if (!covers(&map->spans[i], block->off))
			continue;
		if (told.n && i <= told.first + told.n) {
			told.n = i - told.first + 1;
			continue;
		}
		flush(fs, map, &told);
		told = (struct told){i, 1};
	}
	flush(fs, map, &told);
}

void map_lost(struct fsdax *fs, struct inode *inode, const struct block_list *lost)
{
	struct fsdax_map *map;
	LIST_FOREACH (map, &inode->maps, link)
		tell_lost(fs, map, lost);
}

static void tell_taken(struct fsdax *fs, struct inode *inode, struct fsdax_map *map)
{
	for (uint64_t i = 0; i < map->nspans; i++) {
		struct map_span *span = &map->spans[i];
		uint8_t taken = taking_has(inode, span->off, span->order, span->file_pgoff);
		if (taken == span->taken)
			continue;
		span->taken = taken;
		fs->taking(map->cookie, i, taken);
	}
}

void map_taken(struct fsdax *fs, struct inode *inode)
{
	struct fsdax_map *map;
	if (!fs->taking)
		return;
	LIST_FOREACH (map, &inode->maps, link)
		tell_taken(fs, inode, map);
}

/* Mark the spans that are this folio. */
static void mark_split(struct inode *inode, uint64_t off, unsigned order)
{
	struct fsdax_map *map;
	LIST_FOREACH (map, &inode->maps, link) {
		for (uint64_t i = 0; i < map->nspans; i++) {
			struct map_span *span = &map->spans[i];
			if (span->off == off && span->order == order)
				atomic_store_explicit(&span->split, 1, memory_order_release);
		}
	}
}

/* Halve a folio on which the pool itself has a charged reference, and give up that reference on both halves. Its first page
 * is that one of the pool's. */
static int halve(struct inode *inode, struct folio *folio, uint64_t off, struct pgmap_holder *own)
{
	struct pgmap *pgmap = folio_pgmap(folio);
	uint64_t pgoff = folio_pgoff(folio), half = folio_pages(folio) / 2;
	unsigned order = folio_order(folio);
	int err = folio_split(folio, order - 1);
	if (err)
		return err;
	mark_split(inode, off, order);
	for (uint64_t at = pgoff; at <= pgoff + half; at += half) {
		struct folio *part;
		err = pgmap_find_folio(pgmap, at, &part);
		if (err)
			port_abort("fsdax: no folio at page %" PRIu64 " after a split of %" PRIu64 " order %u: %d", at,
				   pgoff, order, err);
		folio_put_holder(part, own);
	}
	return 0;
}

void map_split_folio_at(struct fsdax *fs, struct inode *inode, uint64_t off)
{
	struct folio *folio;
	struct spot spot = places_spot(&fs->space.places, off);
	struct pgmap_holder *own = holder_on((struct charged){.all = fs->holder}, spot.device);
	while (pgmap_get_folio(spot.pgmap, spot.pgoff, &folio) == 0) {
		if (folio_pgoff(folio) == spot.pgoff || folio_charge(folio, own) != 0) {
			folio_put(folio);
			return;
		}
		if (halve(inode, folio, places_folio_off(off, &spot, folio), own) != 0) {
			folio_put_holder(folio, own); /* pinned, or held by nobody known: it goes as a whole */
			return;
		}
	}
}

PGMAP_PUBLIC uint64_t fsdax_map_npieces(const struct fsdax_map *map)
{
	return map->npieces;
}

PGMAP_PUBLIC void fsdax_map_piece(const struct fsdax_map *map, uint64_t i, struct fsdax_piece *out)
{
	*out = map->pieces[i];
}

PGMAP_PUBLIC uint64_t fsdax_map_nspans(const struct fsdax_map *map)
{
	return map->nspans;
}

PGMAP_PUBLIC void fsdax_map_span(const struct fsdax_map *map, uint64_t i, struct fsdax_span *out)
{
	const struct map_span *span = &map->spans[i];
	struct spot spot = places_spot(&map->file->fs->space.places, span->off);
	*out = (struct fsdax_span){span->file_pgoff, spot.pgoff, span->order, span->folio, spot.device};
	if (atomic_load_explicit(&span->split, memory_order_acquire))
		(void)pgmap_find_folio(spot.pgmap, spot.pgoff, &out->folio);
}

PGMAP_PUBLIC struct fsdax_file *fsdax_map_file(const struct fsdax_map *map)
{
	return map->file;
}
