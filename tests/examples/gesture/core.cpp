/* Runs a sketch on an emulated board whose sensor plays READINGS recorded readings.
 *
 * SENSOR is the accelerometer on the bus: 0x1D, an MMA8653FC, or 0x19, an LSM303AGR. It answers as
 * its data sheet says, and with zeros until it is switched on with a range of 8 g.
 */
#include "Arduino.h"
#include "Arduino_LSM9DS1.h"
#include "Wire.h"
#include "readings.h"

extern "C" {
#include "board.h"
}

#ifndef SENSOR
#define SENSOR 0
#endif

static unsigned long now;
static int next_reading;

unsigned long millis() { return now += 7; }
void delay(unsigned long milliseconds) { now += milliseconds; }

void Port::println(const char *text)
{
    board_text(text);
    board_text("\n");
}

static const int16_t *reading() { return readings[next_reading < READINGS ? next_reading : 0]; }

int Sensor::readAcceleration(float &x, float &y, float &z)
{
    x = reading()[0] / 1000.0f;
    y = reading()[1] / 1000.0f;
    z = reading()[2] / 1000.0f;
    return 1;
}

int Sensor::readGyroscope(float &x, float &y, float &z)
{
    x = reading()[3];
    y = reading()[4];
    z = reading()[5];
    ++next_reading;
    return 1;
}

static uint8_t registers[256], place;
static bool here, placed;
static int left;

void TwoWire::beginTransmission(uint8_t address)
{
    here = address == SENSOR;
    placed = false;
}

size_t TwoWire::write(uint8_t value)
{
    if (here && placed) registers[place & 0x7F] = value;
    if (!placed) place = value;
    placed = true;
    return 1;
}

uint8_t TwoWire::endTransmission(bool) { return here ? 0 : 2; }

static bool is_on()
{
    if (SENSOR == 0x1D) return (registers[0x2A] & 1) && (registers[0x0E] & 3) == 2;
    /* all axes at 10 Hz or more, normal power; 8 g, 12 bits */
    return registers[0x20] >> 4 && (registers[0x20] & 0xF) == 7 && (registers[0x23] & 0x38) == 0x28;
}

uint8_t TwoWire::requestFrom(uint8_t address, uint8_t count)
{
    here = address == SENSOR && is_on() && place == (SENSOR == 0x1D ? 0x01 : 0xA8);
    left = count;
    return count;
}

int TwoWire::read()
{
    const int at = 6 - left;
    const uint16_t value = (uint16_t)(here ? reading()[at / 2] * 4 : 0);
    const bool high = (SENSOR == 0x1D) == (at % 2 == 0); /* it sends the higher byte first */
    if (--left == 0) ++next_reading;
    return high ? value >> 8 : value & 0xFF;
}

Port Serial;
TwoWire Wire;
Sensor IMU;

extern "C" int program(void)
{
    setup();
    while (next_reading < READINGS) loop();
    return 0;
}
