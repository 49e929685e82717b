/* Which instruction sets this build and this processor have, and which one is in use. */
#include <lowp/isa.h>

#include <ctype.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1ul << 20)
#endif
#endif

#include "base/fail.h"

static const char *const names[] = {"ref", "avx2", "avx512", "neon"};
_Static_assert(sizeof names / sizeof *names == LP_ISA_COUNT, "one name per instruction set");

const char *lp_isa_name(lp_isa isa) { return (unsigned)isa < LP_ISA_COUNT ? names[isa] : "unknown"; }

/* Bit i: instruction set i is compiled in and runs here. */
#if defined(__x86_64__)
static unsigned detect(void)
{
    enum { FMA = 1 << 12, OSXSAVE = 1 << 27, AVX = 1 << 28, F16C = 1 << 29 };                   /* leaf 1, ecx */
    enum { AVX2 = 1 << 5, AVX512F = 1 << 16, AVX512BW = 1 << 30 };                              /* leaf 7, ebx */
    enum { AVX512VBMI = 1 << 1, AVX512VNNI = 1 << 11 };                                         /* leaf 7, ecx */
    const uint32_t avx512vl = 1u << 31;                                                         /* leaf 7, ebx */
    enum { YMM_STATE = 0x06, ZMM_STATE = 0xe6 }; /* XCR0: what the system saves: xmm, ymm; opmask, zmm0-15, zmm16-31 */
    unsigned eax, ebx, ecx, edx, set = 1u << LP_ISA_REF;

    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return set;
    const unsigned wanted = FMA | OSXSAVE | AVX | F16C;
    if ((ecx & wanted) != wanted) return set;
    uint32_t xcr0, high;
    __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
    if ((xcr0 & YMM_STATE) != YMM_STATE) return set;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !(ebx & AVX2)) return set;
    set |= 1u << LP_ISA_AVX2;
    if ((xcr0 & ZMM_STATE) == ZMM_STATE && (ebx & AVX512F) && (ebx & AVX512BW) && (ebx & avx512vl) && (ecx & AVX512VBMI) &&
        (ecx & AVX512VNNI))
        set |= 1u << LP_ISA_AVX512;
    return set;
}
#elif defined(__aarch64__)
static unsigned detect(void)
{
    unsigned set = 1u << LP_ISA_REF;
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) set |= 1u << LP_ISA_NEON;
    return set;
}
#else
static unsigned detect(void) { return 1u << LP_ISA_REF; }
#endif

/* The same value whoever computes it first, so no lock is needed. 0: not yet. */
static unsigned available_set(void)
{
    static _Atomic unsigned cached;
    unsigned set = atomic_load_explicit(&cached, memory_order_relaxed);
    if (set == 0) {
        set = detect();
        atomic_store_explicit(&cached, set, memory_order_relaxed);
    }
    return set;
}

bool lp_isa_available(lp_isa isa) { return (unsigned)isa < LP_ISA_COUNT && (available_set() >> isa & 1); }

static lp_isa best(void)
{
    lp_isa isa = LP_ISA_REF;
    for (int i = 0; i < LP_ISA_COUNT; i++)
        if (lp_isa_available((lp_isa)i)) isa = (lp_isa)i;
    return isa;
}

static _Atomic int current = -1; /* -1: nothing selected yet */

lp_isa lp_isa_current(void)
{
    int isa = atomic_load_explicit(&current, memory_order_relaxed);
    return isa < 0 ? best() : (lp_isa)isa;
}

/* "ref avx2 avx512": for the advice. */
static void list_available(char *text, size_t n)
{
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; i < LP_ISA_COUNT; i++)
        if (lp_isa_available((lp_isa)i) && at < n)
            at += (size_t)snprintf(text + at, n - at, "%s%s", at ? " " : "", names[i]);
}

lp_status lp_isa_select(const char *name)
{
    const char *origin = "instruction set";
    if (name == NULL) {
        name = getenv("LOWP_ISA");
        origin = "LOWP_ISA";
    }
    if (name == NULL || *name == 0) {
        atomic_store_explicit(&current, best(), memory_order_relaxed);
        return LP_OK;
    }
    char available[64];
    list_available(available, sizeof available);
    for (int i = 0; i < LP_ISA_COUNT; i++) {
        if (strcmp(name, names[i]) != 0) continue;
        if (!lp_isa_available((lp_isa)i))
            return lp_hint(lp_fail(LP_UNSUPPORTED, "%s: this machine or build has no %s", origin, name),
                           "available here: %s", available);
        atomic_store_explicit(&current, i, memory_order_relaxed);
        return LP_OK;
    }
    return lp_hint(lp_fail(LP_USAGE, "%s: unknown name '%s'", origin, name), "available here: %s", available);
}

static char cpu_name[128] = "unknown";

/* The value of a line "key : value" of /proc/cpuinfo; false if the line has another key. */
static bool read_value(const char *line, const char *key, char *value, size_t n)
{
    size_t length = strlen(key);
    if (strncmp(line, key, length) != 0) return false;
    line += length;
    while (isspace((unsigned char)*line)) line++;
    if (*line++ != ':') return false;
    while (isspace((unsigned char)*line)) line++;
    snprintf(value, n, "%s", line);
    for (size_t end = strlen(value); end && isspace((unsigned char)value[end - 1]);) value[--end] = 0;
    return value[0] != 0;
}

static void read_cpu_name(void)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (file == NULL) return;
    char line[512], implementer[32] = "", part[32] = "";
    while (fgets(line, sizeof line, file)) {
        if (read_value(line, "model name", cpu_name, sizeof cpu_name)) break;
        /* aarch64 gives numbers only */
        if (read_value(line, "CPU implementer", implementer, sizeof implementer)) continue;
        if (read_value(line, "CPU part", part, sizeof part)) break;
    }
    fclose(file);
    if (implementer[0] && part[0]) snprintf(cpu_name, sizeof cpu_name, "aarch64 implementer %s part %s", implementer, part);
}

const char *lp_cpu_name(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_cpu_name);
    return cpu_name;
}
