/* Fuzzes chat templates: the input is a template; it is refused, or its text is covered by pieces in order. */
#include <lowp/chat.h>

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "%s (last error: %s)\n", what, lp_error());
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char variables[] = "{\"tools\":[{\"name\":\"f\",\"n\":[1,2.5,null,true]}],\"u\":\" a\\u00e9 b\"}";
    static const lp_chat_message message[] = {{"user", " x <s> ", 7}, {"assistant", "\xff", 1}};
    lp_template *t;
    lp_rendering out;
    if (lp_template_parse((const char *)data, n, &t) != LP_OK) return 0;
    lp_chat chat = {.message = message, .n_messages = 2, .variables = variables, .n_variables = sizeof variables - 1};
    if (lp_template_render(t, &chat, &out) == LP_OK) {
        size_t at = 0;
        for (size_t i = 0; i < out.n_pieces; i++) {
            require(out.piece[i].begin == at && out.piece[i].end > at, "pieces in order");
            at = out.piece[i].end;
        }
        require(at == out.n, "pieces that cover the text");
        lp_rendering_free(&out);
    }
    lp_template_free(t);
    return 0;
}
