/* Cortex-M under QEMU: start-up, faults, semihosting, and a counter of instructions.
 *
 * QEMU runs with -icount shift=6: an instruction takes 64 ns of its virtual time. SysTick counts that
 * time at BOARD_CLOCK, so the difference of two readings is a number of instructions, the same
 * in every run. Statuses of its own: 98 a fault, 97 something asked for heap.
 */
#include "board.h"

#define NANOSECONDS_AN_INSTRUCTION 64u

extern uint32_t ram_data_start[], ram_data_end[], ram_zero_start[], ram_zero_end[];
extern const uint32_t flash_data[];
extern char stack_top[];

/* Ask the machine outside for a service. */
static void semihost(uint32_t service, const void *argument)
{
    register uint32_t r0 __asm__("r0") = service;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void board_text(const char *text) { semihost(0x04u, text); }

static void leave(int status)
{
    const uint32_t block[2] = {0x20026u /* the program ended */, (uint32_t)status};
    for (;;) semihost(0x20u, block);
}

/* ---- counter: 24 bits of SysTick, and its overflows ---------------------------------------- */

struct systick {
    volatile uint32_t control, reload, current;
};
#define SYSTICK ((struct systick *)0xE000E010u)

static volatile uint32_t overflows;

static void on_systick(void) { ++overflows; }

uint32_t board_now(void)
{
    uint32_t high, low;
    do {
        high = overflows;
        low = 0xFFFFFFu - SYSTICK->current;
    } while (high != overflows);
    return (high << 24) + low;
}

/* Apart from board_now, as a division takes a core without one as long as the value pleases. */
uint32_t board_instructions(uint32_t counts)
{
    const uint64_t nanoseconds = (uint64_t)counts * 1000000000u / BOARD_CLOCK;
    return (uint32_t)(nanoseconds / NANOSECONDS_AN_INSTRUCTION);
}

/* ---- start and faults ----------------------------------------------------------------------- */

__attribute__((used)) static void report_fault(const uint32_t *frame)
{
    uint32_t exception;
    __asm__ volatile("mrs %0, ipsr" : "=r"(exception));
    board_text("fault ");
    board_number(exception & 0x1FFu);
    board_text("\nat ");
    board_number(frame[6]);
    board_text("\n");
    leave(98);
}

__attribute__((naked)) static void on_fault(void)
{
    __asm__ volatile("mov r0, sp\n\tbl report_fault");
}

void on_reset(void);
void on_reset(void)
{
    const uint32_t *from = flash_data;
    uint32_t *to;
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    *(volatile uint32_t *)0xE000ED88u |= 0xF00000u; /* let the program use the FPU */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    for (to = ram_data_start; to < ram_data_end; ++to) *to = *from++;
    for (to = ram_zero_start; to < ram_zero_end; ++to) *to = 0u;
    SYSTICK->control = 0u;
    SYSTICK->reload = 0xFFFFFFu;
    SYSTICK->current = 0u;
    SYSTICK->control = 7u; /* on, with the processor's clock and an interrupt */
    leave(program());
}

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    (handler)(uintptr_t)stack_top, on_reset, on_fault, on_fault, on_fault, on_fault, on_fault,
    on_fault, 0, 0, 0, on_fault, on_fault, 0, on_fault, on_systick};

/* Linked only into a program that calls malloc. */
void *_sbrk(int bytes);
void *_sbrk(int bytes)
{
    (void)bytes;
    board_text("heap\n");
    leave(97);
    return 0;
}
