/* SHA-256: published vectors, splits, and the two compression functions against each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/sha256.h"

static void assert_hash(const void *data, size_t n, const char *expected)
{
    lp_sha256 hash;
    char hex[65];
    lp_sha256_begin(&hash);
    lp_sha256_add(&hash, data, n);
    lp_sha256_end(&hash, hex);
    assert_string_equal(hex, expected);
}

static void the_vectors_of_fips_180_are_met(void **state)
{
    (void)state;
    assert_hash("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_hash(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_hash("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    assert_hash("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
                112, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
}

static void a_million_times_a_is_met(void **state)
{
    (void)state;
    char *text = malloc(1000000);
    memset(text, 'a', 1000000);
    assert_hash(text, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(text);
}

/* Pads by hand and compresses with the portable function. */
static void reference_hash(const uint8_t *data, size_t n, char hex[65])
{
    size_t n_padded = (n + 9 + 63) / 64 * 64;
    uint8_t *padded = calloc(1, n_padded);
    if (n) memcpy(padded, data, n);
    padded[n] = 0x80;
    for (int i = 0; i < 8; i++) padded[n_padded - 1 - (size_t)i] = (uint8_t)((uint64_t)n * 8 >> 8 * i);
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    lp_sha256_blocks_portable(h, padded, n_padded / 64);
    free(padded);
    for (int i = 0; i < 64; i++) hex[i] = "0123456789abcdef"[h[i / 8] >> (28 - i % 8 * 4) & 15];
    hex[64] = 0;
}

static void random_bytes(uint8_t *data, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) data[i] = (uint8_t)lp_random_word(seed, i, 0, 0, 0, 0);
}

static void every_length_to_300_agrees_with_padding_by_hand(void **state)
{
    (void)state;
    uint8_t data[300];
    random_bytes(data, sizeof data, 1);
    for (size_t n = 0; n <= sizeof data; n++) {
        char expected[65];
        reference_hash(data, n, expected);
        assert_hash(data, n, expected);
    }
}

static void the_hash_does_not_depend_on_how_the_data_is_split(void **state)
{
    (void)state;
    enum { N = 5000 };
    uint8_t data[N];
    random_bytes(data, N, 2);
    for (uint64_t trial = 0; trial < 500; trial++) {
        size_t n = lp_random_word(trial, 0, 1, 0, 0, 0) % (N + 1);
        char expected[65], hex[65];
        reference_hash(data, n, expected);
        lp_sha256 hash;
        lp_sha256_begin(&hash);
        uint64_t piece = 1;
        for (size_t at = 0; at < n; piece++) {
            size_t most = trial % 3 == 0 ? 10 : trial % 3 == 1 ? 130 : 2000;
            size_t m = lp_random_word(trial, piece, 1, 0, 0, 0) % most;
            if (m > n - at) m = n - at;
            lp_sha256_add(&hash, data + at, m);
            at += m;
        }
        lp_sha256_end(&hash, hex);
        assert_string_equal(hex, expected);
    }
}

static void the_processors_instructions_give_the_bits_of_the_portable_function(void **state)
{
    (void)state;
    if (!lp_sha256_has_instructions()) skip();
    enum { N_BLOCKS = 40 };
    uint8_t data[64 * N_BLOCKS + 1];
    for (uint64_t trial = 0; trial < 300; trial++) {
        random_bytes(data, sizeof data, trial);
        size_t n_blocks = trial % N_BLOCKS, shift = trial & 1; /* unaligned too */
        uint32_t a[8], b[8];
        for (uint32_t i = 0; i < 8; i++) a[i] = b[i] = lp_random_word(trial, i, 9, 0, 0, 0);
        lp_sha256_blocks_portable(a, data + shift, n_blocks);
        lp_sha256_blocks_instructions(b, data + shift, n_blocks);
        assert_memory_equal(a, b, sizeof a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_fips_180_are_met),
        cmocka_unit_test(a_million_times_a_is_met),
        cmocka_unit_test(every_length_to_300_agrees_with_padding_by_hand),
        cmocka_unit_test(the_hash_does_not_depend_on_how_the_data_is_split),
        cmocka_unit_test(the_processors_instructions_give_the_bits_of_the_portable_function),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
