/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * request.c - folios for a range of a device, wherever its pages lie: piece by piece in ascending order (c6.4), so that two
 * who request overlapping ranges meet at their first common page; all of it or none. No reference is held while another
 * is waited for: a request that finds a page held fails at once, and what was requested before it is put.
 */
#include <errno.h>

#include <pgmap/folio.h>

#include "dax/device.h"
#include "port/compiler.h"

static void put_all(struct folio *folios[], size_t n)
{
	while (n--) {
		folio_put(folios[n]);
		folios[n] = NULL;
	}
}

/* The folios of one piece; or with no room at all, their number. */
static int request_piece(const struct dax_span *span, struct folio *folios[], size_t room, size_t *n)
{
	if (!span->pgmap)
		return -EOPNOTSUPP;
	*n = pgmap_folios_in(span->pgmap_pgoff, span->npages);
	if (!folios)
		return 0;
	return *n > room ? -E2BIG : pgmap_request_folios(span->pgmap, span->pgmap_pgoff, span->npages, folios, n);
}

PGMAP_PUBLIC int dax_request_folios(struct dax_device *dax, uint64_t pgoff, uint64_t npages, struct folio *folios[],
				    size_t room, size_t *n)
{
	size_t have = 0;
	if (!dax || !n || !npages)
		return -EINVAL;
	if (pgoff >= dax->npages || npages > dax->npages - pgoff)
		return -ERANGE;
	while (npages) {
		struct dax_span span;
		size_t more = 0;
		int64_t there = dax_direct_access(dax, pgoff, (int64_t)npages, &span);
		int err = there < 0 ? (int)there
				    : request_piece(&span, folios ? folios + have : NULL, room - have, &more);
		if (err) {
			put_all(folios, folios ? have : 0);
			return err;
		}
		have += more;
		pgoff += (uint64_t)there;
		npages -= (uint64_t)there;
	}
	*n = have;
	return 0;
}
