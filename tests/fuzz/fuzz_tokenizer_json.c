/* Fuzzes the reader of tokenizer.json: what it makes is a tokenizer, or refused with a text; the tokenizer encodes any bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file/gguf.h"
#include "model/hf/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "%s (last error: %s)\n", what, lp_error());
    abort();
}

static void use(const lp_tokenizer *t, const uint8_t *data, size_t n)
{
    static const char text[] = "a ab  abc <s>x\xc3\xa9 e\xcc\x81 \t\n A\xe4\xbd\xa0, \xff\xe2\x96\x81 ";
    const char *texts[] = {text, (const char *)data};
    size_t lengths[] = {sizeof text - 1, n < 64 ? n : 64};
    for (int i = 0; i < 4; i++) {
        int32_t *ids;
        size_t n_ids, n_text;
        char *back;
        lp_status status = lp_tokenizer_encode(t, texts[i / 2], lengths[i / 2], i % 2, true, &ids, &n_ids);
        require(status == LP_OK || (status == LP_INPUT && *lp_error()), "encoding");
        for (size_t k = 0; k < n_ids; k++) require(ids[k] >= 0 && ids[k] < lp_tokenizer_size(t), "an id");
        require(lp_tokenizer_decode(t, ids, n_ids, true, &back, &n_text) == LP_OK, "decoding");
        free(back);
        free(ids);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const lp_json_limits limits = {1 << 20, 1 << 16, 32};
    static char path[] = "tokenizer.json";
    char warning[160];
    lp_hf_file file = {.path = path, .map.slot = -1}, none = {.path = path, .map.slot = -1};
    lp_arena arena = {0};
    lp_gguf_writer *writer;
    lp_gguf_parts parts = {0};
    lp_gguf *gguf = NULL;
    lp_tokenizer *t = NULL;
    if (lp_json_parse(path, (const char *)data, n, &limits, &file.json) != LP_OK || file.json.node->kind != LP_JSON_OBJECT) {
        lp_json_free(&file.json);
        return 0;
    }
    require(lp_gguf_writer_create_dry(&writer) == LP_OK, "a writer");
    lp_status status = lp_hf_read_tokenizer(&file, &none, &none, 300, writer, &arena, warning, sizeof warning);
    if (status == LP_OK) {
        parts.data = calloc(1, sizeof *parts.data);
        parts.map = calloc(1, sizeof *parts.map);
        parts.buffer = malloc(1);
        status = lp_gguf_writer_header(writer, &parts.image, &parts.n_image);
        if (status == LP_OK) status = lp_gguf_open_parts(&parts, path, &gguf);
        if (status == LP_OK) status = lp_tokenizer_create(gguf, &t);
        lp_gguf_close(gguf);
    }
    require(status == LP_OK || *lp_error(), "a refusal without a text");
    if (t) use(t, data, n);
    lp_tokenizer_free(t);
    lp_gguf_writer_abort(writer);
    lp_arena_free(&arena);
    lp_json_free(&file.json);
    return 0;
}
