/* What users do with the library, each as one function: the tests of this folder run them while memory or I/O fails. */
#ifndef TESTS_HARD_SCENARIOS_H
#define TESTS_HARD_SCENARIOS_H

#include <lowp/lowp.h>

#include "base/sha256.h"

typedef struct scenario {
    const char *name;
    lp_status (*run)(lp_sha256 *result); /* adds what it computed or wrote; frees everything, also when it fails */
    bool does_io;                        /* reads or writes files */
    bool is_slow;                        /* few points of failure are tried */
} scenario;

extern const scenario scenarios[];
extern const int n_scenarios;

/* Writes the files that the scenarios read. Once, before any of them. */
void scenarios_prepare(void);

/* A file that is there only if the scenario which writes it ended well. */
#define SCENARIOS_FRESH "fresh.gguf"

/* Whether a failed edit must leave the file as it was: false while the disk takes nothing, not even the old bytes. */
extern bool scenarios_edits_are_whole;

/* Whether a function of the public headers has been called by a scenario. */
bool scenarios_called(const char *function);

#endif
