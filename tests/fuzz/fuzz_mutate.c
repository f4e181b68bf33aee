/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_mutate.c - libFuzzer's inputs are changed by whole records, or by a field of one, as often as by bytes. See fuzz.h. */
#include "fuzz.h"

#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size); /* libFuzzer's own */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

struct dice {
	uint32_t state;
};

static uint32_t roll(struct dice *dice, uint32_t sides)
{
	dice->state = dice->state * 1664525 + 1013904223;
	return sides ? (dice->state >> 8) % sides : 0;
}

/* Half of what a client asks for is about a file's pages; the rest is anything. */
static uint8_t plain_type(struct dice *dice)
{
	static const uint8_t common[] = {PROTO_OPEN,     PROTO_CLOSE, PROTO_TRUNCATE, PROTO_MAP,
					 PROTO_OPEN_MAP, PROTO_UNMAP, PROTO_UNLINK,   PROTO_PUNCH};
	return roll(dice, 2) ? common[roll(dice, sizeof(common))] : (uint8_t)(1 + roll(dice, PROTO_NTYPES));
}

/* What a client would do: a known type, a small handle, a plain path. */
static struct fuzz_record plain_record(struct dice *dice)
{
	return (struct fuzz_record){
		.act = (uint8_t)(roll(dice, 3) ? roll(dice, 128) : 128 + roll(dice, 120)),
		.who = (uint8_t)roll(dice, FUZZ_CLIENTS),
		.type = plain_type(dice),
		.flags = (uint8_t)(roll(dice, 2) ? roll(dice, 2) : roll(dice, 16)),
		.handle = (uint8_t)(1 + roll(dice, 3)),
		.offset = (uint8_t)(roll(dice, 2) ? 0 : roll(dice, 25)),
		.len = (uint8_t)roll(dice, 25),
		.prot = (uint8_t)(1 + roll(dice, 3)),
		.path = (uint8_t)roll(dice, 24),
		.path2 = (uint8_t)roll(dice, 24),
		.timeout = (uint8_t)roll(dice, 256),
		.lie = (uint8_t)roll(dice, 256),
	};
}

static size_t insert(uint8_t *data, size_t n, size_t max, const struct fuzz_record *record, struct dice *dice)
{
	size_t at = roll(dice, (uint32_t)n + 1) * FUZZ_RECORD_BYTES;
	if (n == max)
		return n;
	memmove(data + at + FUZZ_RECORD_BYTES, data + at, n * FUZZ_RECORD_BYTES - at);
	memcpy(data + at, record, FUZZ_RECORD_BYTES);
	return n + 1;
}

static size_t remove_one(uint8_t *data, size_t n, struct dice *dice)
{
	size_t at = roll(dice, (uint32_t)n) * FUZZ_RECORD_BYTES;
	if (n)
		memmove(data + at, data + at + FUZZ_RECORD_BYTES, (n - 1) * FUZZ_RECORD_BYTES - at);
	return n ? n - 1 : 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	struct dice dice = {seed};
	struct fuzz_record record = plain_record(&dice);
	size_t n = size / FUZZ_RECORD_BYTES, max = max_size / FUZZ_RECORD_BYTES;
	if (n == 0)
		return insert(data, 0, max, &record, &dice) * FUZZ_RECORD_BYTES + (size % 2 && max > 1);
	uint8_t *one = data + roll(&dice, (uint32_t)n) * FUZZ_RECORD_BYTES;
	switch (roll(&dice, 8)) {
	case 0:
	case 1:
		n = insert(data, n, max, &record, &dice);
		break;
	case 2:
		memcpy(&record, one, sizeof(record)); /* the same again, somewhere else */
		n = insert(data, n, max, &record, &dice);
		break;
	case 3:
		n = remove_one(data, n, &dice);
		break;
	case 4:
		memcpy(one, &record, sizeof(record));
		break;
	case 5:
		one[roll(&dice, FUZZ_RECORD_BYTES)] = (uint8_t)roll(&dice, 256);
		break;
	case 6: {
		size_t field = roll(&dice, FUZZ_RECORD_BYTES);
		one[field] = ((uint8_t *)&record)[field];
		break;
	}
	default:
		return LLVMFuzzerMutate(data, size, max_size);
	}
	return n * FUZZ_RECORD_BYTES + (size % 2 && n < max); /* an odd size means something: see fuzz_service.c */
}
