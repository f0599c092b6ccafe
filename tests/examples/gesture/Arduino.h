/* As much of Arduino as the sketches of examples/gesture need, for an emulated board. */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <stddef.h>
#include <stdint.h>

unsigned long millis();
void delay(unsigned long milliseconds);

struct Port {
    void begin(unsigned long) {}
    void println(const char *text);
};
extern Port Serial;

void setup();
void loop();

#endif
