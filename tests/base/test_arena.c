/* Arena and aligned blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/fail.h"

static bool all_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i]) return false;
    return true;
}

static void every_block_is_zeroed_aligned_and_separate(void **state)
{
    (void)state;
    enum { N = 3000 };
    static unsigned char *block[N];
    static size_t size[N];
    lp_arena arena = {0};
    uint32_t random = 1;
    for (int i = 0; i < N; i++) {
        random = random * 1664525u + 1013904223u;
        size[i] = random >> 8 & (i % 50 == 0 ? 0x3ffff : 0x3ff);
        block[i] = lp_arena_alloc(&arena, size[i]);
        assert_non_null(block[i]);
        assert_int_equal((uintptr_t)block[i] % 64, 0);
        assert_true(all_zero(block[i], size[i]));
        memset(block[i], i % 255 + 1, size[i]);
    }
    size_t n_total = 0;
    for (int i = 0; i < N; i++) {
        n_total += size[i];
        for (size_t j = 0; j < size[i]; j++) assert_int_equal(block[i][j], i % 255 + 1);
    }
    assert_true(arena.n_bytes >= n_total);
    assert_true(arena.n_bytes < 2 * n_total + (8u << 20));
    lp_arena_free(&arena);
    assert_null(arena.chunk);
    assert_int_equal(arena.n_bytes, 0);
    lp_arena_free(&arena); /* empty is valid */
}

static void a_large_block_leaves_the_current_chunk_in_use(void **state)
{
    (void)state;
    lp_arena arena = {0};
    unsigned char *a = lp_arena_alloc(&arena, 64), *large = lp_arena_alloc(&arena, 10u << 20), *b = lp_arena_alloc(&arena, 64);
    assert_non_null(large);
    assert_ptr_equal(b, a + 64);
    lp_arena_free(&arena);
}

static void zero_bytes_give_a_valid_pointer_of_their_own(void **state)
{
    (void)state;
    lp_arena arena = {0};
    void *a = lp_arena_alloc(&arena, 0), *b = lp_arena_alloc(&arena, 0), *c = lp_arena_alloc_array(&arena, 0, SIZE_MAX);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    assert_ptr_not_equal(a, b);
    lp_arena_free(&arena);
}

static void a_copied_string_ends_with_nul_and_keeps_inner_nuls(void **state)
{
    (void)state;
    lp_arena arena = {0};
    char *s = lp_arena_copy_string(&arena, "ab\0cdef", 5);
    assert_memory_equal(s, "ab\0cd\0", 6);
    assert_string_equal(lp_arena_copy_string(&arena, NULL, 0), "");
    lp_arena_free(&arena);
}

static void sizes_that_overflow_or_do_not_fit_give_null_and_a_text(void **state)
{
    (void)state;
    lp_arena arena = {0};
    assert_null(lp_arena_alloc(&arena, SIZE_MAX));
    assert_non_null(strstr(lp_error(), "out of memory (18446744073709551615 bytes"));
    assert_null(lp_arena_alloc(&arena, SIZE_MAX - 63));
    assert_null(lp_arena_alloc(&arena, PTRDIFF_MAX));
    lp_fail(LP_OK, "%s", "");
    assert_null(lp_arena_alloc_array(&arena, SIZE_MAX / 2, 3));
    assert_non_null(strstr(lp_error(), "out of memory"));
    assert_null(lp_arena_copy_string(&arena, "x", SIZE_MAX));
    assert_null(lp_aligned_alloc(SIZE_MAX));
    assert_null(lp_aligned_alloc(SIZE_MAX - 100));
    assert_null(lp_aligned_alloc(PTRDIFF_MAX));
    assert_non_null(lp_arena_alloc(&arena, 1)); /* still usable */
    lp_arena_free(&arena);
}

static void an_aligned_block_is_zeroed_at_every_size(void **state)
{
    (void)state;
    static const size_t size[] = {0, 1, 63, 64, 65, 4096, (2u << 20) - 1, 2u << 20, (2u << 20) + 1, 9u << 20};
    for (int pass = 0; pass < 2; pass++) { /* the second pass meets memory that was used */
        for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
            unsigned char *p = lp_aligned_alloc(size[i]);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % (size[i] >= 2u << 20 ? 2u << 20 : 64), 0);
            assert_true(all_zero(p, size[i]));
            memset(p, 0xff, size[i]);
            lp_aligned_free(p);
        }
    }
    lp_aligned_free(NULL);
}

static void chunks_are_filled_to_the_end_and_double_up_to_a_bound(void **state)
{
    (void)state;
    enum { KIB = 1024 };
    static const size_t plain[] = {64, 128, 256, 512, 1024}, bounded[] = {64, 128, 256, 384, 512};
    for (int is_bounded = 0; is_bounded < 2; is_bounded++) {
        lp_arena arena = {.most_chunk = is_bounded ? 128 * KIB : 0};
        for (int i = 0; i < 5; i++) {
            size_t total = (is_bounded ? bounded : plain)[i] * KIB, before = arena.n_bytes;
            for (size_t n = before; n < total; n += 64) {
                assert_non_null(lp_arena_alloc(&arena, n % 128 ? 64 : 1));
                assert_int_equal(arena.n_bytes, total); /* the whole chunk came with its first block */
            }
        }
        lp_arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_is_zeroed_aligned_and_separate),
        cmocka_unit_test(a_large_block_leaves_the_current_chunk_in_use),
        cmocka_unit_test(zero_bytes_give_a_valid_pointer_of_their_own),
        cmocka_unit_test(a_copied_string_ends_with_nul_and_keeps_inner_nuls),
        cmocka_unit_test(sizes_that_overflow_or_do_not_fit_give_null_and_a_text),
        cmocka_unit_test(an_aligned_block_is_zeroed_at_every_size),
        cmocka_unit_test(chunks_are_filled_to_the_end_and_double_up_to_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
