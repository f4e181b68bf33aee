/* SPDX-License-Identifier: BSD-3-Clause */
/* Files and directories in memory: found by number, and by name in the byte order of names. */
#include "fs/inode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct inode *make(uint64_t ino, enum fsdax_type type, const char *name)
{
	struct inode *inode = inode_alloc(ino, type);
	assert_non_null(inode);
	inode->name = strdup(name);
	assert_non_null(inode->name);
	inode->name_len = strlen(name);
	return inode;
}

static struct inode *child(struct inode *dir, const char *name)
{
	return inode_child(dir, name, strlen(name));
}

static void a_number_leads_to_its_inode(void **state)
{
	(void)state;
	enum { N = 100 };
	struct inode_table table = RB_INITIALIZER(&table);
	struct inode *inodes[N];
	for (uint64_t i = 0; i < N; i++) {
		inodes[i] = inode_alloc(i * 37 % N + 1, FSDAX_REG); /* each of 1 to 100, in no order */
		assert_non_null(inodes[i]);
		inode_insert(&table, inodes[i]);
	}
	assert_int_equal(inode_first(&table)->ino, 1);
	assert_null(inode_find(&table, 0));
	assert_null(inode_find(&table, N + 1));
	for (uint64_t i = 0; i < N; i++)
		assert_ptr_equal(inode_find(&table, i * 37 % N + 1), inodes[i]);
	for (uint64_t i = 0; i < N; i++) {
		uint64_t ino = inodes[i]->ino;
		inode_remove(&table, inodes[i]);
		inode_free(inodes[i]);
		assert_null(inode_find(&table, ino));
	}
	assert_null(inode_first(&table));
}

static void children_come_in_byte_order(void **state)
{
	(void)state;
	/* A name comes before those that it begins; bytes are not signed. */
	static const char *const names[] = {"A", "a", "a\x01", "a.b", "ab", "abc", "b", "z", "\x7f", "\xc3\xa4"};
	enum { N = sizeof(names) / sizeof(names[0]) };
	struct inode *dir = make(1, FSDAX_DIR, ""), *inodes[N];
	assert_null(inode_first_child(dir));
	for (size_t i = 0; i < N; i++) {
		size_t at = i * 7 % N;
		inodes[at] = make(at + 2, FSDAX_REG, names[at]);
		inode_link(dir, inodes[at]);
	}
	assert_int_equal(dir->nchildren, N);
	struct inode *at = inode_first_child(dir);
	for (size_t i = 0; i < N; i++, at = inode_next_child(at))
		assert_ptr_equal(at, inodes[i]);
	assert_null(at);
	for (size_t i = 0; i < N; i++) {
		inode_unlink(inodes[i]);
		inode_free(inodes[i]);
	}
	assert_int_equal(dir->nchildren, 0);
	inode_free(dir);
}

static void a_name_leads_to_its_child_and_ends_where_it_is_said_to(void **state)
{
	(void)state;
	struct inode *dir = make(1, FSDAX_DIR, ""), *ab = make(2, FSDAX_REG, "ab"), *abc = make(3, FSDAX_REG, "abc");
	inode_link(dir, ab);
	inode_link(dir, abc);
	assert_ptr_equal(child(dir, "ab"), ab);
	assert_ptr_equal(child(dir, "abc"), abc);
	assert_ptr_equal(inode_child(dir, "abc/d", 2), ab);
	assert_ptr_equal(inode_child(dir, "abc/d", 3), abc);
	assert_null(child(dir, "a"));
	assert_null(child(dir, "abcd"));
	assert_null(child(dir, "AB"));
	inode_unlink(ab);
	assert_null(child(dir, "ab"));
	assert_ptr_equal(child(dir, "abc"), abc);
	inode_unlink(abc);
	inode_free(ab);
	inode_free(abc);
	inode_free(dir);
}

static void links_are_counted_on_both_sides(void **state)
{
	(void)state;
	struct inode *a = make(1, FSDAX_DIR, ""), *b = make(2, FSDAX_DIR, "b"), *file = make(3, FSDAX_REG, "f");
	assert_int_equal(file->nlink, 0);
	assert_null(file->parent);
	inode_link(a, file);
	assert_int_equal(file->nlink, 1);
	assert_ptr_equal(file->parent, a);
	assert_int_equal(a->nchildren, 1);
	inode_unlink(file);
	assert_int_equal(file->nlink, 0);
	assert_null(file->parent);
	assert_int_equal(a->nchildren, 0);
	assert_string_equal(file->name, "f"); /* its last */
	inode_link(b, file);
	assert_int_equal(a->nchildren, 0);
	assert_int_equal(b->nchildren, 1);
	inode_unlink(file);
	inode_free(file);
	inode_free(b);
	inode_free(a);
}

static void stat_of_a_directory_counts_entries_and_of_a_file_pages(void **state)
{
	(void)state;
	struct inode *dir = make(7, FSDAX_DIR, ""), *file = make(9, FSDAX_REG, "f");
	struct fsdax_stat st;
	inode_link(dir, file);
	inode_stat(dir, &st);
	assert_int_equal(st.ino, 7);
	assert_int_equal(st.type, FSDAX_DIR);
	assert_int_equal(st.size_bytes, 1);
	assert_int_equal(st.blocks, 0);
	struct block_list blocks = STAILQ_HEAD_INITIALIZER(blocks), none = STAILQ_HEAD_INITIALIZER(none);
	for (uint64_t i = 0; i < 2; i++) {
		struct block *block = block_alloc();
		assert_non_null(block);
		*block = (struct block){.key = 8 * i, .off = 64 + 8 * i, .order = 3 - (unsigned)i};
		STAILQ_INSERT_TAIL(&blocks, block, list);
	}
	extents_add(&file->extents, &blocks);
	file->size_bytes = 40000;
	file->mtime_ns = -5;
	file->nmaps = 4;
	inode_stat(file, &st);
	assert_int_equal(st.ino, 9);
	assert_int_equal(st.type, FSDAX_REG);
	assert_int_equal(st.size_bytes, 40000);
	assert_int_equal(st.blocks, 12);
	assert_int_equal(st.extents, 2);
	assert_int_equal(st.mappings, 4);
	assert_int_equal(st.nlink, 1);
	assert_int_equal(st.max_order, 3);
	assert_true(st.mtime_ns == -5);
	extents_cut(&file->extents, 0, &none, &blocks);
	block_free_list(&blocks);
	inode_unlink(file);
	inode_stat(file, &st);
	assert_int_equal(st.nlink, 0);
	inode_free(file);
	inode_free(dir);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_leads_to_its_inode),
		cmocka_unit_test(children_come_in_byte_order),
		cmocka_unit_test(a_name_leads_to_its_child_and_ends_where_it_is_said_to),
		cmocka_unit_test(links_are_counted_on_both_sides),
		cmocka_unit_test(stat_of_a_directory_counts_entries_and_of_a_file_pages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
