/* Fuzzes encoding: the first byte chooses pre-tokenizer and options, the rest is text over the small vocabulary. Ids must
 * be those of cutting and merging the plain way, and must stand for the text. */
#include <stdio.h>
#include <stdlib.h>

#include "../model/mini_spm.h"
#include "../model/mini_vocabulary.h"
#include "model/tokenizer/split_stages.h"
#include "model/tokenizer/unicode_forms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const pre[] = {"gpt-2", "smollm", "llama-bpe", "qwen2", "dbrx", "qwen35", "glm4", "ufakzeka",
                                  "tekken", "gpt-4o", "falcon", "deepseek-llm", "deepseek-coder", "deepseek-v3"};
enum { N_PRE = sizeof pre / sizeof *pre, LONGEST = 192 }; /* merging the plain way is quadratic */

static void require(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "%s (last error: %s)\n", what, lp_error());
    abort();
}

/* Text with every byte outside well-formed UTF-8 replaced; what is well formed is asked of nobody else. */
static size_t replace(const uint8_t *text, size_t n, uint8_t *out)
{
    size_t length = 0;
    for (size_t at = 0; at < n;) {
        uint8_t a = text[at];
        size_t k = a < 0x80 ? 1 : a < 0xc0 ? 0 : a < 0xe0 ? 2 : a < 0xf0 ? 3 : a < 0xf8 ? 4 : 0;
        uint32_t c = k == 1 ? a : a & (0x7fu >> k);
        int good = k > 0 && k <= n - at;
        for (size_t i = 1; good && i < k; i++) {
            good = (text[at + i] & 0xc0) == 0x80;
            c = c << 6 | (text[at + i] & 63);
        }
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        good = good && c >= least[k] && c < 0x110000 && !(c >= 0xd800 && c < 0xe000);
        if (good) {
            memcpy(out + length, text + at, k);
            length += k;
            at += k;
        } else {
            memcpy(out + length, "\xef\xbf\xbd", 3);
            length += 3;
            at++;
        }
    }
    return length;
}

static int32_t owner[9 * LONGEST], ids_of_word[9 * LONGEST];
static uint8_t clean[9 * LONGEST];
static plain_table table;

/* NFC of what lies between special tokens in clean[0..n), with its owners; returns the new length. */
static size_t compose(const lp_tokenizer_source *source, size_t n)
{
    static uint8_t text[9 * LONGEST];
    static int32_t old[9 * LONGEST];
    size_t length = 0;
    memcpy(text, clean, n);
    memcpy(old, owner, n * sizeof *owner);
    for (size_t at = 0, end; at < n; at = end) {
        lp_text_buffer out = {0};
        end = at;
        if (old[at]) {
            end = at + source->tokens[old[at] - 1].n;
            require(lp_text_append(&out, text + at, end - at) == LP_OK, "memory");
        } else {
            while (end < n && !old[end]) end++;
            require(lp_normalize(LP_NFC, text + at, end - at, &out) == LP_OK, "a form");
        }
        require(out.n <= sizeof clean - length, "NFC that grows beyond three times");
        memcpy(clean + length, out.data, out.n);
        for (size_t i = 0; i < out.n; i++) owner[length + i] = old[at];
        length += out.n;
        free(out.data);
    }
    return length;
}

