/* What a program on an emulated board may use; each board's own file has the rest.
 * The program is `int program(void)`, whose result becomes the status of the run. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

int program(void);

void board_text(const char *text);
void board_number(uint32_t value);  /* in decimal */
void board_float(float value);      /* its bits, as eight hex digits: exact, and needs no printf */

/* Instructions, on AVR cycles, since an earlier board_now(), which itself is in counts of the
 * board's own. What the two calls take is left out: board_since(board_now()) is about 0. */
uint32_t board_now(void);
uint32_t board_since(uint32_t before);
uint32_t board_instructions(uint32_t counts); /* what board_since uses */

/* The deepest that the stack went below the caller of board_paint, in bytes. */
void board_paint(void);
uint32_t board_stack(void);

/* For constants that a small machine must keep out of its RAM. */
#ifdef __AVR__
#include <avr/pgmspace.h>
#define BOARD_FLASH PROGMEM
#define BOARD_READ(address) pgm_read_float(address)
#define BOARD_READ_BITS(address) pgm_read_dword(address)
#else
#define BOARD_FLASH
#define BOARD_READ(address) (*(address))
#define BOARD_READ_BITS(address) (*(address))
#endif

#endif
