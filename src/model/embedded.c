/* The model and the texts inside the program, put there by the assembler: no generated source, no copy at run time. */
#include "model/embedded.h"

#include <string.h>

#include <lowp/model.h>

/* The folder of the files comes from the build. */
#define EMBED(symbol, file)                                                                  \
    __asm__(".pushsection .rodata\n"                                                         \
            ".balign 64\n"                                                                   \
            ".globl " #symbol "\n.hidden " #symbol "\n.type " #symbol ", %object\n" #symbol ":\n"                                           \
            ".incbin \"" LOWP_MODELS_DIR "/" file "\"\n"                                     \
            ".globl " #symbol "_end\n.hidden " #symbol "_end\n" #symbol "_end:\n"                                             \
            ".size " #symbol ", . - " #symbol "\n"                                           \
            ".byte 0\n"                                                                      \
            ".popsection\n");                                                                \
    extern const uint8_t symbol[] __attribute__((visibility("hidden")));                     \
    extern const uint8_t symbol##_end[] __attribute__((visibility("hidden")))

EMBED(lp_embedded_model, "books-4m-f16.gguf");
EMBED(lp_embedded_test, "test.txt");
EMBED(lp_embedded_calibration, "calibration.txt");

size_t lp_embedded_model_size(void) { return (size_t)(lp_embedded_model_end - lp_embedded_model); }

const char *lp_embedded_text(const char *name, size_t *n)
{
    if (strcmp(name, "embedded") == 0) {
        *n = (size_t)(lp_embedded_test_end - lp_embedded_test);
        return (const char *)lp_embedded_test;
    }
    if (strcmp(name, "embedded-calibration") == 0) {
        *n = (size_t)(lp_embedded_calibration_end - lp_embedded_calibration);
        return (const char *)lp_embedded_calibration;
    }
    return NULL;
}