/* SentencePiece: the same of merging by score, and bytes of any kind come back. */
static void one_spm(const uint8_t *data, size_t n, bool parse_special)
{
    static mini_spm vocabulary;
    static lp_tokenizer *t;
    static uint8_t escaped[3 * LONGEST + 3];
    static size_t begin[3 * LONGEST + 4];
    static int32_t wanted[3 * LONGEST + 3];
    if (!t) {
        mini_spm_fill(&vocabulary, true);
        require(lp_tokenizer_create_from(&vocabulary.source, &t) == LP_OK, "creation");
    }
    int32_t *ids;
    char *text;
    size_t n_ids, at_id = 0, n_text;
    require(lp_tokenizer_encode(t, (const char *)data, n, parse_special, false, &ids, &n_ids) == LP_OK, "encoding");
    plain_special(&vocabulary.source, parse_special, data, n, owner);
    bool after_special = true, spaced_again = false, has_u2581 = false;
    for (size_t at = 0; at < n;) {
        size_t end = at;
        if (owner[at]) {
            int32_t id = owner[at] - 1;
            require(at_id < n_ids && ids[at_id++] == id, "a special token");
            at += vocabulary.source.tokens[id].n;
            after_special = true;
            continue;
        }
        while (end < n && !owner[end]) end++;
        size_t n_wanted = plain_spm(&vocabulary.source, after_special, data + at, end - at, wanted, escaped, begin);
        require(n_wanted <= n_ids - at_id && !memcmp(ids + at_id, wanted, n_wanted * sizeof *ids), "a text's ids");
        at_id += n_wanted;
        spaced_again |= after_special && at > 0;
        after_special = false;
        at = end;
    }
    require(at_id == n_ids, "more ids than text");
    for (size_t i = 0; i + 2 < n; i++) has_u2581 |= !memcmp(data + i, U2581, 3);
    require(lp_tokenizer_decode(t, ids, n_ids, true, &text, &n_text) == LP_OK, "decoding");
    require(spaced_again || has_u2581 || (n_text == n && !memcmp(text, data, n)), "the text is not complete");
    free(text);
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static mini vocabulary[N_PRE];
    static lp_tokenizer *tokenizer[N_PRE];
    if (n < 1 || n > LONGEST) return 0;
    int which = data[0] % (N_PRE + 1);
    bool parse_special = data[0] & 0x80;
    if (which == N_PRE) {
        one_spm(data + 1, n - 1, parse_special);
        return 0;
    }
    if (!tokenizer[which]) {
        mini_fill(&vocabulary[which], pre[which], true);
        plain_table_fill(&table, &vocabulary[which].source); /* the same for all */
        require(lp_tokenizer_create_from(&vocabulary[which].source, &tokenizer[which]) == LP_OK, "creation");
    }
    const lp_tokenizer *t = tokenizer[which];
    const lp_tokenizer_source *source = &vocabulary[which].source;
    int32_t *ids;
    size_t n_ids, at_id = 0;
    require(lp_tokenizer_encode(t, (const char *)data + 1, n - 1, parse_special, false, &ids, &n_ids) == LP_OK, "encoding");

    size_t length = replace(data + 1, n - 1, clean);
    plain_special(source, parse_special, clean, length, owner);
    if (t->split->nfc) length = compose(source, length);
    for (size_t at = 0; at < length;) {
        if (owner[at]) {
            int32_t id = owner[at] - 1;
            require(at_id < n_ids && ids[at_id++] == id, "a special token");
            at += source->tokens[id].n;
            continue;
        }
        size_t end = at;
        while (end < length && !owner[end]) end++;
        lp_split_walk walk = {.split = t->split, .text = clean, .at = at, .n = end};
        while (at < end) {
            size_t next = lp_split_walk_next(&walk);
            require(next > at && next <= end, "a piece");
            require(next == end || (clean[next] & 0xc0) != 0x80, "a piece that ends within a character");
            size_t n_word = plain_word_by_table(&table, clean + at, next - at, ids_of_word);
            int32_t whole = -1;
            if (t->split->whole_word_first) {
                char characters[18 * LONGEST];
                size_t n_characters = 0;
                for (size_t i = at; i < next; i++) n_characters += (size_t)lp_utf8_encode_short(lp_byte_character(clean[i]), (uint8_t *)characters + n_characters);
                whole = plain_find(source, characters, n_characters);
            }
            if (whole >= 0) {
                require(at_id < n_ids && ids[at_id++] == whole, "a word that is a token");
            } else {
                require(n_word <= n_ids - at_id && !memcmp(ids + at_id, ids_of_word, n_word * sizeof *ids), "a word's ids");
                at_id += n_word;
            }
            at = next;
        }
    }
    require(at_id == n_ids, "more ids than words");

    size_t at = 0;
    for (size_t i = 0; i < n_ids; i++) {
        lp_string s = lp_tokenizer_bytes(t, ids[i], true);
        require(s.n <= length - at && !memcmp(clean + at, s.data, s.n), "the bytes of an id");
        at += s.n;
    }
    require(at == length, "the text is not complete");
    free(ids);

    lp_utf8_stream stream = {{0}, 0};
    char shown[LONGEST + 8];
    size_t n_shown = 0, step = 1 + data[0] / 8 % 5;
    for (size_t i = 1; i < n; i += step)
        n_shown += lp_utf8_stream_push(&stream, (const char *)data + i, step < n - i ? step : n - i, shown + n_shown);
    n_shown += lp_utf8_stream_push(&stream, NULL, 0, shown + n_shown);
    require(n_shown == n - 1 && !memcmp(shown, data + 1, n - 1), "the stream changes bytes");
    return 0;
}
