/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * storm.h - the kill storm: a director (storm.c) sends SIGKILL at random moments to clients (storm_client.c) that map,
 * pin, truncate, unlink, rename, put and fork on the same few files of a real server, and stops and continues them.
 *
 * The oracle stands outside of the server. Every word of a written page follows from (id of the file, index of the page,
 * index of the word), so a page that lies says so by itself:
 *   foreign: a new file's page, or a grown one, is not zero; or a whole file holds a page of another one.
 *   early:   a page changed while somebody held it: mapped it, or was killed while a REMOTE pin of it stood.
 *   lost:    pages that are not free when all have gone, all is fenced and all files are removed; or accounts that do
 *            not add up.
 * With guests, devices of random sizes are added to the pool and removed from it all the time, whoever has pages there. At the end
 * none may stay.
 * Files are written under a name of their own and renamed when they are whole; nobody writes to a file that has a public
 * name. So what a mapping held when it was made is what it must hold as long as it lasts: in a child of fork(), too, long
 * after its parent has unmapped it, and though the files' names and sizes have changed.
 *
 * The table is shared memory apart from the pool. A client's remote pin is written there in an order that a kill cannot
 * break: where the page is (device offset, contents), then, once the pin stands, STANDS; and NONE before the pin is taken
 * back. So STANDS with a dead client means: pinned when it died, and nothing may touch that page until it is fenced.
 */
#ifndef PGMAP_TESTS_STORM_H
#define PGMAP_TESTS_STORM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { CLIENTS = 12, FILES = 48, PAGE = 4096, FILE_PAGES_MAX = 64, WORDS = PAGE / 8, POOL_PAGES = 4096 };
enum { STORM_PATH_MAX = 300 };
#define STORM_HOME "/s%02u" /* a client's own directory, by its slot: for what is not whole yet */
enum storm_pin { PIN_NONE, PIN_STANDS };
enum storm_found { FOUND_EARLY, FOUND_FOREIGN, FOUND_LOST, FOUND_ERROR, FOUND_KINDS };

struct storm_slot {
	_Atomic int pin; /* enum storm_pin */
	uint64_t pin_device_offset, pin_id, pin_page;
	_Atomic uint64_t operations;
};

struct storm_table {
	_Atomic int stop;
	_Atomic uint64_t found[FOUND_KINDS];
	_Atomic int described; /* 0 nobody, 1 being written, 2 done */
	char description[240];
	_Atomic uint64_t
		files; /* that were made: each has a number of its own, which a pid would not be in a long storm */
	_Atomic uint64_t children, inherited, puts, remote_pins; /* inherited: unmapped while a child looked at it */
	unsigned long first_ino, second_ino;                     /* of the devices; 0: there is only one */
	bool guests;                                             /* other devices come and go */
	struct storm_slot slots[CLIENTS];
};

/* Count a violation; the first is described. */
void storm_found(struct storm_table *table, enum storm_found what, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
uint64_t storm_random(uint64_t *state);
uint64_t storm_word(uint64_t id, uint64_t page, uint64_t index);
/* 1: the page is (id, page)'s; 0 it is all zero; -1 neither. */
int storm_page_is(const void *addr, uint64_t id, uint64_t page);

/* A device that comes to the pool, and is to go again (storm_guest.c). */
struct storm_guest {
	bool there, leaving; /* leaving: it has been told to go */
	uint32_t number;
	uint64_t pages, came, left, called_off;
};
struct pgmap_client;
/* A pool can get so many devices in its life (4096 and no more): a longer storm begins anew, in a process of the same pid. */
enum { STORM_GUESTS = 4000 };
void storm_begin_anew(char *program, int64_t left_ns);
/* storm_guest_move - one step, whichever `random` says. storm_guest_remove - it goes, or somebody has pages there and it stays; or some
 * are held still, and it is leaving. */
void storm_guest_move(struct storm_guest *guest, struct storm_table *table, struct pgmap_client *pool, uint64_t random);
void storm_guest_remove(struct storm_guest *guest, struct storm_table *table, struct pgmap_client *pool,
			int64_t timeout_ms);

/* A client's life: until it is killed, or told to stop. Never returns. */
_Noreturn void storm_client(struct storm_table *table, const char *socket, unsigned slot, uint64_t seed);

#endif
