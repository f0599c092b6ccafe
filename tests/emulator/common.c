/* The part of board.h that is the same on every board. */
#include "board.h"

#include <string.h>

void board_number(uint32_t value)
{
    char digits[11];
    char *first = digits + sizeof digits - 1;
    *first = '\0';
    do {
        *--first = (char)('0' + value % 10u);
        value /= 10u;
    } while (value != 0u);
    board_text(first);
}

void board_float(float value)
{
    char digits[9];
    uint32_t bits;
    int i;
    memcpy(&bits, &value, sizeof bits);
    for (i = 7; i >= 0; --i) {
        digits[i] = "0123456789abcdef"[bits & 15u];
        bits >>= 4;
    }
    digits[8] = '\0';
    board_text(digits);
}

uint32_t board_since(uint32_t before)
{
    const uint32_t count = board_now() - before;
    const uint32_t first = board_now();
    const uint32_t own = board_now() - first;
    return board_instructions(count > own ? count - own : 0u);
}

/* ---- stack -------------------------------------------------------------------------------- */

#define PAINT 0xA5u
#ifdef __AVR__
#define DEPTH 1024u /* bytes painted, less where RAM ends */
#define MARGIN 16u
#else
#define DEPTH 65536u
#define MARGIN 64u /* board_paint's own frame is not painted over: less than this reads as this */
#endif

extern char board_stack_end[]; /* the lowest address that the stack may reach */
static volatile uint8_t *painted_from, *painted_to;

__attribute__((noinline)) void board_paint(void)
{
    volatile uint8_t *here = (volatile uint8_t *)__builtin_dwarf_cfa();
    volatile uint8_t *p;
    const uintptr_t end = (uintptr_t)board_stack_end;
    painted_to = here - MARGIN;
    painted_from = (uintptr_t)here - end > DEPTH ? here - DEPTH : (volatile uint8_t *)end;
    for (p = painted_from; p < painted_to; ++p) *p = PAINT;
}

__attribute__((noinline)) uint32_t board_stack(void)
{
    const volatile uint8_t *p = painted_from;
    while (p < painted_to && *p == PAINT) ++p;
    return (uint32_t)(painted_to + MARGIN - p);
}
