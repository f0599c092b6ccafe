/* An ATmega328P under simavr: text over the serial port, cycles by timer 1.
 * simavr's own status is always 0, so the program's is its last line. */
#include "board.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

void board_text(const char *text)
{
    for (; *text != '\0'; ++text) {
        while ((UCSR0A & _BV(UDRE0)) == 0) {}
        UDR0 = (uint8_t)*text;
    }
}

static volatile uint16_t overflows;

ISR(TIMER1_OVF_vect) { ++overflows; }

uint32_t board_now(void)
{
    uint16_t high, low;
    uint8_t pending;
    cli();
    low = TCNT1;
    high = overflows;
    pending = TIFR1 & _BV(TOV1);
    sei();
    if (pending != 0 && low < 0x8000u) ++high;
    return ((uint32_t)high << 16) + low;
}

uint32_t board_instructions(uint32_t counts) { return counts; }

int main(void)
{
    int status;
    UCSR0B = _BV(TXEN0);
    TIMSK1 = _BV(TOIE1);
    TCCR1B = _BV(CS10); /* one count a cycle */
    sei();
    status = program();
    board_text("\nstatus ");
    board_number((uint32_t)(uint16_t)status);
    board_text("\n");
    cli();
    sleep_mode(); /* asleep with interrupts off: simavr ends */
    return 0;
}
