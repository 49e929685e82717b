/* Philox and MT19937 against published outputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"

static void philox_gives_the_known_answers_of_its_authors(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t out[4];
        lp_philox(known[i].counter, known[i].key, out);
        assert_memory_equal(out, known[i].out, sizeof out);
    }
}

static void a_word_of_a_stream_is_the_word_of_its_counter(void **state)
{
    (void)state;
    uint32_t out[4], counter[4] = {1000000007u / 4, 0xdeadbeef, 77, 1u << 24 | 0x123456}, key[2] = {0x89abcdef, 0x01234567};
    lp_philox(counter, key, out);
    assert_int_equal(lp_random_word(0x0123456789abcdef, 1000000007, 0xdeadbeef, 77, LP_RANDOM_INIT, 0x123456), out[3]);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t zero[4];
        lp_philox((uint32_t[4]){0}, (uint32_t[2]){0}, zero);
        assert_int_equal(lp_random_word(0, i, 0, 0, LP_RANDOM_ROUND, 0), zero[i]);
    }
}

static void words_fill_all_bits_evenly(void **state)
{
    (void)state;
    enum { N = 20000 };
    int count[32] = {0};
    for (uint64_t i = 0; i < N; i++) {
        uint32_t word = lp_random_word(42, i, 3, 1, LP_RANDOM_ROUND, 0);
        for (int bit = 0; bit < 32; bit++) count[bit] += (int)(word >> bit & 1);
    }
    for (int bit = 0; bit < 32; bit++) assert_in_range(count[bit], N / 2 - 400, N / 2 + 400); /* 5.6 standard deviations */
}

static void the_word_of_a_tensor_is_fnv_1a(void **state)
{
    (void)state;
    assert_int_equal(lp_tensor_word(""), 0x811c9dc5);
    assert_int_equal(lp_tensor_word("a"), 0xe40c292c);
    assert_int_equal(lp_tensor_word("foobar"), 0xbf9cf968);
    assert_int_equal(lp_tensor_word("\xff"), (0x811c9dc5u ^ 0xffu) * 0x01000193u); /* bytes, not signed characters */
}

static void mt19937_gives_the_published_outputs(void **state)
{
    (void)state;
    static const struct {
        uint32_t seed, out[3];
    } known[] = {{0, {2357136044, 2546248239, 3071714933}}, {1, {1791095845, 4282876139, 3093770124}}, {42, {1608637542, 3421126067, 4083286876}}};
    lp_mt19937 mt;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        lp_mt19937_seed(&mt, known[i].seed);
        for (int j = 0; j < 3; j++) assert_int_equal(lp_mt19937_next(&mt), known[i].out[j]);
    }
    lp_mt19937_seed(&mt, 5489);
    for (int i = 1; i < 10000; i++) lp_mt19937_next(&mt);
    assert_int_equal(lp_mt19937_next(&mt), 4123659995); /* required of std::mt19937 by the C++ standard */
}

static void uniform_numbers_are_those_of_libstdcpp(void **state)
{
    (void)state;
    static const struct {
        uint32_t seed;
        double out[4];
    } known[] = {
        {0, {0.59284461651668263, 0.84426574425659828, 0.85794561998982988, 0.84725173738433124}},
        {42, {0.79654298428784598, 0.18343478789336848, 0.77969099761266125, 0.59685016158005655}},
    };
    lp_mt19937 mt;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        lp_mt19937_seed(&mt, known[i].seed);
        for (int j = 0; j < 4; j++) assert_true(lp_mt19937_uniform(&mt) == known[i].out[j]);
    }
    lp_mt19937_seed(&mt, 1234);
    assert_true(lp_mt19937_uniform(&mt) == 0.49766366630595166);
    assert_true(lp_mt19937_uniform(&mt) == 0.81783844288953322);
}

/* The state whose next output is `word`: tempering undone. */
static uint32_t untemper(uint32_t word)
{
    uint32_t y = word ^ word >> 18;
    y ^= y << 15 & 0xefc60000u;
    uint32_t x = y;
    for (int i = 0; i < 5; i++) x = y ^ (x << 7 & 0x9d2c5680u);
    y = x;
    for (int i = 0; i < 3; i++) x = y ^ x >> 11;
    return x;
}

static void a_uniform_number_stays_below_one(void **state)
{
    (void)state;
    lp_mt19937 mt;
    lp_mt19937_seed(&mt, 0);
    lp_mt19937_next(&mt);
    mt.state[1] = mt.state[2] = untemper(0xffffffffu);
    lp_mt19937 copy = mt;
    assert_int_equal(lp_mt19937_next(&copy), 0xffffffffu);
    assert_true(lp_mt19937_uniform(&mt) == 0x1.fffffffffffffp-1); /* 1 - 2^-64 would round to 1 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers_of_its_authors),
        cmocka_unit_test(a_word_of_a_stream_is_the_word_of_its_counter),
        cmocka_unit_test(words_fill_all_bits_evenly),
        cmocka_unit_test(the_word_of_a_tensor_is_fnv_1a),
        cmocka_unit_test(mt19937_gives_the_published_outputs),
        cmocka_unit_test(uniform_numbers_are_those_of_libstdcpp),
        cmocka_unit_test(a_uniform_number_stays_below_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
